"""Traces over real processes, at a real OTLP receiver."""

import secrets
from pathlib import Path

import grpc
import pytest

from tests.service.conftest import Watched
from tests.service.otlp import Received, Receiver
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.api.vision.v1.vision_service_pb2_grpc import VisionServiceStub
from trunkline.client import AsyncClient
from trunkline.testing import serve

VISION = "trunkline.api.vision.v1.VisionService"
EXTRACT = "trunkline.api.inference.v1.BackboneService/ExtractFeatures"
PREDICT = "trunkline.api.inference.v1.HeadService/Predict"
CALLERS_SPAN = "00f067aa0ba902b7"
HEADS = ("imagenet", "flowers102")


def analyze(watched: Watched, photo: Path, heads, trace: str, flags: str = "01") -> None:
    """An Analyze call by somebody who has a trace already."""
    with grpc.insecure_channel(watched.server.address) as channel:
        request = pb.AnalyzeRequest(
            image=image_pb2.Image(data=photo.read_bytes()), heads=[pb.HeadRequest(head=head) for head in heads]
        )
        metadata = [("traceparent", f"00-{trace}-{CALLERS_SPAN}-{flags}")]
        assert VisionServiceStub(channel).Analyze(request, timeout=60, metadata=metadata).backbone_passes > 0


def trace_of(otlp: Receiver, trace: str, *names: str) -> list[Received]:
    """The spans of a trace, once the call has ended and all of these are there."""
    wanted = {f"{VISION}/Analyze", *names}
    spans = otlp.wait(lambda all_: wanted <= {each.name for each in all_ if each.trace == trace})
    return [each for each in spans if each.trace == trace]


def test_one_trace_has_gateway_backbone_and_heads_below_the_caller(watched_processes, otlp, photos):
    split, trace = watched_processes.split, secrets.token_hex(16)
    analyze(watched_processes, photos[0], HEADS, trace)
    services = [EXTRACT, PREDICT] if split else []
    found = trace_of(otlp, trace, "pass", "decode", "backbone", *(f"head {head}" for head in HEADS), *services)
    names = {each.id: each.name for each in found}
    above = {each.name: names.get(each.parent, each.parent) for each in found}
    assert above.pop(f"{VISION}/Analyze") == CALLERS_SPAN
    assert {above.pop(name) for name in ("pass", *(f"head {head}" for head in HEADS))} == {f"{VISION}/Analyze"}
    assert {above.pop(name, None) for name in ("queue", "decode", "backbone")} == {EXTRACT if split else "pass"}
    if split:
        assert above.pop(EXTRACT) == "pass"
        assert above.pop(PREDICT).startswith("head ")
        services = {each.name: each.service for each in found}
        assert services[EXTRACT] == "trunkline-backbone"
        assert services[PREDICT] == "trunkline-head"
        assert services[f"{VISION}/Analyze"] == "trunkline-gateway"
    assert not above


def test_spans_lie_within_each_other(watched_processes, otlp, photos):
    trace = secrets.token_hex(16)
    analyze(watched_processes, photos[1], ["imagenet"], trace)
    found = {each.name: each for each in trace_of(otlp, trace, "pass", "decode", "backbone")}
    call, passing, decode, run = (found[name] for name in (f"{VISION}/Analyze", "pass", "decode", "backbone"))
    slack_ns = 50_000_000  # stages are placed by when their end was heard of, late on a busy machine
    assert call.start_ns <= passing.start_ns <= passing.end_ns <= call.end_ns
    assert passing.start_ns - slack_ns <= decode.start_ns < decode.end_ns <= run.start_ns + 1000
    assert run.end_ns <= passing.end_ns + slack_ns


def test_what_the_caller_did_not_sample_is_not_sent(watched_processes, otlp, photos):
    unsampled, sampled = secrets.token_hex(16), secrets.token_hex(16)
    analyze(watched_processes, photos[0], ["imagenet"], unsampled, flags="00")
    analyze(watched_processes, photos[0], ["imagenet"], sampled)
    trace_of(otlp, sampled)
    assert not [each for each in otlp.wait(bool) if each.trace == unsampled]


async def test_a_bug_is_an_error_of_its_span_and_a_bad_picture_is_none(otlp, photos, monkeypatch):
    from trunkline.backbone.engine import BackboneEngine

    async def bug(self, request, timeout_s):
        raise RuntimeError("secret")

    async with (
        serve(heads=("imagenet",), otel_endpoint=otlp.endpoint) as host,
        AsyncClient(host.address) as client,
        grpc.aio.insecure_channel(host.address) as channel,
    ):
        stub = VisionServiceStub(channel)

        async def classify(data: bytes, trace: str) -> None:
            request = pb.ClassifyRequest(image=image_pb2.Image(data=data))
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Classify(request, metadata=[("traceparent", f"00-{trace}-{CALLERS_SPAN}-01")])

        await client.wait_ready(timeout_s=30)
        await classify(b"no picture", "c" * 32)
        monkeypatch.setattr(BackboneEngine, "extract", bug)
        await classify(photos[0].read_bytes(), "d" * 32)
    # The drain sends what is left.
    spans = otlp.wait(bool)
    found = {(each.trace[0], each.name): each.error for each in spans if each.trace in ("c" * 32, "d" * 32)}
    assert found == {
        ("c", f"{VISION}/Classify"): False,
        ("c", "pass"): False,
        ("d", f"{VISION}/Classify"): True,
        ("d", "pass"): True,
    }


async def test_a_receiver_that_is_away_costs_no_call(photos):
    settings = {"heads": ("imagenet",), "otel_endpoint": "http://127.0.0.1:9"}
    async with serve(**settings) as host, AsyncClient(host.address) as client:
        assert (await client.classify(photos[0])).result.labels
