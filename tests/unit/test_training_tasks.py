"""What classification and regression bring to training: answers, losses, scores; splits; turned digits."""

import io
import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch
from PIL import Image

from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Classification, Quantity, Regression, ScoredLabel
from trunkline.core.train_request import FitOptions, TrainRequest, parse_request
from trunkline.heads.classification.learn import Learner as Classifier
from trunkline.heads.regression.learn import Learner as Regressor
from trunkline.heads.regression.scores import RegressionScores
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.holdout import held_out
from trunkline.training.data.turned import LARGEST, turned

ASKED = TrainRequest(name="x", data="d")


def sample(label=None, targets=(), name="a", split="train", read=None):
    return Sample(name, split, label, targets, read or (lambda: b""))


def regressor(names, rows, **asked) -> Regressor:
    made = Regressor((), names, ASKED.model_copy(update=asked))
    made.prepare([sample(targets=row) for row in rows])
    return made


def test_a_number_starts_at_the_mean_and_is_answered_in_its_unit():
    learner = regressor(("count",), [(10.0,), (20.0,), (30.0,)], unit={"count": "cells"})
    answer = learner.answer_layer(7)(torch.randn(2, 7))
    assert torch.allclose(answer, torch.full((2, 1), 20.0))
    assert learner.settings()["targets"] == [
        {"name": "count", "unit": "cells", "kind": "number", "low": 10.0, "high": 30.0}
    ]


def test_an_angle_is_two_columns_and_the_loss_goes_the_shorter_way():
    learner = regressor(("a",), [(-170.0,), (170.0,)], angle=("a",))
    cos, sin = learner.answer_layer(3)(torch.randn(1, 3))[0].tolist()
    assert abs(math.degrees(math.atan2(sin, cos))) == pytest.approx(180), "it starts at the mean direction"

    def loss(answered: float, true: float) -> float:
        radians = torch.deg2rad(torch.tensor([answered]))
        answers = torch.stack([radians.cos(), radians.sin()], dim=1)
        return float(learner.loss(answers, torch.tensor([[true]])))

    assert loss(179, -179) == pytest.approx(loss(1, 3), rel=1e-3)
    assert loss(90, -90) > loss(10, -10)


def test_several_targets_count_alike_in_the_loss():
    learner = regressor(("small", "large"), [(0.0, 0.0), (1.0, 1000.0)])
    one = float(learner.loss(torch.tensor([[0.5, 500.0]]), torch.tensor([[1.0, 500.0]])))
    other = float(learner.loss(torch.tensor([[0.5, 500.0]]), torch.tensor([[0.5, 1000.0]])))
    assert one == pytest.approx(other)


def test_the_metric_of_training_is_that_of_the_scores():
    learner = regressor(("a", "n"), [(-170.0, 1.0), (170.0, 9.0)], angle=("a",))
    truth = np.array([[179.0, 4.0], [-179.0, 2.0]], np.float32)
    radians = np.deg2rad(np.array([-179.0, 178.0]))
    answers = np.stack([np.cos(radians), np.sin(radians), [5.0, 2.0]], axis=1).astype(np.float32)
    metric = learner.measure()
    metric.update(torch.from_numpy(answers), torch.from_numpy(truth))
    results = [
        Regression((Quantity("a", -179.0), Quantity("n", 5.0))),
        Regression((Quantity("a", 178.0), Quantity("n", 2.0))),
    ]
    samples = [sample(targets=tuple(map(float, row))) for row in truth]
    scores = learner.scores(results, samples)
    assert float(metric.compute()) == pytest.approx(scores.metrics()["rmse"], rel=1e-3)
    assert scores.metrics()["rmse.a"] == pytest.approx(np.sqrt((2**2 + 3**2) / 2))


def test_scores_of_a_regression():
    truth = np.array([[0.0], [10.0], [20.0]])
    scores = RegressionScores(truth, truth + np.array([[1.0], [-1.0], [4.0]]), ("n",), ("cm",), (False,))
    metrics = scores.metrics()
    assert metrics["mae"] == pytest.approx(2)
    assert metrics["rmse"] == pytest.approx(np.sqrt(6))
    assert metrics["r2"] == pytest.approx(1 - 18 / 200)
    assert scores.best_and_worst(1) == ([0], [2])
    assert scores.caption(2) == "24.0cm\ntruly 20.0cm"


def test_the_mean_scores_zero():
    truth = np.array([[0.0], [10.0], [20.0]])
    assert RegressionScores(truth, np.full((3, 1), 10.0), ("n",), ("",), (False,)).metrics()["r2"] == 0


@pytest.mark.parametrize("field", ["angle", "unit"])
def test_what_is_said_of_a_target_that_is_none_is_refused(field):
    value = ("b",) if field == "angle" else {"b": "cm"}
    with pytest.raises(InvalidRequestError, match="'b' is not one of the 1 targets of the data"):
        Regressor((), ("a",), ASKED.model_copy(update={field: value}))


def test_balance_weighs_rare_classes_up():
    options = FitOptions(balance=True, label_smoothing=0.0)
    learner = Classifier(("a", "b"), (), ASKED.model_copy(update={"options": options}))
    samples = [sample(label=0)] * 9 + [sample(label=1)]
    learner.prepare(samples)
    answers = torch.tensor([[4.0, 0.0], [4.0, 0.0]])
    weighed = float(learner.loss(answers, torch.tensor([0, 1])))
    plain = Classifier(("a", "b"), (), ASKED.model_copy(update={"options": FitOptions(label_smoothing=0.0)}))
    plain.prepare(samples)
    assert weighed > 1.5 * float(plain.loss(answers, torch.tensor([0, 1])))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_calibration_finds_the_temperature(temperature):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4000, 3, generator=generator) * 2
    truth = torch.multinomial(torch.softmax(logits, dim=1), 1, generator=generator)[:, 0]
    found = Classifier(("a", "b", "c"), (), ASKED).calibrate(logits * temperature, truth)
    assert found["temperature"] == pytest.approx(temperature, rel=0.1)


def test_scores_of_a_classification(tmp_path):
    learner = Classifier(("a", "b", "c"), (), ASKED)

    def answer(*ranked: int) -> Classification:
        return Classification(tuple(ScoredLabel(index, "abc"[index], 0.5) for index in ranked))

    samples = [sample(label=label) for label in (0, 0, 0, 1)]
    scores = learner.scores([answer(0, 1), answer(0, 1), answer(1, 0), answer(2, 0)], samples)
    assert scores.metrics() == {
        "accuracy": 0.5,
        "mean_class_accuracy": pytest.approx(1 / 3),
        "top5_accuracy": 0.75,
    }
    low, high = scores.interval()
    assert 0 < low < 0.5 < high < 1
    assert scores.draw(tmp_path) == ["confusion.png"]
    assert "| b | 1 | 0.0 % |" in scores.card()


def test_held_out_shares_are_the_same_each_time_and_in_every_class():
    samples = tuple(sample(label=number % 2, name=f"{number}", split="") for number in range(40))
    dataset = Dataset(Path("d"), "folders", ("a", "b"), (), samples)
    found = held_out(dataset)
    assert found == held_out(dataset)
    for label in (0, 1):
        counts = [
            sum(s.split == split and s.label == label for s in found.samples) for split in ("train", "val", "test")
        ]
        assert counts == [14, 2, 4]


def test_data_with_splits_is_left_as_it_is():
    dataset = Dataset(Path("d"), "csv", ("a", "b"), (), (sample(label=0, split="train"), sample(label=1, split="")))
    assert held_out(dataset) is dataset


def test_digits_are_turned_by_the_angle_they_name():
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 13:15] = 255
    file = io.BytesIO()
    Image.fromarray(bar).save(file, "PNG")
    digits = tuple(sample(0, (), f"d[{n}]", split, file.getvalue) for split in ("train", "test") for n in range(50))
    found = turned(Dataset(Path("m"), "mnist", ("0", "1"), (), digits))
    assert found.target_names == ("angle",)
    assert [len(found.of_split(split)) for split in ("train", "test")] == [200, 50]
    angles = np.array([s.targets[0] for s in found.samples])
    assert (np.abs(angles) <= LARGEST).all()
    assert angles.std() == pytest.approx(2 * LARGEST / np.sqrt(12), rel=0.1)
    for each in found.samples[:20]:
        with Image.open(io.BytesIO(each.read())) as picture:
            y, x = np.nonzero(np.asarray(picture) > 128)
        slope = np.polyfit(y, x, 1)[0]  # counter-clockwise: the top of the bar goes left
        assert np.rad2deg(np.arctan(slope)) == pytest.approx(each.targets[0], abs=4)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"name": "X Y"}, "name 'X Y': names are"),
        ({"mode": "magic"}, "mode:"),
        ({"options": {"epochs": 0}}, "options.epochs:"),
        ({"options": {"speed": 1}}, "options.speed:"),
        ({"train_splits": ()}, "train_splits:"),
    ],
)
def test_a_request_from_outside_is_checked_by_field(fields, match):
    with pytest.raises(InvalidRequestError, match=match):
        parse_request({"name": "x", "data": "d", **fields})


def test_the_command_of_a_request_names_no_folder():
    request = ASKED.model_copy(update={"data": "/secret/place/flowers", "mode": "finetune", "views": 3})
    assert "/secret" not in request.command()
    assert "--mode finetune --data flowers" in request.command()
