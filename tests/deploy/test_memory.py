"""Limits of memory are enough for what the settings allow a process to hold: the sum that values.yaml describes."""

import pytest

from tests.deploy.chart import VALUES, Manifest, cores, environment, mebibytes, render
from tests.deploy.test_settings import processes, settings_of
from trunkline.core.shrink import LARGE_BYTES
from trunkline.serving.settings import Settings

MIB = 2**20
IDLE = {"gateway": 130, "backbone": 180, "head": 200, "all": 400}
_RECEIVED = 1.5  # times the memory of requests: those that are half received come to those that are held
_ANSWER = 3  # bytes for each pixel of a large picture


def role_of(container: Manifest) -> str:
    return str(container["args"][1]) if len(container["args"]) > 1 else "all"


def needed_mib(role: str, container: Manifest, settings: Settings, memory_volumes: float) -> float:
    """What a process may hold at a time."""
    limits = container["resources"]["limits"]
    needed = IDLE[role] + _RECEIVED * settings.request_memory_mib
    if role in ("backbone", "all"):
        threads = settings.threads or max(1, int(cores(limits["cpu"])))
        decoding = settings.image_limits.decode_bytes + (threads - 1) * LARGE_BYTES
        needed += (decoding + settings.feature_cache_bytes) / MIB
    if role == "backbone":
        needed += memory_volumes
    if role == "all" or container["args"][-1] in ("segmentation", "detection"):
        needed += _ANSWER * settings.max_image_pixels / MIB
    if role in ("gateway", "all") and settings.gallery_database:
        needed += settings.gallery_memory_mib
    return needed


@pytest.mark.parametrize("values", VALUES)
def test_limits_of_memory_hold_what_the_settings_allow(values, monkeypatch):
    manifests, seen = render(values), 0
    for pod, container in processes(manifests):
        role = role_of(container)
        if role not in IDLE:
            continue
        seen += 1
        volumes = pod.spec.get("volumes", [])
        shared = [each["emptyDir"] for each in volumes if each.get("emptyDir", {}).get("medium") == "Memory"]
        in_memory = sum(mebibytes(each["sizeLimit"]) for each in shared)
        settings = settings_of(manifests, container, monkeypatch)
        needed = needed_mib(role, container, settings, in_memory)
        limit = mebibytes(container["resources"]["limits"]["memory"])
        assert limit >= needed, f"{values}: {container['name']} may hold {needed:.0f} MiB; its limit is {limit:.0f}"
    assert seen


def test_a_higher_limit_of_pixels_needs_more_memory(monkeypatch):
    """The sum follows the settings: with 200 megapixels the default limits are too small."""
    manifests = render("values.yaml", 'defaults.config={"TRUNKLINE_MAX_IMAGE_PIXELS": "200000000"}')
    (container,) = (each for _, each in processes(manifests) if role_of(each) == "backbone")
    assert environment(manifests, container)["TRUNKLINE_MAX_IMAGE_PIXELS"] == "200000000"
    settings = settings_of(manifests, container, monkeypatch)
    assert needed_mib("backbone", container, settings, 0) > mebibytes(container["resources"]["limits"]["memory"])
