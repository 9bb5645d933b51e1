"""Decoding, limits and figures of anomaly heads."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame, PreprocessSpec, frame_of
from trunkline.core.task import Canvas
from trunkline.core.tasks import deciding_metric, task_of
from trunkline.heads.anomaly import heat
from trunkline.heads.anomaly.head import Head
from trunkline.heads.anomaly.regions import PixelCounts
from trunkline.heads.anomaly.scores import AnomalyScores
from trunkline.heads.anomaly.task import Anomaly

GOOD = (1.0, 1.5, 2.0, 3.0)


def squashed(width: int, height: int, side: int = 32) -> Frame:
    return frame_of(width, height, PreprocessSpec(resize="squash", width=side, height=side))


def head(golden=(1, 1, 4, 4), resize="squash", **settings) -> Head:
    settings = {"score": "max", "limit": 4.0, "place_limit": 2.0, "good": GOOD} | settings
    manifest = SimpleNamespace(name="tiles", settings=settings, preprocess=PreprocessSpec(resize=resize))
    outputs = {"distances": np.zeros(golden, np.float32)}
    return Head(SimpleNamespace(path="bundle", manifest=manifest, read_golden=lambda: ({}, outputs)))


def decode(distances, frame, params=None, **settings) -> Anomaly:
    return head(**settings).decode({"distances": np.array(distances, np.float32)[None]}, frame, params or {})


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_the_score_is_the_share_of_the_limit_and_decides():
    places = [[[0, 1], [2, 4]]]
    found = decode(places, squashed(64, 64))
    assert (found.score, found.anomalous) == (1.0, True)
    assert decode(places, squashed(64, 64), {"threshold": 1.1}).anomalous is False
    assert decode(places, squashed(64, 64), score="mean").score == pytest.approx(1.75 / 4)
    many = [np.arange(40).reshape(5, 8)]
    assert decode(many, squashed(64, 64), score="farthest").score == pytest.approx((36 + 37 + 38 + 39) / 4 / 4)


def test_the_first_channel_is_of_the_picture_and_the_last_of_its_places():
    found = decode([[[8, 8], [8, 8]], [[0, 0], [0, 2]]], squashed(64, 64), score="mean")
    assert found.score == 2.0
    assert pixels(found.heat_map_png)[0, 0] == 0
    assert pixels(found.heat_map_png)[-1, -1] == 128


@pytest.mark.parametrize(("distance", "share"), [(0.5, 5 / 5), (1.5, 4 / 5), (2.5, 2 / 5), (9.0, 1 / 5)])
def test_good_share_counts_held_back_pictures_and_is_never_0(distance, share):
    assert decode([[[distance]]], squashed(32, 32)).good_share == pytest.approx(share)


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_the_heat_map_lies_in_the_callers_picture(resize):
    frame = frame_of(200, 100, PreprocessSpec(resize=resize, width=64, height=64))
    place = np.zeros((16, 16), np.float32)
    x, y = ((150 - frame.x_offset) / frame.x_scale / 4, (25 - frame.y_offset) / frame.y_scale / 4)
    place[int(y), int(x)] = 4.0
    found = pixels(decode(place[None], frame).heat_map_png)
    assert found.shape == (100, 200)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert abs(row - 25) <= 6
    assert abs(column - 150) <= 12


def test_a_map_without_its_png_has_the_same_area():
    places = np.random.default_rng(0).uniform(0, 3, (1, 8, 8))
    full, bare = (decode(places, squashed(90, 70), {"heat_map": asked}) for asked in (True, False))
    assert bare.heat_map_png == b""
    assert full.area == bare.area == pytest.approx((pixels(full.heat_map_png) >= 128).mean())


def test_bands_of_a_large_picture_show_what_the_whole_shows(monkeypatch):
    places = np.random.default_rng(0).uniform(0, 3, (1, 8, 8))
    whole = pixels(decode(places, squashed(300, 200)).heat_map_png)
    monkeypatch.setattr(heat, "_AT_ONCE", 7 * 300)
    bands = pixels(decode(places, squashed(300, 200)).heat_map_png)
    assert np.abs(whole.astype(int) - bands).max() <= 1  # a box in floats, a level of gray


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"limit": 0}, "settings.limit"),
        ({"place_limit": float("nan")}, "settings.place_limit"),
        ({"score": "median"}, "settings.score"),
        ({"golden": (1, 3, 4, 4)}, "1 or 2"),
        ({"resize": "crop"}, "squash"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(settings, word):
    with pytest.raises(ModelInvalidError, match=word):
        head(**settings)


def test_bad_parameters_frames_and_distances_are_refused():
    with pytest.raises(InvalidRequestError, match="threshold"):
        decode([[[1]]], squashed(32, 32), {"threshold": -1})
    with pytest.raises(InvalidRequestError, match="whole picture"):
        decode([[[1]]], frame_of(300, 100, PreprocessSpec(resize="crop")))
    with pytest.raises(ModelInvalidError, match="finite"):
        decode([[[np.nan]]], squashed(32, 32))


def test_what_is_near_to_good_is_not_painted_over():
    result = decode([[[0, 0, 0, 4]] * 4], squashed(64, 64))
    canvas = Canvas(Image.new("RGB", (64, 64), (10, 20, 30)), (1, 1))
    task_of("anomaly").paint(canvas, result)
    assert canvas.picture.getpixel((0, 10)) == (10, 20, 30)
    red, green, _ = canvas.picture.getpixel((63, 10))
    assert red > 150 > green


def test_what_is_explained_is_the_score():
    task, result = task_of("anomaly"), decode([[[2]]], squashed(32, 32))
    assert task.part_of(result, "").strength(result) == result.score
    assert task.to_be_explained({"threshold": 2.0}) == {"threshold": 2.0, "heat_map": False}
    with pytest.raises(ValueError, match="score"):
        task.part_of(result, "crack")


def test_counts_give_the_auroc_of_single_pixels():
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (3, 20, 30)).astype(np.uint8)
    flawed = rng.uniform(size=(3, 20, 30)) < 0.2
    maps = np.where(flawed, np.maximum(maps, 60), maps)
    counts = PixelCounts.of([(maps[0], flawed[0]), (maps[1], flawed[1]), (maps[2], None)])
    flawed[2] = False
    assert counts.auroc() == pytest.approx(roc_auc_score(flawed.ravel(), maps.ravel()))


def test_pro_counts_a_small_flaw_like_a_large_one():
    flawed = np.zeros((100, 100), bool)
    flawed[:40, :40], flawed[90:92, 90:92] = True, True
    both, large = np.zeros((100, 100), np.uint8), np.zeros((100, 100), np.uint8)
    both[flawed], large[:40, :40] = 200, 200
    assert PixelCounts.of([(both, flawed)]).pro() == pytest.approx(1)
    half = PixelCounts.of([(large, flawed)])
    assert half.pro() == pytest.approx(0.5 + 0.5 * 0.15, abs=0.01)  # the small one goes with the good pixels
    assert half.auroc() > 0.99


def answers(*scores: float) -> list[Anomaly]:
    return [Anomaly(score, score >= 1, 0.1, 0.0) for score in scores]


def test_good_pictures_alone_have_no_auroc_and_the_card_says_so(tmp_path):
    found = AnomalyScores.of(answers(0.3, 0.5, 1.2, 0.4), [0] * 4, [None] * 4, ("good",))
    assert found.metrics() == {"false_alarms": 0.25}
    assert "not known" in found.card()
    assert found.draw(tmp_path) == ["scores.png"]


def test_promotion_looks_at_auroc_and_without_flawed_pictures_at_false_alarms():
    both, alone = {"image_auroc": 0.9, "false_alarms": 0.0}, {"false_alarms": 0.02}
    for first, name in ((both, "image_auroc"), (alone, "false_alarms")):
        metric = deciding_metric("anomaly", first, both)
        assert metric is not None
        assert metric.name == name


def test_the_card_has_each_kind_of_flaw():
    found = AnomalyScores.of(answers(0.3, 0.5, 1.2, 0.4), [0, 0, 1, 2], [None] * 4, ("good", "crack", "blob"))
    assert found.metrics() == {"image_auroc": 0.75, "found": 0.5, "false_alarms": 0.0}
    assert "| crack | 1 | 100.0 % | 1.000 |" in found.card()
    assert "| blob | 1 | 0.0 % | 0.500 |" in found.card()
    assert found.best_and_worst(1) == ([0], [3])
