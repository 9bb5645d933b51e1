"""What --head, --param, --budget and the named pictures mean."""

from pathlib import Path

import pytest
import typer

from trunkline.cli.head_asks import head_asks
from trunkline.cli.pictures import find_pictures
from trunkline.core.errors import ConfigurationError


def test_parameters_go_to_their_heads_as_json_or_text():
    params = ["a.top_k=3", "b.v2.mode=fast", 'a.names=["x", "y"]', "a.on=true", "a.text=x=y"]
    first, second = head_asks(["a", "b.v2", "a"], params, [])
    assert (first.head, first.params) == ("a", {"top_k": 3, "names": ["x", "y"], "on": True, "text": "x=y"})
    assert (second.head, second.params) == ("b.v2", {"mode": "fast"})
    assert (first.budget_s, first.required) == (None, False)


def test_a_budget_is_for_all_heads_or_for_one():
    asks = head_asks(["a", "b", "c/2"], [], ["b=0.2", "0.5", "c/2=1"])
    assert [ask.budget_s for ask in asks] == [0.5, 0.2, 1.0]


@pytest.mark.parametrize("text", ["top_k=3", "a.top_k", "c.top_k=3", "a.=3", "=3"])
def test_a_parameter_of_no_head_is_wrong_use(text):
    with pytest.raises(typer.BadParameter, match=r"write HEAD\.NAME=VALUE"):
        head_asks(["a", "b"], [text], [])


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf", "c=1", "a=", ""])
def test_a_budget_that_is_no_time_is_wrong_use(text):
    with pytest.raises(typer.BadParameter, match="write SECONDS"):
        head_asks(["a", "b"], [], [text])


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in (
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "sub/2.webp",
        "sub/deeper/1.tiff",
        ".git/x.jpg",
        "z.jpeg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_a_folder_stands_for_the_pictures_below_it_in_a_stable_order(folder):
    found = [str(path.relative_to(folder)) for path in find_pictures([folder])]
    assert found == ["a.PNG", "b.jpg", "z.jpeg", "sub/2.webp", "sub/deeper/1.tiff"]


def test_a_named_file_is_taken_whatever_its_name_and_no_path_twice(folder):
    named = [folder / "notes.txt", folder / "gone", folder / "sub", folder / "sub/2.webp"]
    found = find_pictures(named)
    assert found == [folder / "notes.txt", folder / "gone", folder / "sub/2.webp", folder / "sub/deeper/1.tiff"]


def test_a_folder_without_pictures_is_an_error_that_names_it(folder):
    with pytest.raises(ConfigurationError, match=f"no picture in {folder}/empty"):
        find_pictures([folder, folder / "empty"])
