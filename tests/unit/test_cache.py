"""The feature cache: parts, bounds, one pass for those who ask at once, and nobody who pays for another."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from trunkline.backbone.cache import CacheStats, FeatureCache
from trunkline.core.errors import DeadlineError, InvalidImageError, QueueFullError
from trunkline.core.exchange import BackboneInfo, FeatureRequest, Features
from trunkline.core.preprocess import Frame, PreprocessSpec

FRAME = Frame(64, 64, 1.0, 0.0, 1.0, 0.0, 64, 64)
SPEC = PreprocessSpec()
KIB = 1024


class Backbone:
    """Computes arrays of 1 KiB when it is let; remembers what it was asked."""

    def __init__(self) -> None:
        self.passes: list[tuple[bytes, tuple[str, ...], float | None]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.cancelled = 0
        self.fail: Callable[[FeatureRequest, float | None], Exception | None] = lambda request, timeout_s: None

    async def describe(self) -> list[BackboneInfo]:
        return [BackboneInfo("b", "1", "digest", ())]

    async def extract(self, request: FeatureRequest, timeout_s: float | None) -> Features:
        self.passes.append((request.image, request.features, timeout_s))
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if error := self.fail(request, timeout_s):
            raise error
        arrays = {name: np.full((1, 256), len(self.passes), np.float32) for name in request.features}
        return Features(arrays, FRAME, "digest", queue_ms=1.0, decode_ms=2.0, backbone_ms=3.0)


@pytest.fixture
def backbone() -> Backbone:
    return Backbone()


def cache_of(backbone: Backbone, max_bytes: int = 100 * KIB) -> FeatureCache:
    return FeatureCache(backbone, max_bytes, CacheStats())


def ask(*features: str, image: bytes = b"picture", spec: PreprocessSpec = SPEC) -> FeatureRequest:
    return FeatureRequest(image, spec, features, backbone_digest="digest")


async def begun(*requests) -> list[asyncio.Task]:
    """Tasks that wait by now."""
    tasks = [asyncio.create_task(request) for request in requests]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_a_picture_seen_before_needs_no_pass(backbone):
    cache = cache_of(backbone)
    first, second = [await cache.extract(ask("c4", "pooled"), 1) for _ in range(2)]
    assert len(backbone.passes) == 1
    assert (first.cached, first.decode_ms, first.backbone_ms) == (False, 2.0, 3.0)
    assert (second.cached, second.queue_ms, second.decode_ms, second.backbone_ms) == (True, 0.0, 0.0, 0.0)
    assert second.frame == FRAME
    assert second.arrays["pooled"] is first.arrays["pooled"]
    assert (cache.stats.hits, cache.stats.misses, cache.stats.entries) == (1, 1, 2)


async def test_a_subset_is_served_from_parts_and_one_more_feature_costs_one_pass_for_itself(backbone):
    cache = cache_of(backbone)
    await cache.extract(ask("c4", "pooled"), 1)
    assert (await cache.extract(ask("pooled"), 1)).cached
    more = await cache.extract(ask("c5", "c4"), 1)
    assert not more.cached
    assert list(more.arrays) == ["c5", "c4"]
    assert [names for _, names, _ in backbone.passes] == [("c4", "pooled"), ("c5",)]
    assert (await cache.extract(ask("c4", "c5", "pooled"), 1)).cached


async def test_another_picture_spec_or_backbone_is_another_key(backbone):
    cache = cache_of(backbone)
    one = ask("pooled")
    others = ask("pooled", image=b"other"), ask("pooled", spec=PreprocessSpec(width=256))
    for request in (one, *others, replace(one, backbone_digest="other")):
        assert not (await cache.extract(request, 1)).cached
        assert (await cache.extract(request, 1)).backbone_digest == request.backbone_digest


async def test_arrays_that_are_shared_cannot_be_written(backbone):
    cache = cache_of(backbone)
    for _ in range(2):
        found = await cache.extract(ask("pooled"), 1)
        with pytest.raises(ValueError, match="read-only"):
            found.arrays["pooled"][0, 0] = 1


async def test_the_bytes_are_bounded_and_what_was_not_asked_for_the_longest_goes_first(backbone):
    cache = cache_of(backbone, max_bytes=5 * KIB)  # room for three
    for image in (b"1", b"2", b"3"):
        await cache.extract(ask("pooled", image=image), 1)
    await cache.extract(ask("pooled", image=b"1"), 1)
    await cache.extract(ask("pooled", image=b"4"), 1)
    assert (cache.stats.entries, cache.stats.evicted) == (3, 1)
    assert cache.stats.bytes <= 5 * KIB
    assert (await cache.extract(ask("pooled", image=b"1"), 1)).cached
    assert not (await cache.extract(ask("pooled", image=b"2"), 1)).cached


async def test_what_is_larger_than_the_cache_is_answered_and_not_kept(backbone):
    cache = cache_of(backbone, max_bytes=KIB)
    for _ in range(2):
        assert not (await cache.extract(ask("pooled"), 1)).cached
    assert (cache.stats.entries, cache.stats.bytes, cache.stats.evicted) == (0, 0, 0)


async def test_the_same_picture_asked_at_once_is_computed_once(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    tasks = await begun(*(cache.extract(ask("c4", "pooled"), 1) for _ in range(5)), cache.extract(ask("pooled"), 1))
    backbone.open.set()
    found = await asyncio.gather(*tasks)
    assert len(backbone.passes) == 1
    assert [features.cached for features in found] == [False] + [True] * 5
    assert found[-1].backbone_ms == 0.0
    assert (cache.stats.misses, cache.stats.joined, cache.stats.hits) == (1, 5, 0)


async def test_a_pass_that_runs_is_joined_for_what_it_gives_and_the_rest_gets_its_own(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    tasks = await begun(cache.extract(ask("c4"), 1), cache.extract(ask("c4", "pooled"), 1))
    backbone.open.set()
    _, both = await asyncio.gather(*tasks)
    assert [names for _, names, _ in backbone.passes] == [("c4",), ("pooled",)]
    assert set(both.arrays) == {"c4", "pooled"}
    assert not both.cached


async def test_when_the_first_goes_the_pass_goes_on_for_the_others(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    first, *others = await begun(*(cache.extract(ask("pooled"), 1) for _ in range(3)))
    first.cancel()
    others[0].cancel()
    await asyncio.gather(first, others[0], return_exceptions=True)
    backbone.open.set()
    assert (await others[1]).arrays["pooled"].shape == (1, 256)
    assert (len(backbone.passes), backbone.cancelled) == (1, 0)


async def test_when_all_go_the_pass_is_given_up_and_nobody_joins_it_any_more(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    tasks = await begun(*(cache.extract(ask("pooled"), 1) for _ in range(2)))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    backbone.open.set()
    assert not (await cache.extract(ask("pooled"), 1)).cached
    assert (len(backbone.passes), backbone.cancelled) == (2, 1)


async def test_an_error_reaches_everybody_who_waits_and_is_not_kept(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    backbone.fail = lambda request, timeout_s: InvalidImageError("no picture")
    tasks = await begun(*(cache.extract(ask("pooled"), 1) for _ in range(3)))
    backbone.open.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in errors] == [InvalidImageError] * 3
    assert len(backbone.passes) == 1
    with pytest.raises(InvalidImageError):
        await cache.extract(ask("pooled"), 1)
    assert (len(backbone.passes), cache.stats.entries) == (2, 0)


@pytest.mark.parametrize("error", [DeadlineError("late"), QueueFullError("full", retry_after_s=1)])
async def test_what_one_had_no_time_for_is_tried_again_for_those_who_have(backbone, error):
    cache = cache_of(backbone)
    backbone.open.clear()
    backbone.fail = lambda request, timeout_s: error if timeout_s is not None and timeout_s < 5 else None
    hasty, *patient = await begun(*(cache.extract(ask("pooled"), timeout_s) for timeout_s in (4, 60, 60)))
    backbone.open.set()
    with pytest.raises(type(error)):
        await hasty
    found = await asyncio.gather(*patient)
    assert [features.cached for features in found] == [False, True]
    assert len(backbone.passes) == 2


async def test_one_who_has_no_more_time_leaves_alone(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    patient, hasty = await begun(cache.extract(ask("pooled"), 60), cache.extract(ask("pooled"), 0.02))
    with pytest.raises(DeadlineError):
        await hasty
    backbone.open.set()
    assert not (await patient).cached
    assert backbone.cancelled == 0


async def test_a_required_request_is_not_lost_with_an_optional_one(backbone):
    cache = cache_of(backbone)
    backbone.open.clear()
    backbone.fail = lambda request, timeout_s: None if request.required else QueueFullError("no", retry_after_s=1)
    optional = FeatureRequest(b"picture", SPEC, ("pooled",), required=False)
    dropped, kept = await begun(cache.extract(optional, 1), cache.extract(ask("pooled"), 1))
    backbone.open.set()
    with pytest.raises(QueueFullError):
        await dropped
    assert "pooled" in (await kept).arrays
