"""A slow head that is alone takes all cores, with the same bits; quick ones and those beside others take one."""

import threading
from pathlib import Path

import numpy as np
import pytest

from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads import runs as module
from trunkline.heads.loading import LoadedHead, load_head
from trunkline.serving.cores import Cores
from trunkline.serving.execution import Execution
from trunkline.serving.session import OnnxSession, load_session
from trunkline.serving.wide_choice import WideChoice

ROOT = Path(__file__).parents[2]
MODELS = Repository(ROOT / "models")
TWO = Execution(wide_threads=2)


@pytest.fixture
def widths(monkeypatch) -> list[bool]:
    """For each run of a head, whether it was wide; how fast this machine is does not matter here."""
    seen: list[bool] = []
    run = OnnxSession.run

    def noted(self, inputs, outputs=None, *, wide=False):
        seen.append(wide)
        return run(self, inputs, outputs, wide=wide)

    monkeypatch.setattr(OnnxSession, "run", noted)
    monkeypatch.setattr(WideChoice, "choose", lambda self: True)
    return seen


def features_for(name: str):
    bundle = MODELS.head(name)
    backbone = load_session(MODELS.backbone("efficientnet-lite0"))
    pixels, frame = preprocess(
        EncodedImage((ROOT / "tests/samples/coffee.jpg").read_bytes()), bundle.manifest.preprocess
    )
    return backbone.run({"image": pixels}, list(bundle.manifest.features)), frame


def loaded(name: str, execution: Execution) -> LoadedHead:
    found = load_head(MODELS.head(name), None, execution)
    assert isinstance(found, LoadedHead)
    return found


def widened() -> None:
    for thread in threading.enumerate():
        if thread.name == "widen":
            thread.join(60)


def test_a_slow_head_alone_takes_all_cores_from_the_second_time_on_with_the_same_bits(widths):
    head, (features, frame), cores = loaded("camvid", TWO), features_for("camvid"), Cores(2)
    widths.clear()
    with cores.entered():
        first = head.runs.run(features, cores)
    widened()
    with cores.entered():
        second = head.runs.run(features, cores)
        answer = head.answer(features, frame, {}, cores)
    assert [wide for wide in widths if wide] == [True, True]
    assert widths[0] is False
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert answer == head.answer(features, frame, {})


def test_a_slow_head_beside_other_work_takes_one_core(widths):
    head, (features, _), cores = loaded("camvid", TWO), features_for("camvid"), Cores(2)
    with cores.entered():
        head.runs.run(features, cores)
    widened()
    widths.clear()
    with cores.entered(), cores.entered():
        head.runs.run(features, cores)
    assert widths == [False]


@pytest.mark.parametrize(
    ("name", "execution"), [("imagenet", TWO), ("camvid", Execution())], ids=["a quick head", "one thread"]
)
def test_others_have_one_session(name, execution, widths, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "widen_session", lambda *args: asked.append(args))
    head, (features, _), cores = loaded(name, execution), features_for(name), Cores(2)
    if name == "imagenet":
        monkeypatch.setattr(module, "SLOW_S", 1.0)  # a busy machine must not make it slow
    for _ in range(3):
        with cores.entered():
            head.runs.run(features, cores)
    assert not asked
    assert not any(widths)


def test_a_second_session_is_begun_once(monkeypatch):
    begun = []
    monkeypatch.setattr(module, "widen_session", lambda *args: begun.append(args))
    monkeypatch.setattr(module, "SLOW_S", 0.0)
    head, (features, _), cores = loaded("imagenet", TWO), features_for("imagenet"), Cores(2)
    for _ in range(3):
        with cores.entered():
            head.runs.run(features, cores)
    widened()
    assert len(begun) == 1


def test_what_heads_meet_says_nothing_of_passes():
    cores, meetings = Cores(2), module.Meetings()
    for _ in range(100):
        with cores.entered(), cores.entered(), cores.all_cores(meetings=meetings) as has_all:
            assert not has_all
    with cores.entered():
        with cores.all_cores(meetings=meetings) as has_all:
            assert not has_all
        with cores.all_cores() as has_all:
            assert has_all
