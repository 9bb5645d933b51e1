"""Heads that answer on the thread of their pass: which ones, for how long, and what becomes of their errors."""

import gc
import threading
import time
import weakref
from dataclasses import replace

import numpy as np

from trunkline.backbone import quick as quick_module
from trunkline.backbone.engine import BackboneEngine
from trunkline.backbone.quick import with_answers
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import AnswerNow, FeatureRequest, Features, HeadAnswer, HeadInfo, QuickHead
from trunkline.core.images import ImageLimits
from trunkline.core.pace import Pace
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.core.results import Custom
from trunkline.serving.workers import WorkerPool

FRAME = Frame(500, 375, 1.0, 0.0, 1.0, 0.0, 224, 224)
FEATURES = Features({"pooled": np.zeros((1, 4), np.float32)}, FRAME, "digest", 0.0, 0.0, 0.0)


def quick(asked: str, answer: AnswerNow, feature: str = "pooled") -> QuickHead:
    info = HeadInfo("head", "1", "waiting", "d", "net", "digest", (feature,), PreprocessSpec(), "features")
    return QuickHead(asked, info, answer)


def answer(features: Features) -> HeadAnswer:
    return HeadAnswer(Custom({"mean": float(features.arrays["pooled"].mean())}), "1", 0.5)


def refuse(features: Features) -> HeadAnswer:
    raise InvalidRequestError("top_k is too large")


def test_answers_and_errors_are_there_with_the_features():
    found = with_answers(FEATURES, [quick("one", answer), quick("two", refuse), quick("three", answer)])
    assert found.arrays is FEATURES.arrays
    one, two = found.answers["one"], found.answers["two"]
    assert one.answer is not None
    assert one.answer.result == Custom({"mean": 0.0})
    assert one.took_s > 0
    assert (two.answer, str(two.error)) == (None, "top_k is too large")
    assert found.answers["three"].error is None


def test_an_error_leaves_nothing_for_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        found = with_answers(FEATURES, [quick("two", refuse)])
        error = weakref.ref(found.answers["two"].error)
        del found
        assert error() is None
    finally:
        gc.enable()


def test_a_head_whose_features_were_not_made_here_is_left_to_others():
    found = with_answers(FEATURES, [quick("far", answer, "c5"), quick("near", answer)])
    assert list(found.answers) == ["near"]


def test_a_large_picture_is_left_to_others():
    large = replace(FEATURES, frame=replace(FRAME, image_width=9000, image_height=9000))
    assert with_answers(large, [quick("one", answer)]).answers == {}


def test_heads_beyond_the_time_of_one_thread_are_left_to_others(monkeypatch):
    monkeypatch.setattr(quick_module, "_MOST_S", 0.02)

    def long(features: Features) -> HeadAnswer:
        time.sleep(0.05)
        return answer(features)

    assert list(with_answers(FEATURES, [quick("first", long), quick("second", answer)]).answers) == ["first"]


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
        threads: list[str] = []

        def noted(features: Features) -> HeadAnswer:
            threads.append(threading.current_thread().name)
            return answer(features)

        request = FeatureRequest(
            photos[0].read_bytes(), bundle.manifest.preprocess, ("pooled",), quick=(quick("one", noted),)
        )
        found = await engine.extract(request, timeout_s=60)
    finally:
        workers.close()
    assert threads == ["worker-0"]
    assert found.answers["one"].answer.result == Custom({"mean": float(found.arrays["pooled"].mean())})
