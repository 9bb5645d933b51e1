"""Every values file gives manifests that a cluster takes, and what cannot work is refused with what to do."""

import json

import kubernetes_validate
import pytest

from tests.deploy.chart import VALUES, named, pods, refusal, render, run_helm
from trunkline.core.repository import Repository
from trunkline.core.tasks import task_names

OLDEST, CURRENT = "1.25.0", kubernetes_validate.latest_version()
# Their operators bring the schemas.
_FOREIGN = ("BackendTLSPolicy", "Certificate", "GRPCRoute", "ServiceMonitor", "PrometheusRule")


@pytest.mark.parametrize("values", VALUES)
def test_helm_has_nothing_to_say_against_it(values):
    done = run_helm("lint", ".", "--strict", "-f", values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize(
    ("values", "version"),
    [
        *((values, CURRENT) for values in VALUES),
        *((f"values{each}.yaml", OLDEST) for each in ("-colocated", "-production")),
    ],
)
def test_every_manifest_is_as_the_api_has_it(values, version):
    manifests = render(values, kube=version)
    assert len(manifests) > 4
    for each in manifests:
        if each["kind"] not in _FOREIGN:
            kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("values", VALUES)
def test_no_name_stands_twice_and_none_is_too_long(values):
    manifests = render(values)
    names = [(each["kind"], each["metadata"]["name"]) for each in manifests]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


def test_long_names_of_release_and_head_fit():
    long = '{"name": "abcdefghijklmnopqrst", "task": "detection"}'
    manifests = render("values.yaml", f"headServices=[{long}]", f'nameOverride="{"n" * 60}"')
    for each in manifests:
        assert len(each["metadata"]["name"]) <= 63
        kubernetes_validate.validate(each, CURRENT, strict=True)


def test_a_head_service_is_one_entry_of_the_list():
    before = render("values.yaml", 'headServices=[{"name": "a", "task": "detection"}]')
    entry = '{"name": "b", "heads": ["pets", "omniglot"], "replicas": 5}'
    after = render("values.yaml", f'headServices=[{{"name": "a", "task": "detection"}}, {entry}]')
    old = {(each["kind"], each["metadata"]["name"]) for each in before}
    new = {(each["kind"], each["metadata"]["name"]) for each in after} - old
    kinds = ("ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount")
    assert new == {(kind, "trunkline-head-b") for kind in kinds}
    assert named(after, "Deployment", "trunkline-head-b")["spec"]["replicas"] == 5
    assert named(after, "ConfigMap", "trunkline-head-b")["data"]["TRUNKLINE_HEADS"] == "pets,omniglot"
    found = named(after, "ConfigMap", "trunkline-gateway")["data"]["TRUNKLINE_HEAD_ADDRESSES"]
    assert found == "dns:///trunkline-head-a:8502,dns:///trunkline-head-b:8502"


def test_several_backbone_services_have_the_backbones_that_they_name():
    services = [{"name": "a", "backbones": ["one"]}, {"name": "b", "backbones": ["two/3", "four"], "replicas": 5}]
    after = render("values.yaml", f"backboneServices={json.dumps(services)}")
    assert {each.name for each in pods(after) if "backbone" in each.name} == {
        "trunkline-backbone-a",
        "trunkline-backbone-b",
    }
    assert named(after, "Deployment", "trunkline-backbone-b")["spec"]["replicas"] == 5
    assert named(after, "ConfigMap", "trunkline-backbone-b")["data"]["TRUNKLINE_BACKBONES"] == "two/3,four"
    found = named(after, "ConfigMap", "trunkline-gateway")["data"]["TRUNKLINE_BACKBONE_ADDRESSES"]
    assert found == "dns:///trunkline-backbone-a:8501,dns:///trunkline-backbone-b:8501"


@pytest.mark.parametrize("values", ["values.yaml", "values-colocated.yaml", "values-minimal.yaml"])
@pytest.mark.parametrize(
    ("sets", "names"),
    [((), ""), (('models.backbones=["one", "two"]',), "one,two"), (('models.backbone="one/2"',), "one/2")],
)
def test_one_service_has_the_backbones_that_are_named_or_all(values, sets, names):
    maps = [each for each in render(values, *sets) if each["kind"] == "ConfigMap"]
    found = {each["data"]["TRUNKLINE_BACKBONES"] for each in maps if "TRUNKLINE_BACKBONES" in each["data"]}
    assert found == {names}


def test_every_head_that_ships_has_a_service_of_its_task(models):
    served = {
        each.spec["containers"][0]["args"][-1] for each in pods(render()) if each.name.startswith("trunkline-head-")
    }
    shipped = Repository(models)
    assert {shipped.head(name).manifest.task for name in shipped.names("head")} <= served <= set(task_names())


def test_a_change_of_settings_rolls_the_pods_that_it_is_for_and_no_others():
    checksums = [
        {each.name: each.annotations.get("checksum/settings") for each in pods(render("values.yaml", *sets))}
        for sets in ((), ('backbone.config={"TRUNKLINE_MAX_QUEUE": "99"}',), ('config={"TRUNKLINE_REFRESH_S": "3"}',))
    ]
    plain, one, all_of_them = checksums
    assert {name for name in plain if plain[name] != one[name]} == {"trunkline-backbone"}
    same = {name for name in plain if plain[name] == all_of_them[name]}
    assert same == {"trunkline-test"}  # which is no part of the service


@pytest.mark.parametrize(
    ("values", "sets", "said"),
    [
        ("values.yaml", ['form="both"'], "must be one of 'split', 'colocated', 'allInOne'"),
        ("values.yaml", ["gateway.replica=3"], "at '/gateway/replica'"),
        ("values.yaml", ['config={"LOG_LEVEL": "INFO"}'], "'LOG_LEVEL' does not match"),
        ("values.yaml", ['headServices=[{"name": "a"}]'], "headServices/0"),
        ("values.yaml", ['backbone.resources={"limits": {"memory": "1Gi"}}', "backbone.threads=-1"], "threads"),
        (
            "values.yaml",
            ['headServices=[{"name": "a", "task": "detection"}, {"name": "a", "task": "regression"}]'],
            "two head services are named a",
        ),
        (
            "values-colocated.yaml",
            ['backboneServices=[{"name": "a", "backbones": ["one"]}]'],
            "backboneServices are for form split",
        ),
        ("values.yaml", ['backboneServices=[{"name": "a"}]'], "backboneServices/0"),
        ("values.yaml", ["training.enabled=true"], "set models.source to claim or url"),
        ("values.yaml", ['models.source="claim"'], "set models.claim"),
        ("values.yaml", ['models.source="url"'], "set models.url"),
        ("values.yaml", ["galleries.enabled=true"], "set galleries.databaseSecret.name"),
        ("values.yaml", ["galleries.enabled=true", 'galleries.claim="x"'], "for one gateway"),
        ("values-training.yaml", ['training.launcher="kubernetes"'], "workers in Jobs need PostgreSQL"),
        ("values-training.yaml", ["training.replicas=2"], "for one replica"),
        ("values-training.yaml", ['form="allInOne"'], "set form to split or colocated"),
        (
            "values-production.yaml",
            ['training.storage.accessModes=["ReadWriteOnce"]'],
            "set training.storage.accessModes to [ReadWriteMany]",
        ),
        ("values.yaml", ["gatewayApi.enabled=true"], "set gatewayApi.parentRefs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_work_is_refused_with_what_to_do(values, sets, said):
    assert said in refusal(values, *sets)
