"""What a load test makes of its calls: tallies that add up, figures, objectives, the knee, comparisons."""

import math
from datetime import UTC, datetime

import pytest

from trunkline.client import ServiceError
from trunkline.core.errors import ConfigurationError
from trunkline.loadtest.caller import Answer
from trunkline.loadtest.compare import compare, differences
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.histograms import merged
from trunkline.loadtest.journal import TallyJournal
from trunkline.loadtest.knee import find_knee
from trunkline.loadtest.mix import Call
from trunkline.loadtest.objectives import judge, parse_objective
from trunkline.loadtest.plan import Closed, Open, Setup, Step
from trunkline.loadtest.report import read_run, write_report
from trunkline.loadtest.run import Run, StepResult
from trunkline.loadtest.tally import SECOND_DIGITS, Tally, merge

CLASSIFY, SEGMENT = Call("classify", ("a",)), Call("segment", ("b",))
AWAY = ServiceError("UNAVAILABLE", "UNREACHABLE", "nobody is there")


def tally(latencies_ms, failed=0, dropped=0, call=CLASSIFY, seconds=2.0, retries=0) -> Tally:
    """Calls that end in equal parts of the first two seconds."""
    journal = TallyJournal(started_at=0.0)
    for index, latency_ms in enumerate(latencies_ms):
        ended_s = 2.0 * index / len(latencies_ms)
        journal.answered(Answer(call, None, retries), ended_s - latency_ms / 1000, ended_s)
    for _ in range(failed):
        journal.answered(Answer(call, AWAY, 2), 1.0, 1.5)
    for _ in range(dropped):
        journal.drop()
    return journal.tally(seconds, cpu_s=0.5)


def run_of(*results: StepResult, **setup) -> Run:
    setup = Setup(**{"target": "127.0.0.1:1", "mix": ("classify:a",), **setup})
    now = datetime.now(UTC)
    return Run(
        trunkline="0", started_at=now, command="c", machine="m", setup=setup, served={}, warm_up_s=0, steps=results
    )


def step(load, of: Tally) -> StepResult:
    return StepResult(step=Step(load=load, seconds=2.0), tally=of)


def test_processes_add_up_as_if_one_had_sent_all_calls():
    parts = [tally(range(1, 101), failed=2), tally(range(101, 201), dropped=5), tally([50.0] * 100, call=SEGMENT)]
    found, one = merge(parts), tally(range(1, 201), failed=2, dropped=5)
    both = figures_of(found, "classify:a")
    assert [both.percentile_ms(share) for share in (1, 50, 90, 99, 100)] == [
        figures_of(one).percentile_ms(share) for share in (1, 50, 90, 99, 100)
    ]
    assert both.percentile_ms(50) == pytest.approx(100, rel=0.01)
    assert both.percentile_ms(99) == pytest.approx(198, rel=0.01)
    assert figures_of(found, "segment:b").ok == 100
    assert found.calls["classify:a"].codes == {"OK": 200, "UNAVAILABLE": 2}
    assert (found.arrivals, found.dropped, found.cpu_s) == (307, 5, 1.5)
    assert [(error.code, error.count) for error in found.errors] == [("UNAVAILABLE", 2)]
    assert (found.calls["classify:a"].retries, found.calls["classify:a"].retried) == (4, 2)


def test_each_second_has_its_counts_and_its_latency():
    found = merge([tally([10.0] * 50, failed=3), tally([30.0] * 50)])
    assert {second: (each.ok, each.failed) for second, each in found.series.items()} == {0: (50, 0), 1: (50, 3)}
    assert sum(merged([each.histogram], SECOND_DIGITS).get_total_count() for each in found.series.values()) == 100


def test_errors_are_arrivals_without_an_answer_and_dropped_ones_count():
    figures = figures_of(tally([5.0] * 90, failed=6, dropped=4))
    assert figures.arrivals == 100
    assert (figures.errors_percent, figures.dropped_percent) == (10.0, 4.0)
    assert figures.per_second == 45.0
    assert math.isnan(figures_of(tally([], failed=3)).percentile_ms(99))


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p50<51ms", True),
        ("p50<50ms", False),
        ("p99 <= 0.1s", True),
        ("p99.9<1ms", False),
        ("mean<60ms", True),
        ("max<99ms", False),
        ("errors<10%", True),
        ("errors<9%", False),
        ("dropped<=0%", True),
        ("retried<1%", False),
        ("throughput>=50", True),
        ("throughput>51/s", False),
        ("classify:a p50<51ms", True),
        ("segment:b p50<51ms", False),  # never sent: nothing says that it holds
    ],
)
def test_an_objective_says_whether_it_is_met(text, met):
    verdict = judge(parse_objective(text), [("step", tally(range(1, 101), failed=10))], knee=None)
    assert verdict.met is met


@pytest.mark.parametrize("text", ["p99", "p99<200", "p101<1ms", "p0<1ms", "speed<1ms", "errors<1ms", "p99<-1ms", ""])
def test_an_objective_that_cannot_be_meant_is_refused_with_the_way_to_write_it(text):
    with pytest.raises(ConfigurationError, match=r"write \[CALL \]FIGURE"):
        parse_objective(text)


def test_a_run_meets_an_objective_only_where_each_step_does_and_the_worst_is_named():
    steps = [("slow", tally([100.0] * 10)), ("quick", tally([10.0] * 10))]
    verdict = judge(parse_objective("p99<50ms"), steps, knee=None)
    assert (verdict.met, verdict.step) == (False, "slow")
    assert judge(parse_objective("p99<150ms"), steps, knee=None).met
    assert not judge(parse_objective("p99<150ms"), [*steps, ("none", tally([], failed=5))], knee=None).met
    assert judge(parse_objective("knee>=40"), [], knee=41.0).met
    assert not judge(parse_objective("knee>=40"), [], knee=None).met


@pytest.mark.parametrize("first", [3.0, 70.0, 900.0])
async def test_the_knee_is_found_from_below_and_from_above(first):
    async def holds(rate: float) -> bool:
        return rate <= 100.0

    knee = await find_knee(holds, first)
    assert 95.0 <= knee.rate <= 100.0
    assert max(each.rate for each in knee.attempts if each.held) == knee.rate
    assert min(each.rate for each in knee.attempts if not each.held) * 0.95 <= knee.rate


async def test_no_knee_is_found_where_no_rate_holds():
    async def holds(rate: float) -> bool:
        return False

    knee = await find_knee(holds, 50.0)
    assert knee.rate is None
    assert all(each.rate >= 0.5 for each in knee.attempts)


def test_a_report_can_be_read_again_and_is_for_people_too(tmp_path):
    run = run_of(step(Closed(callers=2), merge([tally(range(1, 101), failed=1), tally([5.0], call=SEGMENT)])))
    assert write_report(run, tmp_path / "made" / "here") == []
    assert read_run(tmp_path / "made" / "here") == run
    text = (tmp_path / "made/here/report.md").read_text()
    assert "| 2 callers | classify:a | 101 |" in text
    assert "| 2 callers | classify:a | UNAVAILABLE | UNREACHABLE | 1 | nobody is there |" in text
    assert all((tmp_path / "made/here" / plot).stat().st_size > 5000 for plot in ("latency.png", "time.png"))


def test_what_is_no_report_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="there is no"):
        read_run(tmp_path)
    (tmp_path / "report.json").write_text('{"format": 1}')
    with pytest.raises(ConfigurationError, match="of a load test: trunkline Field required"):
        read_run(tmp_path)


def test_a_later_run_is_worse_only_by_more_than_the_tolerance_and_than_chance():
    before = run_of(step(Open(rate=50), tally([10.0] * 500 + [20.0] * 500)))
    slower = run_of(step(Open(rate=50), tally([11.0] * 500 + [40.0] * 500)))
    failing = run_of(step(Open(rate=50), tally([10.0] * 500 + [20.0] * 500, failed=3)))
    assert not any(change.worse for change in compare(before, before, 10))
    assert {change.figure for change in compare(before, slower, 15) if change.worse} == {"p90 ms", "p99 ms"}
    assert not any(change.worse for change in compare(before, slower, 150))
    assert [change.figure for change in compare(before, failing, 10) if change.worse] == ["errors %"]
    few = run_of(step(Open(rate=50), tally([10.0, 11.0, 9.0, 40.0])))
    many = run_of(step(Open(rate=50), tally([10.0, 12.0, 9.0, 30.0])))
    assert not any(change.worse for change in compare(many, few, 10))


def test_only_loads_that_both_runs_have_are_compared():
    both = step(Closed(callers=4), tally([10.0] * 100))
    before = run_of(step(Open(rate=5), tally([1.0])), both)
    after = run_of(both, mix=("segment:b",))
    assert {change.step for change in compare(before, after, 10)} == {"4 callers"}
    assert differences(before, after) == {"mix": ("classify:a", "segment:b")}
    with pytest.raises(ConfigurationError, match="no load in common"):
        compare(run_of(step(Open(rate=5), tally([1.0]))), run_of(both), 10)


def test_a_slower_closed_loop_is_worse_by_its_throughput():
    before = run_of(step(Closed(callers=4), tally([10.0] * 100)))
    after = run_of(step(Closed(callers=4), tally([10.0] * 80)))
    assert [change.figure for change in compare(before, after, 10) if change.worse] == ["OK/s"]
