"""Backbone and head services listen once they can answer: whoever reaches one is answered."""

import subprocess
import sys
import time

import grpc
import pytest

from tests.conftest import ROOT, free_port
from trunkline.api.inference.v1.backbone_service_pb2 import DescribeBackboneRequest
from trunkline.api.inference.v1.backbone_service_pb2_grpc import BackboneServiceStub
from trunkline.api.inference.v1.head_service_pb2 import DescribeHeadsRequest
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub

WITHIN_S = 60


def first_answer(address, ask):
    """What is answered first, by connections made anew until one is."""
    deadline = time.monotonic() + WITHIN_S
    while True:
        with grpc.insecure_channel(address) as channel:
            try:
                return ask(channel)
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("role", "ask"),
    [
        (["backbone"], lambda channel: BackboneServiceStub(channel).DescribeBackbone(DescribeBackboneRequest()).name),
        (["head"], lambda channel: list(HeadServiceStub(channel).DescribeHeads(DescribeHeadsRequest()).heads)),
    ],
)
def test_the_first_answer_is_a_whole_one(role, ask):
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "trunkline.cli.main", "serve", *role, "--address", address]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            assert first_answer(address, ask)
        finally:
            process.terminate()
