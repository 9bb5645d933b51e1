"""The command on a card is read back as the request that it repeats."""

import pytest

from trunkline.core.errors import InvalidRequestError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.repository import Repository
from trunkline.core.train_command import parsed_command, request_on_card
from trunkline.core.train_request import FitOptions, TrainRequest

REQUESTS = [
    TrainRequest(name="a", data="flowers"),
    TrainRequest(
        name="angles",
        data="two words",
        task="regression",
        mode="scratch",
        target=("angle", "x y"),
        angle=("angle",),
        unit={"x y": "mm = m/1000"},
        spec=PreprocessSpec(resize="pad", width=64, height=96, colour="L"),
        net="lenet5",
        options=FitOptions(epochs=3, batch=8, rate=1e-4, weight_decay=0, dropout=0.25, label_smoothing=0, seed=7),
    ),
    TrainRequest(
        name="roads",
        data="it's",
        task="segmentation",
        mode="finetune",
        tail="c3",
        decoder="fpn",
        size="medium",
        loss="dice",
        features=("c2", "c5"),
        train_splits=("train", "val"),
        test_split="held",
        views=3,
        augmentation="scene",
        strict=True,
        options=FitOptions(balance=True),
    ),
    TrainRequest(name="cells", data="d", task="detection", net="yolo", size="large", loss="focal"),
    TrainRequest(
        name="people",
        data="d",
        task="detection",
        teacher="coco",
        taught={"person": "a pedestrian"},
        unlabelled="more",
    ),
    TrainRequest(
        name="ten", data="d", mode="pretrained", source="other", spec=PreprocessSpec(crop_share=0.875), backbone="b"
    ),
    TrainRequest(name="soft", data="d", spec=PreprocessSpec(resize="pad", interpolation="bilinear")),
    TrainRequest(name="shared", data="d", like="camvid"),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: each.name)
def test_a_request_comes_back_from_its_command(request_):
    found = parsed_command(request_.command())
    assert found.command() == request_.command()
    assert found == request_


@pytest.mark.parametrize("name", ["bccd", "camvid", "digit-angle", "flowers102", "omniglot", "pennfudan", "pets"])
def test_the_cards_of_the_shipped_heads_hold_their_requests(models, name):
    head = Repository(models).head(name)
    request = request_on_card(head.card)
    assert (request.name, request.task, request.mode) == (name, head.manifest.task, head.manifest.mode)
    assert request.command() in head.card
    assert request.spec in (None, head.manifest.preprocess)


def test_a_classifier_that_came_with_its_backbone_has_no_request(models):
    assert request_on_card(Repository(models).head("imagenet").card) is None


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("trunkline train --name", "damaged at '--name'"),
        ("trunkline train --name a --data 'b", "damaged: No closing quotation"),
        ("trunkline train --name a --data b --bacbone c", "bacbone"),
        ("trunkline train --name a --data b --epochs many", "options.epochs"),
        ("trunkline demo", "not a trunkline train command"),
    ],
)
def test_a_damaged_card_says_where(command, says):
    with pytest.raises(InvalidRequestError, match=says):
        parsed_command(command)
