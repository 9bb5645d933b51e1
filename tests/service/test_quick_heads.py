"""Quick heads answer on the thread of their pass, with the same answers as before they were known to be quick."""

import pytest

from trunkline.backbone import engine
from trunkline.client import AsyncClient, HeadAsk
from trunkline.heads.engine import HeadEngine
from trunkline.testing import serve

HEADS = ("imagenet", "pennfudan")  # a linear layer, and a head that is slow on every machine


@pytest.fixture
def quick(monkeypatch) -> dict[str, bool]:
    """For each head, whether its last answer came with the features."""
    said: dict[str, bool] = {}
    predict, with_answers = HeadEngine.predict, engine.with_answers

    async def asked(self, question, timeout_s):
        said[question.head] = False
        return await predict(self, question, timeout_s)

    def noted(found, heads):
        features = with_answers(found, heads)
        said.update(dict.fromkeys(features.answers, True))
        return features

    monkeypatch.setattr(HeadEngine, "predict", asked)
    monkeypatch.setattr(engine, "with_answers", noted)
    return said


async def test_quick_heads_answer_on_the_thread_of_their_pass_and_the_same(photos, quick):
    async with serve(heads=HEADS, feature_cache_bytes=0) as host, AsyncClient(host.address) as client:
        first = await client.analyze(photos[0], HEADS)
        assert quick == {"imagenet": False, "pennfudan": False}
        for _ in range(100):  # on a busy machine runs may be long for a while
            later = await client.analyze(photos[0], HEADS)
            if quick["imagenet"]:
                break
        assert quick == {"imagenet": True, "pennfudan": False}
        assert [outcome.result for outcome in later.outcomes] == [outcome.result for outcome in first.outcomes]
        assert all(outcome.head_ms > 0 for outcome in later.outcomes)
        alone = await client.classify(photos[0], head="imagenet")
        assert alone.result == first["imagenet"].result


async def test_a_head_that_the_call_can_do_without_waits_for_a_place(photos, quick):
    async with serve(heads=HEADS, feature_cache_bytes=0) as host, AsyncClient(host.address) as client:
        asks = [HeadAsk("imagenet", required=True), "pennfudan"]
        for _ in range(100):
            done = await client.analyze(photos[0], asks)
            if quick["imagenet"]:
                break
        assert quick == {"imagenet": True, "pennfudan": False}
        assert done["pennfudan"].result is not None


async def test_kept_features_need_no_thread_of_a_pass(photos, quick):
    async with serve(heads=("imagenet",), feature_cache_bytes=2**26) as host, AsyncClient(host.address) as client:
        found = [(await client.classify(photos[1])).result for _ in range(12)]
    assert quick == {"imagenet": False}  # only the first of them had a pass
    assert all(each == found[0] for each in found)
