"""Dashboard, alert rules and the list of metrics say what the code does."""

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.service.scrape import settled
from trunkline.client import AsyncClient, ServiceError
from trunkline.serving.telemetry.catalogue import METRICS
from trunkline.testing import serve

FOLDER = Path(__file__).parents[2] / "deploy/observability"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
ALERTS = yaml.safe_load((FOLDER / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
_NAME = re.compile(r"\b((?:trunkline|grpc|process)_\w+)\b(?!\s*=)")
_LABELS = {label for metric in METRICS for label in metric.labels}


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return [*panels, *(variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:])] + [
        rule["expr"] for rule in RULES
    ]


def names() -> set[str]:
    """What is asked of Prometheus, without names of labels."""
    return {name for text in expressions() for name in _NAME.findall(text)} - _LABELS


async def test_everything_that_dashboard_and_alerts_ask_for_is_in_a_real_scrape(photos):
    async with (
        serve(metrics_address="127.0.0.1:0", heads=("imagenet",), max_queue=2) as host,
        AsyncClient(host.address) as client,
    ):
        calls = (client.analyze(photos[0], ["imagenet", "nothing"]) for _ in range(20))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(ServiceError):
            await client.classify(b"no picture")
        found = await settled(host.telemetry.address)
    assert not [answer for answer in answers if isinstance(answer, Exception)]
    assert len(names()) > 15
    assert names() <= {sample.name for sample in found.samples}


def test_every_metric_of_the_list_is_on_the_dashboard_or_explained_by_one_that_is():
    asked = " ".join(sorted(names()))
    absent = {metric.name for metric in METRICS if metric.name not in asked}
    # What began is what ended and what is in flight; the backbone hardly ever changes.
    assert absent <= {"grpc_server_call_started_total", "trunkline_backbone_info"}


def test_every_panel_has_a_title_and_a_question_and_none_lies_over_another():
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert all(panel["title"] and panel["targets"] for panel in panels)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_what_and_where_to_look():
    for rule in RULES:
        assert rule["annotations"]["summary"], rule
        assert rule["annotations"]["description"], rule
        assert rule["labels"]["severity"] in ("warning", "critical"), rule


@pytest.mark.parametrize(
    "arguments",
    [("check", "rules", "alerts.yml"), ("test", "rules", "alerts.test.yml"), ("check", "config", "prometheus.yml")],
    ids=" ".join,
)
def test_promtool_agrees(arguments):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, which comes with Prometheus: apt-get install prometheus")
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout + done.stderr


def test_every_question_of_the_dashboard_is_promql(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool, which comes with Prometheus: apt-get install prometheus")
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, text in enumerate(asked)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
