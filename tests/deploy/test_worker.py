"""The pod template of training jobs, filled in by the launcher that a cluster would get it from."""

import kubernetes_validate
import pytest
import yaml

from tests.deploy.chart import NAMESPACE, Manifest, Pod, environment, matches, named, of_kind, pods, render
from tests.deploy.pod_security import faults
from trunkline.jobs.launcher import Launch
from trunkline.jobs.pod_template import check_template, manifest

_VARIABLES = ("TRUNKLINE_TRAINING_WORK", "TRUNKLINE_TRAINING_CACHE", "TRUNKLINE_MODELS_CACHE")


@pytest.fixture
def manifests() -> list[Manifest]:
    return render("values-production.yaml")


@pytest.fixture
def service(manifests) -> Pod:
    return next(each for each in pods(manifests) if each.name == "trunkline-training")


@pytest.fixture
def job(manifests, service) -> Manifest:
    """The Job of one attempt, made as the training service makes it."""
    settings = environment(manifests, service.spec["containers"][0])
    template = yaml.safe_load(named(manifests, "ConfigMap", "trunkline-worker")["data"]["worker.yaml"])
    image = settings["TRUNKLINE_TRAINING_KUBERNETES_IMAGE"]
    secret, _, key = settings["TRUNKLINE_TRAINING_KUBERNETES_DATABASE_SECRET"].partition("/")
    passed = {name: settings[name] for name in (*_VARIABLES, "TRUNKLINE_MODELS")}
    launch = Launch("job-1", ("-m", "trunkline.training.worker"), passed | {"TRUNKLINE_TRAINING_DATABASE": "x"})
    checked = check_template(template, image, "the chart's")
    return manifest(launch, checked, NAMESPACE, image, {"TRUNKLINE_TRAINING_DATABASE": (secret, key)})


def test_the_job_is_valid_and_restricted(job):
    kubernetes_validate.validate(job, kubernetes_validate.latest_version(), strict=True)
    assert faults(job["spec"]["template"]["spec"]) == []
    assert job["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_nothing_is_read_for_callers_but_what_is_mounted_as_data(manifests, service):
    container = service.spec["containers"][0]
    roots = environment(manifests, container)["TRUNKLINE_TRAINING_DATA_ROOTS"]
    assert roots in {each["mountPath"] for each in container["volumeMounts"] if each["name"] == "data"}


def test_the_worker_has_what_the_service_has_at_the_same_paths(job, service):
    worker = job["spec"]["template"]["spec"]
    mounts = {each["mountPath"]: each for each in worker["containers"][0]["volumeMounts"]}
    volumes = {each["name"]: each for each in worker["volumes"]}
    for mount in service.spec["containers"][0]["volumeMounts"]:
        if mount["name"] in ("training", "data"):
            assert mounts[mount["mountPath"]] == mount
            assert volumes[mount["name"]] in service.spec["volumes"]
    written = {each["value"] for each in worker["containers"][0]["env"] if each["name"] in _VARIABLES}
    writable = [path for path, mount in mounts.items() if not mount.get("readOnly")]
    assert len(written) == 3
    assert all(any(folder.startswith(path) for path in writable) for folder in written)


def test_its_account_config_and_secrets_are_there_and_no_password_is_in_it(manifests, job):
    spec = job["spec"]["template"]["spec"]
    assert named(manifests, "ServiceAccount", spec["serviceAccountName"])
    assert [each["secretRef"]["name"] for each in spec["containers"][0]["envFrom"]] == ["trunkline-s3"]
    database = next(each for each in spec["containers"][0]["env"] if each["name"] == "TRUNKLINE_TRAINING_DATABASE")
    assert database["valueFrom"] == {"secretKeyRef": {"name": "trunkline-database", "key": "url"}}


def test_a_network_policy_is_for_workers_and_lets_nobody_in(manifests, job):
    labels = job["spec"]["template"]["metadata"]["labels"]
    found = [each for each in of_kind(manifests, "NetworkPolicy") if matches(each["spec"]["podSelector"], labels)]
    assert [each["metadata"]["name"] for each in found] == ["trunkline-worker"]
    assert "ingress" not in found[0]["spec"]
    assert found[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
    ports = {port["port"] for rule in found[0]["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 443, 5432}


def test_a_change_of_the_template_rolls_the_service():
    before, after = (
        next(each for each in pods(render("values-production.yaml", *sets)) if each.name == "trunkline-training")
        for sets in ((), ('training.worker.nodeSelector={"disk": "fast"}',))
    )
    assert before.annotations["checksum/settings"] != after.annotations["checksum/settings"]
