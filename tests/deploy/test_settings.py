"""What the chart sets is what the program has: every variable, port, argument and time."""

import re

import pytest

from tests.deploy.chart import (
    VALUES,
    Manifest,
    Pod,
    cores,
    environment,
    mebibytes,
    named,
    of_kind,
    pods,
    render,
)
from trunkline.cli.serve import Role
from trunkline.core.tasks import task_names
from trunkline.serving.settings import Settings, read_settings

_DNS = re.compile(r"dns:///([a-z0-9-]+):(\d+)")
OLD = "1.25.0"


@pytest.fixture(params=VALUES)
def manifests(request) -> list[Manifest]:
    return render(request.param)


def processes(manifests: list[Manifest]) -> list[tuple[Pod, Manifest]]:
    """Every container that serves, with its pod."""
    return [
        (pod, container)
        for pod in pods(manifests)
        for container in pod.spec["containers"]
        if container["args"][0] == "serve"
    ]


def template_of(manifests: list[Manifest], deployment: str) -> Manifest:
    """The pod spec of a Deployment."""
    return dict(named(manifests, "Deployment", deployment)["spec"]["template"]["spec"])


def settings_of(manifests: list[Manifest], container: Manifest, monkeypatch) -> Settings:
    variables = environment(manifests, container)
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        return read_settings()


def test_every_variable_is_a_setting_and_every_value_is_taken(manifests, monkeypatch):
    known = {f"TRUNKLINE_{name.upper()}" for name in Settings.model_fields}
    for _, container in processes(manifests):
        variables = environment(manifests, container)
        assert {name for name in variables if name.startswith("TRUNKLINE_")} <= known, container["name"]
        settings_of(manifests, container, monkeypatch)


def test_every_argument_is_one_of_the_command(manifests):
    for _, container in processes(manifests):
        match container["args"][1:]:
            case []:
                pass
            case [role]:
                assert role in list(Role)
            case ["head", "--task", task]:
                assert task in task_names()
            case other:
                raise AssertionError(other)


def test_ports_are_those_that_the_processes_listen_on(manifests, monkeypatch):
    for _, container in processes(manifests):
        settings = settings_of(manifests, container, monkeypatch)
        listens = [each for each in (settings.address, settings.http_address, settings.metrics_address) if each]
        assert all(each.startswith("0.0.0.0:") for each in listens)
        numbers = {int(each.rpartition(":")[2]) for each in listens}
        assert numbers == {port["containerPort"] for port in container["ports"]}, container["name"]


@pytest.mark.parametrize("values", ["values.yaml", "values-minimal.yaml", "values-colocated.yaml"])
def test_http_is_a_port_of_container_service_and_settings_where_it_is_on(values, monkeypatch):
    manifests = render(values, "gateway.httpPort=8080")
    gateway = template_of(manifests, "trunkline-gateway")["containers"][0]
    assert settings_of(manifests, gateway, monkeypatch).http_address == "0.0.0.0:8080"
    assert {"name": "http", "containerPort": 8080} in gateway["ports"]
    service = named(manifests, "Service", "trunkline")
    assert [each["port"] for each in service["spec"]["ports"]] == [8500, 8080]


def test_the_gateway_asks_every_other_service_and_looks_all_replicas_up(manifests, monkeypatch):
    for pod, container in processes(manifests):
        if container["args"] != ["serve", "gateway"]:
            continue
        settings = settings_of(manifests, container, monkeypatch)
        asked = [*settings.backbone_targets, settings.catalog_address, *settings.head_addresses]
        asked += [settings.training_address] if settings.training_jobs else []
        beside = {each for each in asked if each.startswith("127.0.0.1:")}
        own = {port["containerPort"] for each in pod.spec["containers"] for port in each["ports"]}
        assert {int(each.partition(":")[2]) for each in beside} <= own
        away = [_DNS.fullmatch(each) for each in asked if each not in beside]
        served = {}
        for service in of_kind(manifests, "Service"):
            if service["spec"].get("clusterIP") == "None":
                served[service["metadata"]["name"]] = [str(each["port"]) for each in service["spec"]["ports"]]
        for found in away:
            assert found is not None, asked
            assert found[2] in served[found[1]], found[0]
        assert {found[1] for found in away if found} == set(served) - {"trunkline-gateway"}


def test_threads_are_those_that_the_limit_gives(manifests, monkeypatch):
    for _, container in processes(manifests):
        limit = cores(container["resources"]["limits"]["cpu"])
        assert settings_of(manifests, container, monkeypatch).worker_threads == -(-limit // 1), container["name"]


@pytest.mark.parametrize(("further", "threads"), [((), 3), (("backbone.threads=5",), 5)])
def test_threads_are_those_of_the_request_where_there_is_no_limit_or_what_is_set(further, threads, monkeypatch):
    bare = 'backbone.resources={"requests": {"cpu": "2500m"}, "limits": {"cpu": null}}'
    found = render("values.yaml", bare, *further)
    (backbone,) = template_of(found, "trunkline-backbone")["containers"]
    assert "cpu" not in backbone["resources"]["limits"]
    assert settings_of(found, backbone, monkeypatch).worker_threads == threads


@pytest.mark.parametrize("kube", [OLD, ""])
@pytest.mark.parametrize("values", VALUES)
def test_a_pod_gets_the_time_that_its_drain_may_take(values, kube, monkeypatch):
    manifests = render(values, kube=kube)
    for pod, container in processes(manifests):
        settings = settings_of(manifests, container, monkeypatch)
        before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain_s = before + settings.drain_pause_s + settings.drain_s
        assert drain_s + 5 <= pod.spec["terminationGracePeriodSeconds"], container["name"]
        # Until an endpoint that is going has gone from everywhere: five seconds that CoreDNS keeps it, and some more.
        assert before + settings.drain_pause_s >= 10
        assert bool(before) == (not kube)


def test_a_gateway_ends_before_what_it_needs_beside_it(monkeypatch):
    manifests = render("values-colocated.yaml")
    (pod,) = [each for each in pods(manifests) if len(each.spec["containers"]) > 1]
    gateway, *others = [settings_of(manifests, each, monkeypatch) for each in pod.spec["containers"]]
    assert len(others) == 5
    for other in others:
        assert other.drain_pause_s >= gateway.drain_pause_s + gateway.drain_s


def test_containers_of_one_pod_share_features_in_memory_that_their_limits_hold(monkeypatch):
    manifests = render("values-colocated.yaml")
    for pod, container in processes(manifests):
        settings = settings_of(manifests, container, monkeypatch)
        inside = len(pod.spec["containers"]) > 1 and container["args"] != ["serve", "gateway"]
        assert bool(settings.shared_memory) == inside, container["name"]
        if not inside:
            continue
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        (path,) = [each for each in mounts if settings.shared_memory.startswith(f"{each}/")]
        volume = next(each for each in pod.spec["volumes"] if each["name"] == mounts[path])
        assert volume["emptyDir"]["medium"] == "Memory"
        assert mebibytes(volume["emptyDir"]["sizeLimit"]) > settings.shared_memory_mib
        if container["name"] == "backbone":
            cache_mib = settings.feature_cache_bytes / 2**20
            limit = mebibytes(container["resources"]["limits"]["memory"])
            assert limit >= settings.shared_memory_mib + cache_mib + 256


def test_where_a_process_writes_is_a_volume_of_its_pod(manifests, monkeypatch):
    for pod, container in processes(manifests):
        settings = settings_of(manifests, container, monkeypatch)
        writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
        folders = ["/tmp", str(settings.models_cache)] if "://" in settings.models else ["/tmp"]
        if settings.gallery_database.startswith("sqlite") and container["name"] == "gateway":
            folders.append(settings.gallery_database.removeprefix("sqlite:///"))
        if pod.name == "trunkline-training":
            folders += [str(settings.training_work), str(settings.training_cache)]
        for folder in folders:
            assert any(folder == each or folder.startswith(f"{each}/") for each in writable), (
                container["name"],
                folder,
            )


def test_probes_ask_for_life_at_start_and_later_and_for_readiness(manifests):
    for _, container in processes(manifests):
        port = container["ports"][0]["containerPort"]
        for name, service in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", None)):
            probe = container[name]
            if "exec" in probe:
                asked = ["--service", service] if service else []
                wait = ["--timeout", str(probe["timeoutSeconds"])]
                # With TLS the socket that a process has for itself.
                tls = any(each["name"] == "tls" for each in container["volumeMounts"])
                where = f"unix:/tmp/trunkline-65532/0.0.0.0_{port}.sock" if tls else f"127.0.0.1:{port}"
                assert probe["exec"]["command"] == ["trunkline-health", where, *asked, *wait]
            else:
                assert probe["grpc"] == ({"port": port, "service": service} if service else {"port": port})


def test_probes_are_of_grpc_unless_commands_are_asked_for_and_wait_as_long_as_is_said():
    for values, kind in (("values.yaml", "grpc"), ("values-exec-probes.yaml", "exec")):
        for _, container in processes(render(values, "probes.timeoutSeconds=7")):
            for name in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert kind in container[name]
                assert container[name]["timeoutSeconds"] == 7


def test_models_are_written_by_those_alone_that_change_them():
    manifests = render("values-training.yaml")
    writers = {
        container["name"]
        for _, container in processes(manifests)
        for mount in container["volumeMounts"]
        if mount["name"] == "models" and not mount["readOnly"]
    }
    assert writers == {"catalog", "training"}
    gateway = template_of(manifests, "trunkline-gateway")
    assert "models" not in [each["name"] for each in gateway["volumes"]]


def test_secrets_are_referred_to_and_never_written(manifests):
    text = str([each for each in manifests if each["kind"] != "Secret"])
    assert "postgresql://" not in text
    assert not of_kind(manifests, "Secret")


def test_a_backbone_or_head_that_starts_again_keeps_its_name(manifests):
    """It listens once it can answer; other services listen earlier, so theirs name only pods that are ready."""
    component = "app.kubernetes.io/component"
    roles = {pod.labels.get(component): pod.spec["containers"][0]["args"][1:2] for pod in pods(manifests)}
    for service in of_kind(manifests, "Service"):
        if service["spec"].get("clusterIP") == "None":
            role = roles[service["spec"]["selector"][component]]
            assert service["spec"].get("publishNotReadyAddresses", False) == (role in (["backbone"], ["head"]))
