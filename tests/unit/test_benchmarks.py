"""The arithmetic of the benchmarks: schedules, latencies, tables, whole models."""

import asyncio
import time

import numpy as np
import pytest

from benchmarks.bare import FullLoop, SharedLoop, rate
from benchmarks.full_models import full_model, write_full_models
from benchmarks.load.queue import ideal_histogram, ideal_latencies
from benchmarks.load.targets import Target
from benchmarks.mixed import choose_heads
from benchmarks.pictures import distinct_jpegs
from benchmarks.repository import FOUR_HEADS, add_linear_head, linked
from benchmarks.soak import unasked
from benchmarks.statistics import fit_line, growth_percent, spread, table
from trunkline.core.repository import Repository
from trunkline.loadtest.histograms import merged, percentile_ms
from trunkline.loadtest.loops import closed_loop, open_loop
from trunkline.loadtest.recorder import Recorder
from trunkline.loadtest.schedule import poisson_arrivals
from trunkline.serving.session import OnnxSession, load_session

STALL_S = 0.5
SLOW_MS = 100.0


def test_poisson_arrivals_have_the_rate_and_the_irregularity_that_was_asked_for():
    times = poisson_arrivals(rate_per_s=200, seconds=100, seed=7)
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert gaps.min() >= 0
    assert times[-1] < 100
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # exponential: deviation equals mean
    assert not np.array_equal(times[:100], poisson_arrivals(200, 100, seed=8)[:100])


class StallingServer:
    """Answers one call at a time, each at once, but for one that holds all others up for half a second."""

    def __init__(self, stall_at: int) -> None:
        self._lock, self._count, self._stall_at = asyncio.Lock(), 0, stall_at

    async def ask(self, timeout_s: float) -> str:
        async with self._lock:
            self._count += 1
            if self._count == self._stall_at:
                await asyncio.sleep(STALL_S)
        return "OK"


def slow_calls(recorder: Recorder) -> int:
    histogram = recorder.latency
    return histogram.get_total_count() - sum(
        item.count_added_in_this_iter_step
        for item in histogram.get_recorded_iterator()
        if item.value_iterated_to <= SLOW_MS * 1000
    )


def test_the_ideal_queue_makes_wait_only_who_comes_while_all_servers_work():
    arrivals_s = np.array([0.0, 0.0, 0.0, 0.5, 0.55])  # two servers, each takes 0.2 s
    assert ideal_latencies(arrivals_s, 10, 2) == pytest.approx([0.2, 0.2, 0.4, 0.2, 0.2])


def test_the_ideal_queue_of_one_server_waits_as_queueing_theory_says():
    arrivals_s, takes_s = poisson_arrivals(80.0, 600.0, 3), 0.01
    mean_s = ideal_latencies(arrivals_s, 1 / takes_s, 1).mean()
    assert mean_s == pytest.approx(takes_s * (1 + 0.8 / (2 * (1 - 0.8))), rel=0.1)  # Pollaczek-Khinchine, M/D/1


def test_the_ideal_queue_is_that_of_the_arrivals_of_an_open_loop():
    found = merged([ideal_histogram(50.0, 20.0, 7, 100.0, 2)])
    latencies_s = ideal_latencies(poisson_arrivals(50.0, 20.0, 7), 100.0, 2)
    assert found.get_total_count() == len(latencies_s)
    assert percentile_ms(found, 99) == pytest.approx(1000 * np.percentile(latencies_s, 99), rel=0.05)


async def test_a_stall_counts_for_every_call_that_was_meant_to_be_sent_meanwhile():
    """A closed loop sees one slow call, as it asks no more while it waits; an open loop sees all that had to wait."""
    opened, closed = Recorder(), Recorder()
    await open_loop(StallingServer(20).ask, np.arange(0, 1.0, 0.01), opened)
    await closed_loop(StallingServer(20).ask, 1, 0.8, closed)
    assert opened.codes["OK"] == 100
    assert slow_calls(opened) >= 30  # 100 a second for the 0.4 s in which a wait is longer than 100 ms
    assert 1 <= slow_calls(closed) <= 8  # no more fit into its time
    assert percentile_ms(opened.latency, 90) > SLOW_MS


async def test_a_sender_that_is_behind_shows_in_lateness_and_in_latency():
    async def ask(timeout_s: float) -> str:
        time.sleep(0.02)  # noqa: ASYNC251 - holds the sender itself up
        return "OK"

    recorder = Recorder()
    await open_loop(ask, np.zeros(10), recorder)
    assert recorder.late_sent >= 5
    assert percentile_ms(recorder.lateness, 99) > 100
    assert percentile_ms(recorder.latency, 99) >= 200


async def test_arrivals_above_the_limit_in_flight_are_counted_and_late_answers_too():
    async def ask(timeout_s: float) -> str:
        await asyncio.sleep(0.1)
        return "OK"

    recorder = Recorder(deadline_s=0.01)
    await open_loop(ask, np.zeros(10), recorder, timeout_s=0.01, max_in_flight=4)
    assert (recorder.dropped, recorder.codes["OK"], recorder.late_answers) == (6, 4, 4)


def test_histograms_of_repeats_add_up():
    parts = []
    for base_s in (0.010, 0.020):
        recorder = Recorder()
        for step in range(100):
            recorder.answered("OK", 0.0, base_s + step * 1e-5)
        recorder.answered("UNAVAILABLE", 0.0, 5.0)
        parts.append(recorder.report())
    total = merged([part["histogram"] for part in parts])
    assert total.get_total_count() == 200
    assert percentile_ms(total, 50) == pytest.approx(11, rel=0.02)
    assert percentile_ms(total, 100) == pytest.approx(21, rel=0.02)
    assert parts[0]["codes"] == {"OK": 100, "UNAVAILABLE": 1}


def test_tables_lines_and_growth_are_what_they_say():
    assert spread([3.0, 1.0, 2.0], 1, " %") == "2.0 % (1.0 to 3.0)"
    assert spread([2.0]) == "2.0"
    assert table(["a", "b"], [["1", "2"]]) == ["| a | b |", "| --- | --- |", "| 1 | 2 |"]
    with pytest.raises(ValueError, match="columns"):
        table(["a", "b"], [["1"]])
    line = fit_line([1, 2, 3], [5.0, 7.0, 9.0])
    assert (line.slope, line.start, line.r2) == (pytest.approx(2), pytest.approx(3), pytest.approx(1))
    assert fit_line([1, 2, 3, 4], [1.0, -1.0, 1.0, -1.0]).r2 < 0.3
    assert growth_percent([*[500.0] * 10, *[100.0] * 45, *[105.0] * 45]) == pytest.approx(5)


def test_only_what_was_asked_for_is_no_error():
    codes = {"imagenet": {"OK": 9, "UNAVAILABLE": 2}, "no picture": {"INVALID_ARGUMENT": 4, "OK": 1}}
    assert unasked(codes) == 3


def test_a_whole_model_answers_what_backbone_and_head_answer(models):
    repository = Repository(models)
    whole = OnnxSession(full_model(repository, "imagenet"), "whole")
    inputs, _ = repository.backbone("efficientnet-lite0").read_golden()
    pooled = load_session(repository.backbone("efficientnet-lite0")).run(inputs, ["pooled"])
    expected = load_session(repository.head("imagenet")).run(pooled)["logits"]
    np.testing.assert_allclose(whole.run(inputs)["logits"], expected, atol=1e-4)


def test_the_bare_loops_answer_made_heads(tmp_path):
    repository = linked(tmp_path / "models")
    add_linear_head(repository, "made", 7, seed=1)
    loop = SharedLoop(repository, ("imagenet", "made"))
    found = rate(loop.answer, distinct_jpegs(3), 0.1)
    assert found.per_second > 0
    assert found.cpu_ms > 0
    write_full_models(repository, tmp_path / "full", ("made",))
    assert rate(FullLoop(tmp_path / "full", ("made",)).answer, distinct_jpegs(3), 0.1).per_second > 0


@pytest.mark.parametrize(
    ("kind", "given", "calls"),
    [("trunkline", "jpeg", 1), ("trunkline", "pixels", 4), ("handwritten", "jpeg", 4), ("mlserver", "jpeg", 4)],
)
def test_four_models_are_four_calls_where_there_is_no_shared_pass(kind, given, calls):
    target = Target(kind, "127.0.0.1:1", FOUR_HEADS, given)
    assert len(target.calls(b"item" * 8)) == calls


def test_mixed_takes_a_head_of_each_task_and_fills_up(models):
    heads = choose_heads(Repository(models))
    assert "imagenet" in heads
    assert len(set(heads)) == len(heads) <= 4
