"""The engine takes all cores for a pass that is alone, and one core for passes side by side."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from trunkline.backbone import engine as engine_module
from trunkline.backbone.engine import BackboneEngine
from trunkline.core.exchange import FeatureRequest
from trunkline.core.images import ImageLimits
from trunkline.core.repository import Repository
from trunkline.serving import session as module
from trunkline.serving.execution import Execution
from trunkline.serving.session import load_session
from trunkline.serving.wide_choice import WideChoice
from trunkline.serving.workers import Priority, WorkerPool

ROOT = Path(__file__).parents[2]
COFFEE = (ROOT / "tests/samples/coffee.jpg").read_bytes()


@pytest.fixture
def pool():
    pool = WorkerPool(threads=2, max_held=64)
    yield pool
    pool.close()


def engine(pool, wide_threads, monkeypatch) -> tuple[BackboneEngine, list[bool]]:
    """And a list that gets, for each pass, whether it was wide."""
    bundle = Repository(ROOT / "models").backbone("efficientnet-lite0")
    made = BackboneEngine.load(bundle, pool, ImageLimits(), Execution(wide_threads=wide_threads))
    for thread in threading.enumerate():
        if thread.name == "widen":
            thread.join(60)
    widths: list[bool] = []
    run = made._session.run_in_place
    monkeypatch.setattr(WideChoice, "choose", lambda self: True)  # how fast this machine is does not matter here

    def noted(*args, wide=False):
        widths.append(wide)
        return run(*args, wide=wide)

    monkeypatch.setattr(made._session, "run_in_place", noted)
    return made, widths


def wait_until_none_runs(pool):
    """A thread that has answered may be held up before it leaves the cores."""
    while pool.cores._running:
        time.sleep(0.001)


@pytest.fixture
def request_():
    spec = Repository(ROOT / "models").head("imagenet").manifest.preprocess
    return FeatureRequest(COFFEE, spec, ("pooled",))


async def test_passes_one_after_the_other_are_wide_and_passes_together_are_not(pool, request_, monkeypatch):
    backbone, widths = engine(pool, 2, monkeypatch)
    alone = []
    for _ in range(3):
        alone.append(await backbone.extract(request_, None))
        await asyncio.to_thread(wait_until_none_runs, pool)
    assert widths == [True, True, True]
    together = await asyncio.gather(*(backbone.extract(request_, None) for _ in range(12)))
    assert widths[3:].count(False) >= 10  # the first may have begun before the others came
    assert len({found.arrays["pooled"].tobytes() for found in [*alone, *together]}) == 1


async def test_without_wide_threads_no_pass_is_wide(pool, request_, monkeypatch):
    backbone, widths = engine(pool, 1, monkeypatch)
    await backbone.extract(request_, None)
    assert widths == [False]


async def test_a_head_that_comes_while_a_picture_is_decoded_goes_before_its_pass(request_, monkeypatch):
    pool, loop, order = WorkerPool(threads=1, max_held=8), asyncio.get_running_loop(), []
    try:
        backbone, _ = engine(pool, 1, monkeypatch)
        decode, run, heads = engine_module.preprocess, backbone._session.run_in_place, []

        def ask():
            heads.append(asyncio.ensure_future(pool.run(lambda: order.append("head"), Priority.HEAD)))

        def decode_meanwhile(*args):
            loop.call_soon_threadsafe(ask)
            while not pool.waiting:
                time.sleep(0.001)
            return decode(*args)

        monkeypatch.setattr(engine_module, "preprocess", decode_meanwhile)
        monkeypatch.setattr(
            backbone._session, "run_in_place", lambda *args, **given: order.append("pass") or run(*args, **given)
        )
        await backbone.extract(request_, None)
        await asyncio.gather(*heads)
        assert order == ["head", "pass"]
    finally:
        pool.close()


def test_a_second_session_that_computes_other_bits_is_not_used(monkeypatch, caplog):
    bundle = Repository(ROOT / "models").backbone("efficientnet-lite0")
    session = load_session(bundle, Execution(wide_threads=2))
    inputs, _ = bundle.read_golden()
    one = session._session

    class Other:
        """Sees other pixels, so it computes other bits."""

        def run(self, names, given):
            return one.run(names, {"image": given["image"] ^ 1})

    monkeypatch.setattr(module, "_open", lambda *args: Other())
    session.widen(bundle.read_model(), inputs)
    assert not session.can_be_wide
    assert "other results" in caplog.text
