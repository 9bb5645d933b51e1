"""`trunkline explain` and `trunkline backbone look` as a user calls them."""

import json

import pytest
from PIL import Image

from tests.conftest import start_server
from tests.e2e.test_cli import run


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with start_server(tmp_path_factory.mktemp("look") / "log", TRUNKLINE_HEADS="imagenet,pets") as server:
        yield server


def test_a_heat_map_is_drawn_and_printed(server, samples, tmp_path):
    picture, drawn = samples / "coffee.jpg", tmp_path / "why.png"
    done = run("explain", picture, "--head", "imagenet", "--draw", drawn, "--target", server.address)
    assert done.returncode == 0, done.stderr
    assert "espresso" in done.stdout
    assert "activation, 1 pass" in done.stdout
    with Image.open(drawn) as image, Image.open(picture) as plain:
        centre, corner = (image.width // 2, image.height // 3), (4, 4)
        assert image.width >= plain.width
        red, _, blue = image.convert("RGB").getpixel(centre)
        assert red > blue + 60  # warm over the cup
        assert image.convert("RGB").getpixel(corner) != image.convert("RGB").getpixel(centre)


def test_json_has_the_numbers(server, samples):
    asked = ("explain", samples / "chelsea.jpg", "--head", "pets", "--other", samples / "chelsea.jpg")
    done = run(*asked, "--method", "occlusion", "--cells", "2", "--json", "--target", server.address)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert (found["target"], found["passes"], len(found["map"]["values"])) == ("similarity", 5, 2)
    assert found["strength"] == pytest.approx(1)


def test_a_class_that_is_not_there_is_said(server, samples):
    done = run(
        "explain", samples / "chelsea.jpg", "--head", "imagenet", "--class", "tabbby", "--target", server.address
    )
    assert done.returncode == 1
    assert "did you mean tabby?" in done.stderr


def test_a_picture_that_fails_hides_no_other(server, samples, tmp_path):
    (tmp_path / "bad.jpg").write_text("no picture")
    asked = ("explain", tmp_path / "bad.jpg", samples / "coffee.jpg", "--head", "imagenet", "--json")
    done = run(*asked, "--target", server.address)
    assert done.returncode == 1
    bad, good = json.loads(done.stdout)
    assert (bad["error"]["reason"], good["target"]) == ("INVALID_IMAGE", "espresso")
    assert "bad.jpg" in done.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), "32 filters of 3x3 pixels"),
        (("chelsea.jpg", "--feature", "c3", "--channels", "9"), "9 of 40 maps of c3, 28x28 each"),
        (("chelsea.jpg", "--feature", "pooled", "--channels", "4"), "4 of 1280 maps of pooled, 7x7 each"),
    ],
)
def test_filters_and_maps_are_drawn(asked, said, samples, tmp_path):
    named = [samples / each if each.endswith(".jpg") else each for each in asked]
    done = run("backbone", "look", *named, "--draw", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert len(sheet.getcolors(1 << 24) or ()) > 20


def test_a_feature_that_is_not_there_is_said(samples, tmp_path):
    done = run("backbone", "look", samples / "chelsea.jpg", "--feature", "c7", "--draw", tmp_path / "x.png")
    assert done.returncode == 1
    assert "there is no feature 'c7'" in done.stderr
    assert not (tmp_path / "x.png").exists()
