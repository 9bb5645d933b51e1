"""The images of the demo and the heads that are asked about each."""

from pathlib import Path

from tests.conftest import ROOT
from trunkline.cli.demo_scenes import Scene, sample_scenes, scene_of, with_heads

SAMPLES = ROOT / "tests/samples"


def test_every_sample_of_the_demo_is_there_and_every_head_ships():
    scenes = sample_scenes(SAMPLES)
    assert [scene.picture.name for scene in scenes] == [
        "coffee.jpg",
        "flower.webp",
        "chelsea.jpg",
        "digit.png",
        "street.jpg",
    ]
    shipped = {path.name for path in (ROOT / "models/heads").iterdir()} | {"gallery:samples"}
    assert {head for scene in scenes for head in scene.heads} <= shipped


def test_an_angle_is_asked_of_the_digit_alone():
    asked = [scene.picture.name for scene in sample_scenes(SAMPLES) if "digit-angle" in scene.heads]
    assert asked == ["digit.png"]


def test_a_photograph_of_ones_own_is_asked_what_suits_any_photograph():
    assert set(scene_of(Path("photo.jpg")).heads) <= {"imagenet", "coco"}


def test_heads_that_are_not_served_are_not_asked_and_scenes_without_any_are_left_out():
    scenes = [Scene(Path("a.jpg"), ("imagenet", "mine"), "a"), Scene(Path("b.jpg"), ("mine",), "b")]
    kept = with_heads(scenes, {"imagenet"})
    assert [(scene.picture.name, scene.heads) for scene in kept] == [("a.jpg", ("imagenet",))]
