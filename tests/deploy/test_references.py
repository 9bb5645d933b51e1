"""Nothing that a manifest refers to is missing: accounts, config maps, claims, selectors, ports, roles."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.chart import VALUES, Manifest, Pod, matches, named, of_kind, pods, render

# What the release does not make: the values files say who does.
_OUTSIDE = {"trunkline-models", "trunkline-data", "trunkline-s3", "trunkline-database"}


@pytest.fixture(params=VALUES)
def manifests(request) -> list[Manifest]:
    return render(request.param)


def made(manifests: list[Manifest], kind: str) -> set[str]:
    return {each["metadata"]["name"] for each in of_kind(manifests, kind)} | _OUTSIDE


def found(node: Any, key: str) -> Iterator[Any]:
    """All values of a key, anywhere below."""
    if isinstance(node, dict):
        yield from (value for name, value in node.items() if name == key)
        for value in node.values():
            yield from found(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from found(value, key)


def selected(manifests: list[Manifest], selector: Manifest) -> list[Pod]:
    return [each for each in pods(manifests) if matches(selector, each.labels)]


def test_accounts_config_maps_secrets_and_claims_are_there(manifests):
    for pod in pods(manifests):
        account = pod.spec.get("serviceAccountName")
        assert account is None or account in made(manifests, "ServiceAccount")
        for kind, key in (("ConfigMap", "configMapRef"), ("ConfigMap", "configMap"), ("Secret", "secretRef")):
            assert {each["name"] for each in found(pod.spec, key)} <= made(manifests, kind), (pod.name, key)
        assert {each["name"] for each in found(pod.spec, "secretKeyRef")} <= _OUTSIDE
        assert {each["claimName"] for each in found(pod.spec, "persistentVolumeClaim")} <= made(
            manifests, "PersistentVolumeClaim"
        )


def test_no_account_config_map_or_role_is_left_over(manifests):
    accounts = {pod.spec.get("serviceAccountName") for pod in pods(manifests)}
    workers = {"trunkline-worker"} if any("worker.yaml" in each for each in found(manifests, "data")) else set()
    assert {each["metadata"]["name"] for each in of_kind(manifests, "ServiceAccount")} == accounts - {None} | workers
    keys = ("configMapRef", "configMap")
    used = {each["name"] for pod in pods(manifests) for key in keys for each in found(pod.spec, key)}
    assert {each["metadata"]["name"] for each in of_kind(manifests, "ConfigMap")} - {"trunkline-dashboard"} == used


def test_every_mount_has_its_volume_and_every_volume_a_mount(manifests):
    for pod in pods(manifests):
        mounted = {each["name"] for each in found(pod.spec["containers"], "volumeMounts") for each in each}
        assert mounted == {each["name"] for each in pod.spec.get("volumes", [])}, pod.name


def test_every_selector_selects_the_pods_of_one_component(manifests):
    for each in of_kind(manifests, "Deployment", "PodDisruptionBudget", "Service", "NetworkPolicy"):
        spec = each["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        chosen = [pod.labels["app.kubernetes.io/component"] for pod in selected(manifests, selector)]
        name = each["metadata"]["name"]
        if (each["kind"], name) == ("NetworkPolicy", "trunkline-default"):
            assert len(chosen) == len(of_kind(manifests, "Deployment"))
        elif (each["kind"], name) == ("NetworkPolicy", "trunkline-worker"):
            assert chosen == []  # pods of Jobs: test_worker.py
        else:
            assert chosen == [each["metadata"]["labels"]["app.kubernetes.io/component"]], name


def test_spread_is_over_the_pods_of_the_same_deployment(manifests):
    for pod in pods(manifests):
        for each in pod.spec.get("topologySpreadConstraints", []):
            assert [other.name for other in selected(manifests, each["labelSelector"])] == [pod.name]


def test_ports_of_services_probes_and_policies_are_those_of_containers(manifests):
    for each in of_kind(manifests, "Service"):
        (pod,) = selected(manifests, each["spec"]["selector"])
        ports = {port["name"]: port["containerPort"] for port in found_ports(pod)}
        for port in each["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], each["metadata"]["name"]
    for pod in pods(manifests):
        numbers = [port["containerPort"] for port in found_ports(pod)]
        assert len(set(numbers)) == len(numbers), pod.name
        assert {probe["port"] for probe in found(pod.spec, "grpc")} <= set(numbers)
    for each in of_kind(manifests, "NetworkPolicy"):
        for pod in selected(manifests, each["spec"]["podSelector"]):
            asked = {port["port"] for rule in each["spec"].get("ingress", []) for port in rule["ports"]}
            assert asked <= {port["name"] for port in found_ports(pod)}, each["metadata"]["name"]


def found_ports(pod: Pod) -> list[Manifest]:
    return [port for container in pod.spec["containers"] for port in container.get("ports", [])]


def test_autoscalers_scale_what_is_there(manifests):
    for each in of_kind(manifests, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        assert named(manifests, target["kind"], target["name"])["spec"]["replicas"] == each["spec"]["minReplicas"]


def test_one_role_is_given_to_one_account_which_makes_jobs_and_nothing_else(manifests):
    for each in of_kind(manifests, "RoleBinding"):
        rules = named(manifests, each["roleRef"]["kind"], each["roleRef"]["name"])["rules"]
        assert rules[0] == {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "delete"]}
        assert rules[1:] in ([], [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])
        assert {subject["name"] for subject in each["subjects"]} <= made(manifests, "ServiceAccount")
    assert not of_kind(manifests, "ClusterRole", "ClusterRoleBinding")


def test_the_route_leads_to_a_port_of_the_gateway(manifests):
    for each in of_kind(manifests, "GRPCRoute"):
        for backend in found(each, "backendRefs"):
            ports = named(manifests, "Service", backend[0]["name"])["spec"]["ports"]
            assert backend[0]["port"] in [port["port"] for port in ports]


def test_monitors_find_the_metrics_of_every_process_once(manifests):
    for monitor in of_kind(manifests, "ServiceMonitor"):
        services = [
            each
            for each in of_kind(manifests, "Service")
            if matches(monitor["spec"]["selector"], each["metadata"]["labels"])
        ]
        wanted = {each["port"] for each in monitor["spec"]["endpoints"]}
        scraped = [
            (pod.name, port["targetPort"])
            for each in services
            for pod in selected(manifests, each["spec"]["selector"])
            for port in each["spec"]["ports"]
            if port["name"] in wanted
        ]
        shown = [
            (pod.name, port["name"])
            for pod in pods(manifests)
            for port in found_ports(pod)
            if port["name"].startswith("metrics")
        ]
        assert sorted(scraped) == sorted(shown)
