"""I/O binding, on the CPU provider: features that stay where they are give the same numbers, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import select
from trunkline.core.images import EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.heads.loading import LoadedHead, load_head
from trunkline.serving.device import DeviceArrays, DeviceTensor
from trunkline.serving.session import OnnxSession, load_session

ROOT = Path(__file__).parents[2]
FEATURES = ["c2", "c3", "c4", "c5", "pooled"]
SAMPLES = sorted((ROOT / "tests/samples").glob("*.jpg"))


@pytest.fixture(scope="module")
def backbone() -> Bundle[BackboneManifest]:
    return Repository(ROOT / "models").backbone("efficientnet-lite0")


@pytest.fixture(scope="module")
def session(backbone) -> OnnxSession:
    return load_session(backbone)


@pytest.fixture(scope="module")
def head() -> LoadedHead:
    found = load_head(Repository(ROOT / "models").head("imagenet"))
    assert isinstance(found, LoadedHead)
    return found


def prepared(path, head):
    return preprocess(EncodedImage(path.read_bytes()), head.info.spec)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_bound_features_and_answers_are_those_of_plain_runs(session, head, path):
    pixels, frame = prepared(path, head)
    plain = session.run({"image": pixels}, FEATURES)
    bound = session.run_on("cpu", {"image": pixels}, FEATURES)
    assert all(isinstance(tensor, DeviceTensor) for tensor in bound.tensors.values())
    assert {name: bound[name].tobytes() for name in FEATURES} == {n: plain[n].tobytes() for n in FEATURES}
    assert head.answer(bound, frame, {}) == head.answer(plain, frame, {})


def test_a_head_takes_its_features_without_a_copy_to_the_host(session, head, monkeypatch):
    pixels, frame = prepared(SAMPLES[0], head)
    bound = session.run_on("cpu", {"image": pixels}, FEATURES)
    monkeypatch.setattr(DeviceTensor, "numpy", lambda self: pytest.fail("copied to the host"))
    assert head.answer(select(bound, ["pooled"]), frame, {}).labels


def test_rows_of_a_batch_are_views_that_a_head_can_take(session, head):
    pictures = [prepared(path, head) for path in SAMPLES]
    batch = np.concatenate([pixels for pixels, _ in pictures])  # N times (1, H, W, C) -> (N, H, W, C)
    bound = session.run_on("cpu", {"image": batch}, ["pooled", "c5"])
    rows = bound.tensors["pooled"].rows()
    assert len(rows) == len(SAMPLES)
    for index, ((_, frame), row) in enumerate(zip(pictures, rows, strict=True)):
        own = bound["pooled"][index : index + 1]  # (N, C) -> (1, C)
        assert row.numpy().tobytes() == own.tobytes()
        assert head.answer(DeviceArrays({"pooled": row}), frame, {}) == head.answer({"pooled": own}, frame, {})


def test_arrays_of_the_host_go_along(session):
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    bound = session.run_on("cpu", {"image": pixels}, ["pooled"]).merged({"image": pixels})
    assert list(bound) == ["pooled", "image"]
    assert len(bound) == 2
    assert "pooled" in bound
    assert bound["image"] is pixels
    chosen = select(bound, ["image"])
    assert list(chosen) == ["image"]
    again = session.run(chosen, ["pooled"])
    assert again["pooled"].tobytes() == bound["pooled"].tobytes()


def test_a_feature_that_does_not_fit_is_refused_before_it_is_bound(session, head):
    bound = session.run_on("cpu", {"image": np.zeros((1, 64, 64, 3), np.uint8)}, ["c5", "pooled"])
    wrong = DeviceArrays({"pooled": bound.tensors["c5"]})
    with pytest.raises(InvalidRequestError, match="takes 'pooled'"):
        head.runs.run(wrong)
    with pytest.raises(InvalidRequestError, match="needs the feature 'pooled'"):
        head.runs.run(bound.select(["c5"]))


def test_on_the_cpu_runs_stay_plain(session):
    assert session.device == ""
    assert type(session.run_in_place({"image": np.zeros((1, 64, 64, 3), np.uint8)}, ["pooled"])) is dict
