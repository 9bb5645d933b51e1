"""Training jobs as messages: nothing is lost on the way, and no field of a request is forgotten."""

from datetime import UTC, datetime

import pytest

from trunkline.api.training.v1 import request_pb2
from trunkline.core.errors import InvalidRequestError
from trunkline.core.jobs import Job, JobError, JobEvent, JobProgress, JobState, StateChange
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Epoch
from trunkline.core.train_request import FitOptions, TrainRequest, parse_request
from trunkline.serving import wire_training as wire

FULL = TrainRequest(
    name="angles",
    data="/data",
    task="regression",
    mode="finetune",
    target=("angle", "size"),
    angle=("angle",),
    unit={"angle": "degrees"},
    features=("c4", "pooled"),
    spec=PreprocessSpec(width=64, height=96, crop_share=0.875, colour="L"),
    views=3,
    net="lenet5",
    tail="c3",
    train_splits=("train", "val"),
    validation_split="",
    test_split="other",
    options=FitOptions(epochs=3, batch=2, rate=1e-3, weight_decay=0.0, dropout=0.0, balance=True, seed=2**32 - 1),
    licence="",
)
EPOCH = Epoch(2, 9, 0.25, 0.5, None, "rmse")
NOW = datetime(2024, 2, 29, 12, 30, 1, 500_000, UTC)


SEGNET = TrainRequest(name="x", data="y", task="segmentation", mode="scratch", size="large", weights="vgg16_bn.pth")


PUPIL = TrainRequest(
    name="x", data="y", task="detection", teacher="coco", taught={"person": "walker"}, unlabelled="/streets"
)


@pytest.mark.parametrize(
    "request_",
    [FULL, TrainRequest(name="x", data="y"), SEGNET, PUPIL],
    ids=["full", "least", "segnet", "pupil"],
)
def test_a_request_comes_back_as_it_went(request_):
    assert wire.request_from_pb(wire.request_to_pb(request_)) == request_


@pytest.mark.parametrize(
    ("model", "message"),
    [(TrainRequest, request_pb2.TrainingRequest), (FitOptions, request_pb2.FitOptions)],
    ids=["request", "options"],
)
def test_the_message_has_the_fields_of_the_request(model, message):
    assert set(model.model_fields) <= {field.name for field in message.DESCRIPTOR.fields}


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"data": "x"}, "name: the request has none"),
        ({"name": "x"}, "data: the request has none"),
        ({"name": "My Photos", "data": "x"}, "names are 1 to 63"),
        ({"name": "x", "data": "x", "mode": "magic"}, "mode: "),
        ({"name": "x", "data": "x", "options": {"epochs": 0}}, "options.epochs: "),
        ({"name": "x", "data": "x", "weights": "v.pth"}, "weights: .* in its size large only"),
    ],
)
def test_a_wrong_request_names_the_field(fields, match):
    with pytest.raises(InvalidRequestError, match=match):
        wire.request_from_pb(request_pb2.TrainingRequest(**fields))


def test_weights_of_a_smaller_net_are_refused_and_a_command_names_no_folder_of_them():
    fields = {**SEGNET.model_dump(exclude_none=True), "weights": "/home/vgg16_bn.pth"}
    assert "--size large --weights vgg16_bn.pth" in parse_request(fields).command()
    with pytest.raises(InvalidRequestError, match="--size large"):
        parse_request({**fields, "size": "light"})


@pytest.mark.parametrize("state", JobState)
def test_a_job_comes_back_as_it_went(state):
    job = Job(
        id="job-1",
        request=FULL,
        state=state,
        progress=JobProgress("epochs", 2, 9, EPOCH, 0.0, 7, 3),
        attempt=2,
        metrics={"rmse": 0.1},
        model_version="3",
        error=JobError(3, "DATA_INVALID", "x", {"file": "a.jpg"}),
        created_at=NOW,
        started_at=None,
        ended_at=NOW,
        cancel_requested=True,
        last_sequence=7,
    )
    assert wire.job_from_pb(wire.job_to_pb(job)) == job


@pytest.mark.parametrize(
    "what", [StateChange(JobState.QUEUED, 1, "why"), JobProgress("data", 1, 2, remarks=12, left_out=4), EPOCH]
)
def test_an_event_comes_back_as_it_went(what):
    event = JobEvent(4, NOW, what)
    assert wire.event_from_pb(wire.event_to_pb(event)) == event


def test_no_state_is_no_state():
    with pytest.raises(InvalidRequestError, match="no state"):
        wire.state_from_pb(0)
