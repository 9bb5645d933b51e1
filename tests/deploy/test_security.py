"""Pods are restricted, and the network lets through what the settings ask for and nothing else."""

import copy
import json
import shutil
import subprocess

import pytest
import yaml

from tests.deploy.chart import ROOT, VALUES, Manifest, Pod, environment, matches, of_kind, pods, refusal, render
from tests.deploy.pod_security import faults


@pytest.mark.parametrize("values", VALUES)
def test_every_pod_is_restricted(values):
    for pod in pods(render(values)):
        assert faults(pod.spec) == [], pod.name
        assert pod.spec["securityContext"]["runAsUser"] == pod.spec["securityContext"]["fsGroup"] == 65532
        assert not pod.spec["enableServiceLinks"]  # it would set TRUNKLINE_PORT and the like


def test_the_check_of_pods_sees_what_is_not_restricted():
    spec = pods(render())[0].spec
    for place, name, value in (
        ("pod", "hostNetwork", True),
        ("pod", "volumes", [{"name": "x", "hostPath": {"path": "/"}}]),
        ("container", "privileged", True),
        ("container", "allowPrivilegeEscalation", True),
        ("container", "capabilities", {"drop": []}),
        ("container", "runAsUser", 0),
        ("container", "readOnlyRootFilesystem", False),
        ("container", "seccompProfile", {"type": "Unconfined"}),
    ):
        bad = copy.deepcopy(spec)
        (bad if place == "pod" else bad["containers"][0]["securityContext"])[name] = value
        assert len(faults(bad)) == 1, name


@pytest.mark.parametrize("values", VALUES)
def test_a_token_is_mounted_where_jobs_are_made_and_nowhere_else(values):
    manifests = render(values)
    tokens = {pod.name for pod in pods(manifests) if pod.spec["automountServiceAccountToken"]}
    assert tokens == ({"trunkline-training"} if of_kind(manifests, "RoleBinding") else set())
    assert not any(each["automountServiceAccountToken"] for each in of_kind(manifests, "ServiceAccount"))


def allowed(manifests: list[Manifest], source: Pod, target: Pod, port: Manifest) -> bool:
    """Whether a connection passes the egress of one pod and the ingress of the other."""
    out = [rule for each in policies_of(manifests, source) for rule in each["spec"].get("egress", [])]
    into = [rule for each in policies_of(manifests, target) for rule in each["spec"].get("ingress", [])]
    return any(lets(rule, "to", target, port) for rule in out) and any(
        lets(rule, "from", source, port) for rule in into
    )


def policies_of(manifests: list[Manifest], pod: Pod) -> list[Manifest]:
    found = [each for each in of_kind(manifests, "NetworkPolicy") if matches(each["spec"]["podSelector"], pod.labels)]
    assert found, pod.name
    assert all(each["spec"]["policyTypes"] == ["Ingress", "Egress"] for each in found)
    return found


def lets(rule: Manifest, side: str, pod: Pod, port: Manifest) -> bool:
    ports = [each["port"] for each in rule.get("ports", [])]
    if ports and not {port["name"], port["containerPort"]} & set(ports):
        return False
    peers = rule.get(side)
    return not peers or any(
        "podSelector" in peer and "namespaceSelector" not in peer and matches(peer["podSelector"], pod.labels)
        for peer in peers
    )


@pytest.mark.parametrize("values", [name for name in VALUES if name != "values-minimal.yaml"])
def test_the_gateway_reaches_its_services_and_nobody_else_reaches_anything(values):
    manifests = render(values)
    everyone = [pod for pod in pods(manifests) if pod.name != "trunkline-test"]
    gateway = next(pod for pod in everyone if pod.name == "trunkline-gateway")
    settings = environment(manifests, gateway.spec["containers"][0])
    asked = ",".join(text for name, text in settings.items() if name.endswith(("_ADDRESS", "_ADDRESSES")))
    wanted = {
        (gateway.name, name, int(port))
        for name, _, port in (each.removeprefix("dns:///").partition(":") for each in asked.split(","))
        if name.startswith("trunkline-")
    }
    passing = {
        (source.name, target.name, port["containerPort"])
        for source in everyone
        for target in everyone
        if source is not target
        for container in target.spec["containers"]
        for port in container["ports"]
        if allowed(manifests, source, target, port)
    }
    assert passing - {each for each in passing if each[1] == gateway.name} == wanted
    assert bool(wanted) == (values != "values-gpu.yaml")


@pytest.mark.parametrize("values", [name for name in VALUES if name != "values-minimal.yaml"])
def test_strangers_reach_the_gateway_and_metrics_where_no_scraper_is_named_and_nothing_else(values):
    manifests = render(values)
    stranger = Pod("stranger", {}, {}, {})
    reached = {
        (pod.name, port["name"])
        for pod in pods(manifests)
        if pod.name != "trunkline-test"
        for container in pod.spec["containers"]
        for port in container["ports"]
        for each in policies_of(manifests, pod)
        for rule in each["spec"].get("ingress", [])
        if lets(rule, "from", stranger, port)
    }
    calls = {each for each in reached if not each[1].startswith("metrics")}
    assert calls == {("trunkline-gateway", "grpc")}
    assert (reached == calls) == (values == "values-production.yaml")


@pytest.mark.slow
def test_checkov_finds_nothing(tmp_path):
    checkov = shutil.which("checkov")
    if checkov is None:
        pytest.skip("needs checkov, in an environment of its own: pip install checkov")
    for values in VALUES:
        (tmp_path / values).write_text(yaml.safe_dump_all(render(values)))
    command = [checkov, "--framework", "kubernetes", "--directory", str(tmp_path), "--output", "json"]
    command += ["--skip-download", "--config-file", str(ROOT / "deploy/checkov.yaml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert [(each["check_id"], each["resource"]) for each in found["results"]["failed_checks"]] == []
    assert found["summary"]["parsing_errors"] == 0
    assert found["summary"]["passed"] > 100 * len(VALUES)


def test_in_production_every_process_has_tls_and_knows_who_calls():
    manifests = render("values-production.yaml")
    for pod in pods(manifests):
        if pod.name == "trunkline-test":
            continue
        secrets = {each["name"]: each["secret"]["secretName"] for each in pod.spec["volumes"] if "secret" in each}
        assert secrets == {"tls": "trunkline-tls", "access": "trunkline-access"}, pod.name
        for container in pod.spec["containers"]:
            mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
            found = environment(manifests, container)
            assert found["TRUNKLINE_INSECURE"] == "false"
            for name, file in (("CERT", "tls.crt"), ("KEY", "tls.key"), ("CLIENT_CA", "ca.crt")):
                assert found[f"TRUNKLINE_TLS_{name}"] == f"{mounts['tls']}/{file}"
            assert found["TRUNKLINE_AUTH"] == ("keys" if container["name"] == "gateway" else "mtls")
            assert found["TRUNKLINE_ACCESS_FILE"] == f"{mounts['access']}/access.json"


def test_the_certificate_has_the_names_by_which_services_are_called():
    manifests = render("values-production.yaml")
    (certificate,) = of_kind(manifests, "Certificate")
    names = set(certificate["spec"]["dnsNames"])
    assert {each["metadata"]["name"] for each in of_kind(manifests, "Service")} <= names
    assert "localhost" in names
    assert certificate["spec"]["ipAddresses"] == ["127.0.0.1"]
    assert {"server auth", "client auth"} <= set(certificate["spec"]["usages"])


@pytest.mark.parametrize(
    ("security", "advice"),
    [
        ({"insecure": False}, "set security.tls and security.auth"),
        ({"auth": ["keys"]}, "set security.accessSecret.name"),
        ({"auth": ["keys"], "accessSecret": {"name": "x"}}, "set security.tls.secretName"),
        ({"tls": {"certManager": {"enabled": True}}}, "set security.tls.certManager.issuerRef.name"),
    ],
)
def test_what_would_guard_nothing_is_refused(security, advice):
    assert advice in refusal("values.yaml", f"security={json.dumps(security)}")
