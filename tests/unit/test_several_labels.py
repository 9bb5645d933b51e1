"""Several labels of a picture: how data says them, thresholds, scores, the head's answers."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import DataInvalidError, InvalidRequestError, ModelInvalidError
from trunkline.core.preprocess import Frame
from trunkline.core.train_command import parsed_command
from trunkline.core.train_request import TrainRequest, parse_request
from trunkline.heads.classification.head import Head
from trunkline.heads.classification.several import average_precision, best_thresholds, f1_of, presence_of
from trunkline.heads.classification.several_scores import SeveralScores
from trunkline.training.data.read import read_dataset

MANY = {"labels": "many"}
read = partial(read_dataset, task="classification", options=MANY)


def pictures(folder, *names):
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(folder / name)


def labels_of(dataset):
    return {each.name: [dataset.classes[label] for label in each.labels] for each in dataset.samples}


# Data ------------------------------------------------------------------------------------------------------


def test_names_joined_by_a_semicolon(tmp_path):
    pictures(tmp_path, "1.png", "2.png", "3.png")
    (tmp_path / "labels.csv").write_text("file,label\n1.png,cat; dog\n2.png,dog\n3.png,;\n")
    found = read(tmp_path)
    assert found.classes == ("cat", "dog")
    assert labels_of(found) == {"1.png": ["cat", "dog"], "2.png": ["dog"], "3.png": []}
    assert {(each.label, each.targets) for each in found.samples} == {(None, ())}


def test_a_column_for_each_class(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("file,cat,dog,split\n1.png,1,1,train\n2.png,0,1,test\n")
    found = read(tmp_path)
    assert labels_of(found) == {"1.png": ["cat", "dog"], "2.png": ["dog"]}
    assert [each.split for each in found.samples] == ["train", "test"]


def test_a_column_of_other_numbers_says_no_presence(tmp_path):
    pictures(tmp_path, "1.png", "2.png")
    (tmp_path / "labels.csv").write_text("file,cells\n1.png,1\n2.png,3\n")
    with pytest.raises(DataInvalidError, match="'cells' has other numbers than 0 and 1"):
        read(tmp_path)


def test_masks_say_which_classes_are_there(tmp_path):
    pictures(tmp_path, "images/a.png", "images/b.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "classes.csv").write_text("class_id,class_name\n0,sky\n1,road\n2,car\n")
    for name, values in (("a", (0, 1)), ("b", (1, 2))):
        mask = np.full((8, 8), values[0], np.uint8)
        mask[4:] = values[1]
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    assert list(labels_of(read(tmp_path)).values()) == [["sky", "road"], ["road", "car"]]


# Requests --------------------------------------------------------------------------------------------------


def test_the_option_is_repeated_by_the_command():
    request = TrainRequest(name="a", data="d", task_options=MANY)
    assert "--labels many" in request.command()
    assert parsed_command(request.command()) == request


@pytest.mark.parametrize(
    "options", [{"labels": "several"}, {"colour": "red"}], ids=["no such word", "no such option"]
)
def test_an_option_that_the_task_does_not_have_is_refused(options):
    with pytest.raises(InvalidRequestError, match=f"'{next(iter(options))}'"):
        parse_request({"name": "a", "data": "d", "task_options": options})


# Thresholds and scores -------------------------------------------------------------------------------------


def test_a_threshold_lies_where_f1_is_largest():
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.3], [0.1, 0.4]])
    truth = np.array([[1, 0], [1, 0], [0, 0], [0, 0]], bool)
    assert best_thresholds(scores, truth) == pytest.approx([0.55, 0.5])


@pytest.mark.parametrize(("truth", "threshold"), [([1, 1, 1], 0.2), ([0, 0, 0], 0.5)])
def test_a_class_of_all_pictures_or_of_none_has_a_threshold_too(truth, threshold):
    scores = np.array([0.9, 0.4, 0.6])[:, None]
    assert best_thresholds(scores, np.array(truth, bool)[:, None]) == pytest.approx([threshold])


def test_equal_scores_are_on_one_side_of_a_threshold():
    scores = np.array([0.5, 0.5, 0.5, 0.1])[:, None]
    truth = np.array([1, 0, 1, 0], bool)[:, None]
    (threshold,) = best_thresholds(scores, truth)
    assert 0.1 < threshold < 0.5


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the train extra: pip install -e '.[train]'")
    random = np.random.default_rng(3)
    scores, truth = random.random(200), random.random(200) < 0.3
    scores = np.round(scores, 1) if ties else scores
    assert average_precision(scores, truth) == pytest.approx(metrics.average_precision_score(truth, scores))
    answered = scores >= 0.6
    assert f1_of(answered[:, None], truth[:, None])[0] == pytest.approx(metrics.f1_score(truth, answered))


def test_classes_that_no_picture_has_count_in_no_mean():
    truth = presence_of([[0], [0, 1], []], 3)
    scores = SeveralScores(truth, truth * 0.8 + 0.1, np.full(3, 0.5), ("a", "b", "c"))
    assert scores.metrics() == {"map": 1.0, "f1": 1.0, "exact_accuracy": 1.0}
    assert "| c |" not in scores.card()


# The head --------------------------------------------------------------------------------------------------

FRAME = Frame(8, 8, 1.0, 0.0, 1.0, 0.0, 8, 8)


def head(**settings) -> Head:
    golden = {"logits": np.zeros((1, 3), np.float32)}
    manifest = SimpleNamespace(name="pets", settings={"labels": "many", **settings})
    bundle = SimpleNamespace(labels=("cat", "dog", "bird"), path="bundle", manifest=manifest)
    bundle.read_golden = lambda: ({}, golden)
    return Head(bundle)


def names(answer):
    return [label.label for label in answer.labels]


def test_all_that_reach_their_threshold_are_answered():
    several = head(thresholds=[0.9, 0.5, 0.2])
    logits = {"logits": np.array([[2.0, 1.0, -1.0]], np.float32)}  # 0.88, 0.73, 0.27
    answer = several.decode(logits, FRAME, {})
    assert names(answer) == ["dog", "bird"]
    assert answer.labels[0].score == pytest.approx(1 / (1 + np.exp(-1)))
    assert names(several.decode(logits, FRAME, {"threshold": 0})) == ["cat", "dog", "bird"]
    assert names(several.decode(logits, FRAME, {"top_k": 1})) == ["dog"]
    assert names(several.decode(logits, FRAME, {"threshold": 1})) == []


@pytest.mark.parametrize("thresholds", [[0.5], [0.5, 0.5, 2], "0.5"])
def test_thresholds_that_do_not_fit_the_labels_are_refused(thresholds):
    with pytest.raises(ModelInvalidError, match="3 numbers from 0 to 1"):
        head(thresholds=thresholds)
