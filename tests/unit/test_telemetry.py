"""Request ids, lines of the log, and values that are read at a scrape."""

import asyncio
import json
import logging
import sys

import pytest
from prometheus_client import generate_latest

from trunkline.core.errors import ConfigurationError
from trunkline.serving.logs import JsonLines, TextLines
from trunkline.serving.settings import read_settings
from trunkline.serving.telemetry.call import Call, begin_call, current_call, outgoing_metadata, request_id_of
from trunkline.serving.telemetry.catalogue import METRICS, Metric
from trunkline.serving.telemetry.metrics import Metrics
from trunkline.serving.telemetry.tally import Distribution
from trunkline.serving.workers import Priority, WorkerPool

GAUGE = Metric("trunkline_entries", "gauge", "entries of a cache", ("kind",))
COUNTER = Metric("trunkline_hits_total", "counter", "hits of a cache")


def shown(metrics: Metrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_a_plain_object_can_be_shown_without_knowing_of_metrics():
    class Cache:
        hits, entries = 0, 3

    cache, metrics = Cache(), Metrics()
    metrics.read(COUNTER, lambda: cache.hits)
    metrics.read(GAUGE, lambda: {("picture",): cache.entries})
    cache.hits, cache.entries = 7, 4
    assert {"trunkline_hits_total 7.0", 'trunkline_entries{kind="picture"} 4.0'} <= set(shown(metrics))
    assert "# TYPE trunkline_hits_total counter" in shown(metrics)


def test_a_reading_that_fails_costs_itself_and_not_the_scrape(caplog):
    metrics = Metrics()
    metrics.read(GAUGE, lambda: {("a",): 1 / 0})
    metrics.read(COUNTER, lambda: 1)
    assert "trunkline_hits_total 1.0" in shown(metrics)
    assert "trunkline_entries" in caplog.text


def test_a_metric_has_one_reading():
    metrics = Metrics()
    metrics.read(COUNTER, lambda: 1)
    with pytest.raises(ValueError, match=COUNTER.name):
        metrics.read(COUNTER, lambda: 2)


def test_features_that_needed_no_pass_count_as_none():
    metrics = Metrics()
    metrics.passed("backbone", queue_s=0.0, decode_s=0.0, backbone_s=0.0)
    metrics.passed("backbone", queue_s=0.001, decode_s=0.004, backbone_s=0.0)
    counts = [line for line in shown(metrics) if "_seconds_count" in line and not line.startswith("#")]
    ours = [line for line in counts if line.startswith(("trunkline_queue", "trunkline_decode", "trunkline_backbone"))]
    assert sorted(ours) == ["trunkline_decode_seconds_count 1.0", "trunkline_queue_seconds_count 1.0"]


def test_buckets_hold_what_is_up_to_their_end():
    distribution = Distribution((1, 2.5), labels=1)
    for value in (0.5, 1, 2, 7):
        distribution.add(value, "a")
    assert list(distribution.read()) == [(("a",), [("1.0", 2), ("2.5", 3), ("+Inf", 4)], 10.5)]


def test_names_of_metrics_say_their_unit_and_kind():
    for metric in METRICS:
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric
        assert list(metric.buckets) == sorted(metric.buckets), metric
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_bytes", "_per_request")), metric


@pytest.mark.parametrize("given", ["a", "0af7-65/x:y+z=.", "x" * 128])
def test_a_harmless_request_id_is_kept(given):
    assert request_id_of([("user-agent", "x"), ("x-request-id", given)]) == given


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "é", "x" * 129, b"bytes", '"', "a\n"])
def test_another_request_id_is_replaced(given):
    made = request_id_of([("x-request-id", given)])
    assert len(made) == 32
    assert int(made, 16) >= 0


def record(message: str, **extra) -> logging.LogRecord:
    return logging.getLogger("trunkline.x").makeRecord(
        "trunkline.x",
        logging.ERROR,
        "x.py",
        1,
        message,
        (),
        sys.exc_info() if sys.exc_info()[0] else None,
        extra=extra,
    )


async def test_a_line_of_json_has_the_request_the_trace_and_the_exception():
    async def within() -> str:
        begin_call(Call("Classify", "id-1", trace_id="t" * 32))
        try:
            raise ValueError("two\nlines")
        except ValueError:
            return JsonLines("gateway").format(record("bug", fields={"ms": 1.5}))

    text = await asyncio.create_task(within())
    line = json.loads(text)
    assert "\n" not in text
    assert (line["role"], line["level"], line["logger"], line["message"]) == (
        "gateway",
        "ERROR",
        "trunkline.x",
        "bug",
    )
    assert (line["request_id"], line["trace_id"], line["ms"]) == ("id-1", "t" * 32, 1.5)
    assert "ValueError: two\nlines" in line["exception"]
    assert current_call() is None


async def test_a_line_of_text_names_the_request_where_there_is_one():
    async def within() -> str:
        begin_call(Call("Classify", "id-2"))
        return TextLines("100%").format(record("hello"))

    assert (await asyncio.create_task(within())).endswith("ERROR 100% trunkline.x: hello request_id=id-2")
    assert TextLines("x").format(record("hello")).endswith("hello")


async def test_work_on_a_thread_knows_the_request_that_it_is_for():
    pool = WorkerPool(threads=1, max_held=8)

    async def ask(request_id: str) -> str:
        begin_call(Call("Classify", request_id))
        found, _ = await pool.run(lambda: current_call().request_id, Priority.HEAD)
        return found

    try:
        found = await asyncio.gather(*(asyncio.create_task(ask(f"id-{n}")) for n in range(4)))
    finally:
        pool.close()
    assert found == [f"id-{n}" for n in range(4)]


async def test_calls_to_services_behind_carry_the_id_and_the_trace():
    async def within() -> tuple:
        begin_call(Call("Classify", "id-3", inject=lambda: (("traceparent", "00-1"),)))
        return outgoing_metadata()

    assert outgoing_metadata() == ()
    assert await asyncio.create_task(within()) == (("x-request-id", "id-3"), ("traceparent", "00-1"))


@pytest.mark.parametrize(
    ("name", "value"), [("METRICS_ADDRESS", "9464x"), ("OTEL_ENDPOINT", "collector:4317"), ("LOG_FORMAT", "xml")]
)
def test_a_wrong_setting_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"TRUNKLINE_{name}", value)
    with pytest.raises(ConfigurationError, match=f"TRUNKLINE_{name}"):
        read_settings()
