"""Parents of classes: where training reads them, and what a head says of each level."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import DataInvalidError, InvalidRequestError, ModelInvalidError
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.train_command import parsed_command
from trunkline.core.train_request import TrainRequest
from trunkline.heads.classification.hierarchy import Hierarchy, learned_parents, read_hierarchy
from trunkline.heads.classification.scores import ClassificationScores
from trunkline.training.data.read import read_dataset, rows_of

BREEDS = ("beagle", "persian", "pug", "siamese")
SPECIES = ["dog", "cat", "dog", "cat"]


@pytest.fixture
def data(tmp_path):
    """A picture of each breed, with its species in a column."""
    lines = ["file,label,species,colour"]
    for name, species in zip(BREEDS, SPECIES, strict=True):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
        lines.append(f"{name}.png,{name},{species},{'' if name == 'pug' else 'gray'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def learned(folder, option):
    return learned_parents(option, read_dataset(folder, task="classification"), partial(rows_of, folder))


def written(folder, text):
    (folder / "tree.csv").write_text(text)
    return learned(folder, "tree.csv")


def test_a_column_of_the_data_says_them(data):
    assert learned(data, "species") == [SPECIES]
    assert learned(data / "labels.csv", "species") == [SPECIES]


def test_a_file_says_them_over_several_levels(data):
    rows = "class,parent\nbeagle,dog\npersian,cat\npug,dog\nsiamese,cat\ndog,animal\ncat,animal\n"
    assert written(data, rows) == [SPECIES, ["animal"] * 4]


def test_a_class_with_fewer_levels_keeps_its_highest_parent(data):
    rows = "class,parent\nbeagle,dog\npersian,cat\npug,dog\nsiamese,cat\ndog,loyal\n"
    assert written(data, rows)[1] == ["loyal", "cat", "loyal", "cat"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("class,above\nbeagle,dog\n", "columns class and parent"),
        ("class,parent\nbeagle,dog\n", "class 2 of the 4 of the data has no parent"),
        ("class,parent\nbeagle,\n", "row 1 lacks"),
        ("class,parent\nbeagle,dog\nbeagle,cat\n", "row 2 had another parent"),
        ("class,parent\nbeagle,dog\ndog,beagle\n", "or is its own"),
    ],
)
def test_a_file_with_something_wrong_is_refused(data, rows, said):
    with pytest.raises(InvalidRequestError, match=said):
        written(data, rows)


def test_a_column_with_something_wrong_is_refused(data):
    with pytest.raises(InvalidRequestError, match="no column 'kind'"):
        learned(data, "kind")
    with pytest.raises(InvalidRequestError, match="empty for class 3"):
        learned(data, "colour")
    text = (data / "labels.csv").read_text()
    Image.new("RGB", (8, 8), "red").save(data / "two.png")
    (data / "labels.csv").write_text(text + "two.png,pug,cat,\n")
    with pytest.raises(InvalidRequestError, match="two values for class 3"):
        learned(data, "species")


def test_a_file_that_is_not_there_is_said_to_be(data):
    with pytest.raises(DataInvalidError):
        learned(data, "none.csv")


def test_the_option_is_repeated_by_the_command():
    request = TrainRequest(name="a", data="d", task_options={"hierarchy": "species"})
    assert "--hierarchy species" in request.command()
    assert parsed_command(request.command()) == request


def test_parents_have_the_sums_of_their_classes():
    found = Hierarchy([SPECIES, ["animal"] * 4]).parents(np.array([0.3, 0.35, 0.3, 0.05], np.float32))
    assert [(each.index, each.label) for each in found] == [(0, "dog"), (0, "animal")]
    assert [each.score for each in found] == pytest.approx([0.6, 1.0])


@pytest.mark.parametrize("settings", [None, [], "cat", [["cat"]], [["cat", "cat", "dog", 1]], [["a"] * 4] * 9])
def test_damaged_settings_are_refused(settings):
    with pytest.raises(ModelInvalidError, match=r"settings\.parents"):
        read_hierarchy(settings, 4, "bundle")


def test_accuracy_is_stated_at_each_level():
    def answer(label, parent):
        return Classification((ScoredLabel(label, BREEDS[label], 0.6),), None, (ScoredLabel(0, parent, 0.9),))

    answers = [answer(0, "dog"), answer(0, "dog"), answer(1, "dog"), answer(3, "cat")]
    scores = ClassificationScores.of(answers, np.array([0, 2, 1, 3]), BREEDS, [SPECIES])
    metrics = scores.metrics()
    assert metrics["accuracy"] == 0.75
    assert metrics["level_1_accuracy"] == 0.75
    assert scores.refused is None


def test_it_is_for_one_label_a_picture():
    pytest.importorskip("torch", reason="needs the train extra")
    from trunkline.heads.classification.learn import Learner

    options = TrainRequest(name="a", data="d", task_options={"hierarchy": "species", "labels": "many"})
    with pytest.raises(InvalidRequestError, match="one label a picture"):
        Learner(BREEDS, (), options)
    learner = Learner(BREEDS, (), options.model_copy(update={"task_options": {"hierarchy": "species"}}))
    sample = [SimpleNamespace(name=f"{place}", label=place) for place in range(4)]
    rows = [{"file": f"{place}", "species": name} for place, name in enumerate(SPECIES)]
    learner.look(SimpleNamespace(samples=sample, classes=BREEDS), lambda name: rows)
    assert learner.settings() == {"parents": [SPECIES]}
