"""Regression heads with real ONNX files on the real backbone, through the gateway, in both forms."""

import asyncio
import math
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from tests.service.bundles import add_regression_head, linked_repository
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.client import AsyncClient, Client, ServiceError
from trunkline.core.results import Classification, Quantity
from trunkline.core.tasks import task_names, task_of
from trunkline.testing import serve, serve_split

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHANNELS = 1280
STILL = np.zeros((CHANNELS, 1))  # weights of a column that is the same for every picture
NUMBER = {"kind": "number", "low": -10.0, "high": 10.0}
MEASURES = [
    {"name": "size", "unit": "mm", **NUMBER},
    {"name": "tilt", "unit": "deg", "kind": "angle", "low": -45.0, "high": 45.0},
    {"name": "cells", "unit": "", **NUMBER},
]
TURNS = [(179.0, -180.0, 180.0), (-179.0, -180.0, 180.0), (179.0, 170.0, 190.0), (-179.0, 170.0, 190.0)]


@pytest.fixture(scope="module")
def repository(models, tmp_path_factory):
    """The shipped models; `measures`, whose answers follow the picture; `turns`, fixed angles; two faulty heads."""
    found = linked_repository(models, tmp_path_factory.mktemp("regression"))
    random = np.random.default_rng(5).normal(0, 0.05, (CHANNELS, 4))
    add_regression_head(found, "measures", MEASURES, random, [1.0, 0.5, 0.25, 3.0])
    targets = [
        {"name": f"turn{place}", "unit": "°", "kind": "angle", "low": low, "high": high}
        for place, (_, low, high) in enumerate(TURNS)
    ]
    columns = [3 * f(math.radians(degrees)) for degrees, _, _ in TURNS for f in (math.cos, math.sin)]
    add_regression_head(found, "turns", targets, np.zeros((CHANNELS, 8)), columns)
    # Its golden answer, for features of zeros, holds; a real picture gives the logarithm of a number below 0.
    add_regression_head(found, "undefined", MEASURES[:1], STILL - 100, [1.0], logarithm=True)
    add_regression_head(found, "wide", MEASURES[:1], np.zeros((CHANNELS, 2)), [1.0, 2.0])
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one(repository) -> AsyncIterator[AsyncClient]:
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(repository) -> AsyncIterator[AsyncClient]:
    async with serve_split(models=repository) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        yield client


@pytest.fixture(params=["one", "split"])
def client(request) -> AsyncClient:
    return request.getfixturevalue(request.param)


async def refused(call) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


async def test_values_and_units_come_in_the_order_of_the_targets(client, samples):
    answer = await client.regress(samples / "coffee.jpg", "measures")
    assert (answer.head, answer.version, answer.image_size) == ("measures", "1", (600, 400))
    assert [(value.name, value.unit) for value in answer.result.values] == [
        ("size", "mm"),
        ("tilt", "deg"),
        ("cells", ""),
    ]
    assert answer.timings.total_ms >= answer.timings.backbone_ms > 0


async def test_split_and_all_in_one_give_the_same_values_bit_for_bit(one, split, photos):
    seen = set()
    for photo in photos:
        here, there = [(await client.regress(photo, "measures")).result for client in (one, split)]
        assert [value.value.hex() for value in here.values] == [value.value.hex() for value in there.values]
        seen.add(here)
    assert len(seen) == len(photos), "the values must follow the picture"


async def test_angles_are_answered_in_the_range_of_their_target(client, photos):
    values = (await client.regress(photos[0], "turns")).result.values
    assert [value.value for value in values] == pytest.approx([179, -179, 179, 181], abs=1e-4)
    assert {value.unit for value in values} == {"°"}


async def test_both_clients_and_analyze_give_the_same_answer(client, photos):
    def ask():
        with Client(client.target) as plain:
            return plain.regress(str(photos[0]), head="measures", timeout_s=30)

    answer = await client.regress(photos[0].read_bytes(), head="measures")
    done = await client.analyze(photos[0], ["measures", "imagenet"])
    assert (await asyncio.to_thread(ask)).result == answer.result
    assert done["measures"].value() == answer.result
    assert isinstance(done["imagenet"].value(), Classification)
    assert done.backbone_passes == 1


@pytest.mark.parametrize(
    ("call", "head", "advice"), [("regress", "imagenet", "Classify"), ("classify", "measures", "Regress")]
)
async def test_a_head_of_another_task_names_the_call_to_use(client, photos, call, head, advice):
    error = await refused(getattr(client, call)(photos[0], head))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "WRONG_TASK")
    assert error.message.endswith(f": use {advice} or Analyze")
    assert error.metadata["head"] == head


async def test_the_calls_that_are_named_exist():
    calls = pb.DESCRIPTOR.services_by_name["VisionService"].methods_by_name
    named = {task.call.name for task in map(task_of, task_names()) if task.call is not None}
    assert len(named) >= 5
    assert named <= set(calls)


async def test_a_parameter_is_refused(client, photos):
    outcome = (await client.analyze(photos[0], [("measures", {"top_k": 3})]))["measures"]
    assert outcome.error.reason == "INVALID_REQUEST"
    assert "'top_k'" in outcome.error.message


async def test_several_heads_ask_for_a_name_and_an_unknown_one_is_not_found(client, photos):
    several = await refused(client.regress(photos[0]))
    unknown = await refused(client.regress(photos[0], "nothing"))
    assert (several.code, unknown.code) == ("NOT_FOUND", "NOT_FOUND")
    assert "measures, turns" in several.message


async def test_an_estimate_that_is_no_number_costs_its_head_alone(client, photos):
    error = await refused(client.regress(photos[0], "undefined"))
    done = await client.analyze(photos[0], ["undefined", "measures"])
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "MODEL_INVALID")
    assert error.message == "head 'undefined' gave no finite number for 'size'"
    assert done["undefined"].error.message == error.message
    assert all(math.isfinite(value.value) for value in done["measures"].value().values)


async def test_a_head_whose_width_does_not_fit_its_targets_is_not_served(client, photos):
    error = await refused(client.regress(photos[0], "wide"))
    assert error.reason == "MODEL_INVALID"
    assert "settings.targets take 1 column(s)" in error.message
    assert (await client.get_head("wide")).ready is False


async def test_without_such_a_head_the_service_says_so_and_a_lone_one_needs_no_name(models, photos, tmp_path):
    repository = linked_repository(models, tmp_path)
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        error = await refused(client.regress(photos[0]))
    add_regression_head(repository, "size", MEASURES[:1], STILL, [2.5])
    async with serve(models=repository) as host, AsyncClient(host.address) as client:
        answer = await client.regress(photos[0])
    assert error.message == "no regression head is served; ListHeads lists what is"
    assert answer.result.values == (Quantity("size", 2.5, "mm"),)
