"""Our protos of the Open Inference Protocol have the names and numbers that the unmodified client has."""

import asyncio

import pytest

from tests.service.descriptors import facts
from tests.service.triton import triton_process
from trunkline.api.oip.v2 import inference_service_pb2, model_config_pb2


@pytest.fixture(scope="module")
def theirs() -> dict:
    with triton_process() as triton:
        return asyncio.run(triton.run("descriptor"))


OURS = facts(inference_service_pb2.DESCRIPTOR, model_config_pb2.DESCRIPTOR)


@pytest.mark.parametrize("name", OURS)
def test_what_we_have_is_what_clients_have(theirs, name):
    assert OURS[name].items() <= theirs[name].items()


@pytest.mark.parametrize("name", [name for name in OURS if name.endswith(("Request", "ModelInferResponse"))])
def test_requests_and_answers_are_whole(theirs, name):
    assert OURS[name] == theirs[name]
