"""`trunkline evaluate --attack` and `--corruptions` as a user calls them."""

import json

import pytest
from PIL import Image

from tests.e2e.test_cli import run
from trunkline.training.robustness.corruptions import KINDS


@pytest.fixture(scope="module")
def data(tmp_path_factory, samples):
    """Two folders of three pictures each, under names that are classes of imagenet."""
    folder = tmp_path_factory.mktemp("changed")
    for name, sample in (("espresso", "coffee"), ("tabby", "chelsea")):
        (folder / name).mkdir()
        with Image.open(samples / f"{sample}.jpg") as picture:
            for number in range(3):
                picture.crop((5 * number, 0, picture.width, picture.height - 5 * number)).save(
                    folder / name / f"{number}.png"
                )
    return folder


def test_an_attack_costs_answers_and_is_drawn(data, tmp_path):
    drawn = tmp_path / "attack.png"
    asked = (
        "evaluate",
        "--head",
        "imagenet",
        "--data",
        data,
        "--as-answered",
        "--attack",
        "fgsm",
        "--epsilon",
        "1,8",
    )
    done = run(*asked, "--draw", drawn, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["clean"], found["count"], found["truth"]) == (1.0, 6, "answers")
    assert [point["strength"] for point in found["points"]] == [1, 8]
    assert found["points"][-1]["accuracy"] <= 0.5
    with Image.open(drawn) as picture:
        assert picture.width > 800


def test_corruptions_are_a_table(data):
    done = run("evaluate", "--head", "imagenet", "--data", data, "--as-answered", "--corruptions", "--most", "2")
    assert done.returncode == 0, done.stderr
    assert "imagenet 2 on" in done.stdout
    assert "right is what it says of the unchanged picture" in done.stdout
    for kind in (*KINDS, "mean of all"):
        assert kind in done.stdout


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--head", "imagenet", "--attack", "fgsm", "--epsilon", "0"), "write steps of 255"),
        (("--head", "imagenet", "--attack", "fgsm", "--epsilon", "x"), "write steps of 255"),
        (("--head", "imagenet", "--attack", "fgsm", "--target", "127.0.0.1:1"), "leave --target out"),
        (("--head", "pets", "--attack", "fgsm", "--as-answered"), "only classifiers are measured so"),
        (("--head", "flowers102", "--attack", "fgsm"), "class"),
    ],
)
def test_what_cannot_be_measured_says_why(asked, said, data):
    done = run("evaluate", "--data", data, *asked)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
