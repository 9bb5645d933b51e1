"""Metrics of real servers, read as Prometheus reads them."""

import asyncio
import logging
import socket

import grpc
import pytest

from tests.service.scrape import Scrape, get, scrape, settled
from trunkline.api.inference.v1 import head_service_pb2
from trunkline.api.inference.v1.head_service_pb2_grpc import HeadServiceStub
from trunkline.assembly import roles
from trunkline.assembly.split import Plan, with_metrics
from trunkline.client import AsyncClient, Client, ServiceError
from trunkline.serving.telemetry.catalogue import METRICS
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

ANYWHERE = "127.0.0.1:0"
VISION = "trunkline.api.vision.v1.VisionService"


@pytest.fixture(params=[serve, serve_split])
async def watched(request, photos):
    """A host with metrics that has answered 3 good calls, one about no picture, and one that asks an unknown head."""
    async with request.param(metrics_address=ANYWHERE, heads=("imagenet",)) as host:
        async with AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            await client.classify(photos[0])
            await client.classify(photos[1])
            await client.analyze(photos[2], ["imagenet", "made-up"])
            with pytest.raises(ServiceError):
                await client.classify(b"no picture")
            with pytest.raises(ServiceError):
                await client.classify(photos[0], head="made-up-too")
        yield host


async def test_calls_stages_and_heads_are_counted_the_same_in_both_forms(watched):
    found = await settled(watched.telemetry.address)
    classify = {"grpc_method": f"{VISION}/Classify"}
    duration = "grpc_server_call_duration_seconds_count"
    assert found.value("grpc_server_call_started_total", **classify) == 4
    assert found.value(duration, **classify, grpc_status="OK") == 2
    assert found.value(duration, **classify, grpc_status="INVALID_ARGUMENT") == 1
    assert found.value(duration, **classify, grpc_status="NOT_FOUND") == 1
    assert found.value(duration, grpc_method=f"{VISION}/Analyze", grpc_status="OK") == 1
    assert found.value("trunkline_pass_seconds_count", status="OK") == 3
    assert found.value("trunkline_pass_seconds_count", status="INVALID_ARGUMENT") == 1
    for stage in ("queue", "decode", "backbone"):
        assert found.value(f"trunkline_{stage}_seconds_count") == 3
    assert found.value("trunkline_backbone_seconds_sum") > 0
    assert found.value("trunkline_head_seconds_count", head="imagenet", status="OK") == 3
    assert found.value("trunkline_passes_per_request_sum") == 3
    assert found.value("trunkline_calls_in_flight") == 0


async def test_sizes_are_those_of_the_messages(watched, photos):
    found = await settled(watched.telemetry.address)
    labels = {"grpc_method": f"{VISION}/Classify", "grpc_status": "OK"}
    pictures = sum(photo.stat().st_size for photo in photos[:2])
    received = found.value("grpc_server_call_rcvd_total_compressed_message_size_bytes_sum", **labels)
    assert pictures < received < pictures + 1000
    sent = "grpc_server_call_sent_total_compressed_message_size_bytes"
    assert found.value(f"{sent}_count", **labels) == 2
    assert found.value(f"{sent}_sum", **labels) > 100


async def test_heads_and_backbone_are_shown_with_their_versions(watched):
    found = await settled(watched.telemetry.address)
    assert found.value("trunkline_head_info", head="imagenet", version="2", task="classification") == 1
    assert found.value("trunkline_head_ready", head="imagenet") == 1
    assert found.value("trunkline_backbone_info", backbone="efficientnet-lite0", version="1") == 1
    assert found.value("trunkline_ready") == 1


async def test_names_that_callers_make_up_become_no_labels(watched):
    async with grpc.aio.insecure_channel(watched.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await channel.unary_unary("/made.up.Service/Call")(b"")
    found = await settled(watched.telemetry.address)
    assert not [sample for sample in found.samples if any("made" in value for value in sample.labels.values())]


async def test_everything_that_is_shown_is_in_the_catalogue(watched):
    known = {metric.name.removesuffix("_total") for metric in METRICS}
    shown = {family.name for family in (await scrape(watched.telemetry.address)).families}
    assert {name for name in shown if not name.startswith("process_") and not name.endswith("_created")} <= known


async def test_health_is_shown_over_http(watched):
    address = watched.telemetry.address
    assert await asyncio.to_thread(get, address, "/healthz") == (200, "alive\n")
    assert await asyncio.to_thread(get, address, "/readyz") == (200, "ready\n")
    assert (await asyncio.to_thread(get, address, "/else"))[0] == 404
    await watched.set_ready([""], ready=False)
    assert (await asyncio.to_thread(get, address, "/readyz"))[0] == 503


async def test_a_head_service_counts_its_own_calls_and_work(photos):
    settings = local_settings(metrics_address=ANYWHERE, heads=("imagenet",), max_queue=7)
    async with roles.heads(settings) as host, grpc.aio.insecure_channel(host.address) as channel:
        await HeadServiceStub(channel).DescribeHeads(head_service_pb2.DescribeHeadsRequest())
        found = await settled(host.telemetry.address)
    method = "trunkline.api.inference.v1.HeadService/DescribeHeads"
    assert found.value("grpc_server_call_duration_seconds_count", grpc_method=method, grpc_status="OK") == 1
    assert (found.value("trunkline_work_limit"), found.value("trunkline_work_held")) == (7, 0)
    assert found.value("trunkline_build_info", role="head") == 1


async def test_refused_work_is_counted_by_its_reason_and_work_is_seen_while_it_waits(photos):
    settings = {"metrics_address": ANYWHERE, "heads": ("imagenet",), "max_queue": 3, "threads": 1}
    async with serve(**settings) as host, AsyncClient(host.address) as client:
        calls = [asyncio.create_task(client.classify(photos[0])) for _ in range(30)]
        held = 0.0
        while not all(call.done() for call in calls):
            held = max(held, (await scrape(host.telemetry.address)).value("trunkline_work_held"))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        found = await settled(host.telemetry.address)
    refused = sum(isinstance(answer, ServiceError) for answer in answers)
    assert 0 < refused < 30
    assert found.value("trunkline_refused_total", reason="QUEUE_FULL") == refused
    assert 0 < held <= 2 * 3, "passes, and heads of those that were begun"


async def test_a_call_that_is_given_up_is_counted_as_cancelled(photos):
    data = photos[0].read_bytes()
    settings = {"metrics_address": ANYWHERE, "heads": ("imagenet",), "threads": 1}
    async with serve(**settings) as host, AsyncClient(host.address) as client:
        calls = [asyncio.create_task(client.classify(data)) for _ in range(40)]
        while (await scrape(host.telemetry.address)).value("trunkline_calls_in_flight") == 0:
            assert not all(call.done() for call in calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        found = await settled(host.telemetry.address)
    duration = "grpc_server_call_duration_seconds_count"
    assert found.value(duration, grpc_method=f"{VISION}/Classify", grpc_status="CANCELLED") > 0


async def test_a_port_that_is_taken_costs_the_metrics_alone(photos, caplog):
    with socket.socket() as taken, caplog.at_level(logging.WARNING):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"metrics_address": address, "heads": ("imagenet",)}
        async with serve(**settings) as host, AsyncClient(host.address) as client:
            assert (await client.classify(photos[0])).result.labels
            assert host.telemetry.address == ""
    assert f"no metrics: cannot listen on {address}" in caplog.text


def test_each_process_shows_its_own_metrics_the_split_form_at_ports_that_count_up(watched_processes, photos):
    with Client(watched_processes.server.address) as client:
        client.classify(photos[0])
    for role, address in watched_processes.metrics.items():
        found = Scrape(get(address, "/metrics")[1])
        assert found.labels("trunkline_build_info", "role") == {role}
        assert found.value("process_resident_memory_bytes") > 0


def test_port_0_of_the_split_form_stays_free_for_each():
    plans = [Plan(name, (), {}) for name in ("backbone", "gateway")]
    assert with_metrics(plans, "") == plans
    shown = [plan.environment["TRUNKLINE_METRICS_ADDRESS"] for plan in with_metrics(plans, "0.0.0.0:0")]
    assert shown == ["0.0.0.0:0", "0.0.0.0:0"]
