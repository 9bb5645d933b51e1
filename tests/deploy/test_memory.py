"""Limits of memory are enough for what the settings allow a process to hold: the sum that values.yaml describes."""

import json

import pytest
import yaml

from tests.deploy.chart import ROOT, VALUES, Manifest, cores, environment, mebibytes, render
from tests.deploy.test_settings import processes, settings_of
from trunkline.core.shrink import LARGE_BYTES
from trunkline.serving.large import LargeWork
from trunkline.serving.settings import Settings, read_settings

MIB = 2**20
IDLE = {"gateway": 130, "backbone": 180, "head": 200, "all": 400, "catalog": 100, "training": 150}
# Times the memory of requests: those that are half received come to those that are held. What a gateway hands on is
# there twice more, as a message and as bytes on their way: benchmarks/results/hostile.md.
_RECEIVED = {"gateway": 5.0}
_RECEIVED_ELSEWHERE = 1.5
_ANSWER = 3  # bytes for each pixel of a large picture
_EVALUATION = 400  # a process beside the training service, which the limit of its container counts too
COMPOSE = ROOT / "deploy/compose.yaml"


def role_of(container: Manifest) -> str:
    return str(container["args"][1]) if len(container["args"]) > 1 else "all"


def needed_mib(role: str, container: Manifest, settings: Settings, memory_volumes: float) -> float:
    """What a process may hold at a time."""
    threads = settings.threads or max(1, int(cores(container["resources"]["limits"]["cpu"])))
    needed = IDLE[role] + _RECEIVED.get(role, _RECEIVED_ELSEWHERE) * settings.request_memory_mib
    if role in ("backbone", "all"):
        decoding = settings.image_limits.decode_bytes + (threads - 1) * LARGE_BYTES
        needed += (decoding + settings.feature_cache_bytes) / MIB
    if role == "backbone":
        needed += memory_volumes
    if role == "all" or container["args"][-1] in ("segmentation", "detection"):
        at_once = LargeWork(threads, settings.max_queue)
        one = _ANSWER * settings.max_image_pixels
        needed += max(one, min(at_once.places * one, at_once.memory_bytes)) / MIB
    if role == "training":
        needed += _EVALUATION
    if role in ("gateway", "all") and settings.gallery_database:
        needed += settings.gallery_memory_mib
    return needed


@pytest.mark.parametrize("values", VALUES)
def test_limits_of_memory_hold_what_the_settings_allow(values, monkeypatch):
    manifests = render(values)
    for pod, container in processes(manifests):
        role = role_of(container)
        volumes = pod.spec.get("volumes", [])
        shared = [each["emptyDir"] for each in volumes if each.get("emptyDir", {}).get("medium") == "Memory"]
        in_memory = sum(mebibytes(each["sizeLimit"]) for each in shared)
        settings = settings_of(manifests, container, monkeypatch)
        needed = needed_mib(role, container, settings, in_memory)
        limit = mebibytes(container["resources"]["limits"]["memory"])
        assert limit >= needed, f"{values}: {container['name']} may hold {needed:.0f} MiB; its limit is {limit:.0f}"


def test_limits_of_the_compose_file_hold_what_the_settings_allow(monkeypatch):
    for name, service in yaml.safe_load(COMPOSE.read_text())["services"].items():
        with monkeypatch.context() as patch:
            for variable, value in service.get("environment", {}).items():
                patch.setenv(variable, value)
            settings = read_settings()
        limits = {"cpu": service["cpus"], "memory": service["mem_limit"]}
        container = {"args": service["command"], "resources": {"limits": limits}}
        needed = needed_mib(role_of(container), container, settings, 0)
        limit = mebibytes(service["mem_limit"].upper().replace("M", "Mi").replace("G", "Gi"))
        assert limit >= needed, f"{name} may hold {needed:.0f} MiB; its limit is {limit:.0f}"


@pytest.mark.parametrize(
    ("component", "role", "settings"),
    [
        ("backbone", "backbone", {"TRUNKLINE_MAX_IMAGE_PIXELS": "200000000"}),
        ("backbone", "backbone", {"TRUNKLINE_FEATURE_CACHE_BYTES": "1073741824"}),
        ("gateway", "gateway", {"TRUNKLINE_REQUEST_MEMORY_MIB": "512"}),
        ("headDefaults", "head", {"TRUNKLINE_REQUEST_MEMORY_MIB": "512"}),
        ("catalog", "catalog", {"TRUNKLINE_REQUEST_MEMORY_MIB": "256"}),
    ],
    ids=str,
)
def test_what_is_set_higher_needs_more_memory_than_the_limits_of_the_chart(component, role, settings, monkeypatch):
    manifests = render("values.yaml", f"{component}.config={json.dumps(settings)}")
    container = next(each for _, each in processes(manifests) if role_of(each) == role)
    assert settings.items() <= environment(manifests, container).items()
    found = settings_of(manifests, container, monkeypatch)
    assert needed_mib(role, container, found, 0) > mebibytes(container["resources"]["limits"]["memory"])
