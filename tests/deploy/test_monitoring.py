"""Alerts and dashboard in the chart are those of deploy/observability; what is scaled by is what there is."""

import json
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, named, of_kind, render
from trunkline.serving.telemetry.catalogue import METRICS

OBSERVABILITY = ROOT / "deploy/observability"
SCALING = yaml.safe_load((CHART / "files/scaling.yml").read_text())


@pytest.mark.parametrize("name", ["alerts.yml", "dashboard.json"])
def test_the_chart_has_the_files_of_the_observability_folder(name):
    assert (CHART / "files" / name).read_text() == (OBSERVABILITY / name).read_text(), "run `make manifests`"


def test_alerts_and_dashboard_come_out_as_they_went_in():
    manifests = render("values-production.yaml")
    groups = named(manifests, "PrometheusRule", "trunkline")["spec"]["groups"]
    assert groups == yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"] + SCALING["groups"]
    shown = named(manifests, "ConfigMap", "trunkline-dashboard")["data"]["trunkline.json"]
    assert json.loads(shown) == json.loads((OBSERVABILITY / "dashboard.json").read_text())


def test_autoscalers_ask_for_metrics_that_there_are():
    names = {metric.name for metric in METRICS} | {rule["record"] for rule in SCALING["groups"][0]["rules"]}
    asked = set()
    for each in of_kind(render("values-production.yaml"), "HorizontalPodAutoscaler"):
        for metric in each["spec"]["metrics"]:
            source = metric.get("external") or metric.get("pods")
            if source is not None:
                asked.add(source["metric"]["name"])
    assert asked == {"trunkline_queue_per_compute", "trunkline_queue_depth"}
    assert asked <= names


def test_the_job_label_is_the_one_that_the_alerts_ask_for():
    (monitor,) = of_kind(render("values-production.yaml"), "ServiceMonitor")
    labels = {each["targetLabel"]: each.get("replacement") for each in monitor["spec"]["endpoints"][0]["relabelings"]}
    assert f'job="{labels["job"]}"' in (OBSERVABILITY / "alerts.yml").read_text()
    assert "release" in labels  # which the rule of scaling sums by


def test_monitors_are_there_by_switch_alone():
    for kind in ("ServiceMonitor", "PrometheusRule", "GRPCRoute", "HorizontalPodAutoscaler"):
        assert not of_kind(render(), kind)
        assert of_kind(render("values-production.yaml"), kind)


def test_promtool_agrees_that_work_that_waits_twice_as_long_as_it_is_computed_is_2(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, which comes with Prometheus: apt-get install prometheus")
    (tmp_path / "scaling.yml").write_text((CHART / "files/scaling.yml").read_text())
    labels = 'namespace="vision", release="trunkline"'
    test = {
        "rule_files": ["scaling.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"trunkline_queue_seconds_sum{{{labels}}}", "values": "0+60x10"},
                    {"series": f"trunkline_decode_seconds_sum{{{labels}}}", "values": "0+10x10"},
                    {"series": f"trunkline_backbone_seconds_sum{{{labels}}}", "values": "0+20x10"},
                ],
                "promql_expr_test": [
                    {
                        "expr": "trunkline_queue_per_compute",
                        "eval_time": "8m",
                        "exp_samples": [{"labels": f"trunkline_queue_per_compute{{{labels}}}", "value": 2}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test))
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
