"""Heads that answer on the thread of their pass: which ones, for how long, and what becomes of their errors."""

import threading
import time

import numpy as np
import pytest

from trunkline.backbone.engine import BackboneEngine
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import FeatureRequest, Features, HeadAnswer, HeadInfo
from trunkline.core.images import ImageLimits
from trunkline.core.pace import Pace
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.core.results import Custom
from trunkline.gateway import early as early_module
from trunkline.gateway.answers import Ask
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.early import EarlyAnswers
from trunkline.serving.workers import WorkerPool

FRAME = Frame(500, 375, 1.0, 0.0, 1.0, 0.0, 224, 224)
FEATURES = Features({"pooled": np.zeros((1, 4), np.float32)}, FRAME, "digest", 0.0, 0.0, 0.0)


def entry(feature: str = "pooled") -> HeadEntry:
    info = HeadInfo("head", "1", "waiting", "d", "net", "digest", (feature,), PreprocessSpec(), "features")
    return HeadEntry(info, runner=None)  # type: ignore[arg-type]  (nobody asks it)


def answer(features: Features) -> HeadAnswer:
    return HeadAnswer(Custom({"mean": float(features.arrays["pooled"].mean())}), "1", 0.5)


def refuse(features: Features) -> HeadAnswer:
    raise InvalidRequestError("top_k is too large")


def test_answers_and_errors_are_kept_for_who_asked():
    early = EarlyAnswers({"one": (entry(), answer), "two": (entry(), refuse), "three": (entry(), answer)})
    early(FEATURES)
    assert early.get(Ask("one")).result().result == Custom({"mean": 0.0})
    assert early.get(Ask("one")).took_s > 0
    with pytest.raises(InvalidRequestError, match="top_k"):
        early.get(Ask("two")).result()
    assert early.get(Ask("three")).error is None
    assert early.get(Ask("four")) is None


def test_a_head_whose_features_were_not_made_here_is_left_to_others():
    early = EarlyAnswers({"far": (entry("c5"), answer), "near": (entry(), answer)})
    early(FEATURES)
    assert early.get(Ask("far")) is None
    assert early.get(Ask("near")) is not None


def test_heads_beyond_the_time_of_one_thread_are_left_to_others(monkeypatch):
    monkeypatch.setattr(early_module, "_MOST_S", 0.02)

    def long(features: Features) -> HeadAnswer:
        time.sleep(0.05)
        return answer(features)

    early = EarlyAnswers({"first": (entry(), long), "second": (entry(), answer)})
    early(FEATURES)
    assert early.get(Ask("first")) is not None
    assert early.get(Ask("second")) is None


def ran(pace: Pace, took_s: float, times: int = 1, **params: object) -> bool:
    for _ in range(times):
        pace.ran(params, took_s)
    return pace.is_quick(params)


def test_a_head_is_quick_once_its_latest_runs_were_and_until_one_was_long():
    pace = Pace()
    assert not ran(pace, 0.0005, times=7)
    assert ran(pace, 0.005)  # a thread that had to wait for a core is no slow head
    assert not ran(pace, 0.3)
    assert ran(pace, 0.0005, times=16)
    assert not ran(pace, 0.004, times=9)


def test_a_head_is_quick_with_the_parameters_that_it_was_quick_with():
    pace = Pace()
    assert ran(pace, 0.0005, times=8, top_k=5)
    assert not pace.is_quick({"top_k": 6})
    assert not pace.is_quick({})
    assert not ran(pace, 0.0005, times=8, note="x" * 300)  # made-up parameters are not kept without end
    for number in range(200):
        ran(pace, 0.0005, number=number)
    assert not pace.is_quick({"top_k": 5})
    assert ran(pace, 0.0005, times=8, top_k=5)


async def test_the_thread_that_made_the_features_goes_on_with_them(models, photos):
    workers = WorkerPool(1, 8)
    try:
        bundle = Repository(models).backbone("efficientnet-lite0")
        engine = BackboneEngine.load(bundle, workers, ImageLimits())
        seen: list[tuple[str, Features]] = []
        request = FeatureRequest(
            photos[0].read_bytes(),
            bundle.manifest.preprocess,
            ("pooled",),
            then=lambda features: seen.append((threading.current_thread().name, features)),
        )
        found = await engine.extract(request, timeout_s=60)
    finally:
        workers.close()
    ((thread, early),) = seen
    assert thread == "worker-0"
    assert np.array_equal(early.arrays["pooled"], found.arrays["pooled"])
