"""`trunkline loadtest` against real servers: Trunkline, and one that answers in a known way."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.known_server import known_server
from benchmarks.loadtest import exact_ms, measure
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.plan import Open, Setup, Step
from trunkline.loadtest.report import read_run
from trunkline.loadtest.run import Run

SAMPLES = Path(__file__).parents[1] / "samples"


def loadtest(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "trunkline.cli.main", "loadtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def load(address: str, folder: Path, *arguments: str) -> tuple[int, Run, str]:
    """Status, report and standard error of a load test without warm-up."""
    done = loadtest("--target", address, "--warm-up", "0", "--out", str(folder), *arguments)
    return done.returncode, read_run(folder), done.stderr


@pytest.mark.slow
def test_a_closed_loop_with_a_mix_asks_a_real_service_about_pictures_that_it_never_saw(target, tmp_path):
    done = loadtest(
        "--target", target, "--concurrency", "2,4", "--processes", "2", "--duration", "3", "--warm-up", "0.5",
        "--mix", "classify:imagenet=3", "--mix", "analyze:imagenet+flowers102", "--mix", "segment:camvid",
        "--images", str(SAMPLES), "--unique", "--out", str(tmp_path), "--json",
        "--objective", "errors<0.1%", "--objective", "p99<60s",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = Run.model_validate(json.loads(done.stdout))
    assert run == read_run(tmp_path)
    assert set(run.served) == {"imagenet", "flowers102", "camvid"}
    assert [result.name for result in run.steps] == ["2 callers", "4 callers"]
    for result in run.steps:
        figures = figures_of(result.tally)
        assert figures.codes == {"OK": figures.ok}
        assert figures.ok > 0
        assert result.tally.cpu_s > 0
        assert result.tally.seconds >= 3
        assert sum(second.ok for second in result.tally.series.values()) == figures.ok
        assert set(result.tally.calls) <= {"classify:imagenet", "analyze:imagenet+flowers102", "segment:camvid"}
    assert all(verdict.met for verdict in run.objectives)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.md", "latency.png", "time.png"}


def test_every_arrival_of_an_open_loop_reaches_the_server_once(tmp_path):
    seen = tmp_path / "seen"
    with known_server("--arrivals", str(seen)) as server:
        more = ("--rate", "40", "--arrivals", "constant", "--duration", "2", "--processes", "2")
        status, run, _ = load(server.address, tmp_path / "report", *more)
    assert status == 0
    (result,) = run.steps
    assert (result.tally.arrivals, result.tally.dropped) == (80, 0)
    assert figures_of(result.tally).codes == {"OK": 80}
    assert len(seen.read_text().split()) == 80 + 1  # the one before all that asks whether there is a service


def test_failed_calls_are_counted_by_code_and_decide_the_exit_status(tmp_path):
    with known_server("--fail-every", "5", "--code", "INTERNAL") as server:
        more = ("--rate", "50", "--duration", "2", "--objective", "errors<1%")
        status, run, said = load(server.address, tmp_path, *more)
        lenient, _, _ = load(server.address, tmp_path, *more[:-1], "errors<50%")
    figures = figures_of(run.steps[0].tally)
    assert figures.failed == figures.codes["INTERNAL"] == pytest.approx(figures.arrivals / 5, abs=1)
    assert (status, lenient) == (1, 0)
    assert "objective errors<1% is not met: " in said
    assert [(error.code, error.count) for error in run.steps[0].tally.errors] == [("INTERNAL", figures.failed)]


def test_retries_are_those_of_the_client_and_are_counted(tmp_path):
    seen = tmp_path / "seen"
    with known_server("--fail-every", "4", "--code", "UNAVAILABLE", "--arrivals", str(seen)) as server:
        status, run, _ = load(server.address, tmp_path / "report", "--concurrency", "1", "--duration", "2")
    figures = figures_of(run.steps[0].tally)
    assert status == 0
    assert figures.failed == 0  # every fourth call: the next try is answered
    assert figures.calls.retries == figures.calls.retried == pytest.approx(figures.arrivals / 3, abs=1)
    assert len(seen.read_text().split()) == figures.arrivals + figures.calls.retries + 1


@pytest.mark.quiet
def test_arrivals_that_find_no_place_in_time_are_dropped_and_count_as_errors(tmp_path):
    with known_server("--places", "4", "--takes-ms", "1500") as server:
        more = ("--rate", "20", "--duration", "2", "--max-in-flight", "4", "--wait", "0.2")
        status, run, said = load(server.address, tmp_path, *more, "--objective", "errors<1%")
    figures = figures_of(run.steps[0].tally)
    assert status == 1
    assert figures.ok <= 8
    assert figures.dropped == figures.arrivals - figures.ok > 20
    assert f"{figures.dropped} arrivals found no place in time" in said


@pytest.mark.quiet
def test_latency_is_never_less_than_that_of_the_queue_which_the_server_is():
    """From the time at which a call was meant to leave: what the generator or the machine adds can only be more."""
    places, takes_ms = 2, 40.0
    with known_server("--places", str(places), "--takes-ms", str(takes_ms)) as server:
        setup = Setup(target=server.address, mix=("classify",))
        step = Step(load=Open(rate=45.0), seconds=4.0)
        figures = figures_of(measure(setup, step))
    exact = sorted(exact_ms(setup, step, places, takes_ms))
    assert figures.ok == len(exact)
    for share in (10, 50, 90, 99):
        assert figures.percentile_ms(share) > exact[int(share / 100 * len(exact))] - 2.0
    assert figures.mean_ms > sum(exact) / len(exact) - 1.0


@pytest.mark.quiet
def test_the_knee_is_below_what_the_server_can_do(tmp_path):
    with known_server("--takes-ms", "25") as server:  # 40 calls a second
        more = ("--find-knee", "p90<250ms", "--duration", "2", "--objective", "knee>1000")
        status, run, said = load(server.address, tmp_path, *more)
    assert status == 1
    assert "objective knee>1000 is not met" in said
    assert run.knee is not None
    assert len(run.knee.attempts) == len(run.steps) > 2
    assert run.knee.rate is None or run.knee.rate < 55
    assert (tmp_path / "knee.png").stat().st_size > 5000


@pytest.mark.quiet
def test_two_runs_are_compared_and_a_worse_one_is_status_1(tmp_path):
    for name, takes_ms in (("quick", "5"), ("slow", "400")):
        with known_server("--places", "4", "--takes-ms", takes_ms) as server:
            load(server.address, tmp_path / name, "--concurrency", "4", "--duration", "3")
    worse = loadtest("compare", str(tmp_path / "quick"), str(tmp_path / "slow"), "--out", str(tmp_path / "compared"))
    assert worse.returncode == 1
    assert "4 callers: p50 ms changed from" in worse.stderr
    assert "| 4 callers | OK/s |" in (tmp_path / "compared/compare.md").read_text()
    better = loadtest("compare", str(tmp_path / "slow/report.json"), str(tmp_path / "quick"), "--json")
    assert better.returncode == 0
    assert not any(change["worse"] for change in json.loads(better.stdout)["changes"])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((), 2, "Usage"),
        (("--rate", "5", "--concurrency", "2"), 2, "in one way"),
        (("--rate", "9..1/0"), 2, "FROM..TO/STEP"),
        (("--concurrency", "1.5"), 2, "whole numbers"),
        (("--rate", "5", "--mix", "guess"), 2, "names no method of"),
        (("--rate", "5", "--objective", "p99<200"), 2, "FIGURE<VALUE"),
        (("--rate", "5", "--objective", "segment:b p99<1s"), 2, "matches no call of the mix"),
        (("--find-knee", "errors<1%"), 2, "not an upper bound on a latency"),
        (("--concurrency", "2", "--processes", "3"), 2, "take fewer processes"),
        (("--rate", "5", "--target", "127.0.0.1:1", "--timeout", "2"), 1, "no service answers at 127.0.0.1:1"),
        (("--rate", "5", "--images", "nowhere.jpg"), 1, "there is no picture"),
        (("compare", "a.json", "b.json"), 1, "there is no a.json"),
    ],
)
def test_wrong_use_is_told_before_anything_is_sent(arguments, status, says):
    done = loadtest(*arguments)
    assert done.returncode == status
    assert says in " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_calls_that_the_service_can_never_answer_are_told_before_any_load(target):
    done = loadtest("--target", target, "--rate", "5", "--mix", "segment:imagenet")
    assert done.returncode == 1
    assert done.stderr.startswith("trunkline: segment:imagenet: head 'imagenet' does classification")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_extra_the_command_names_it_and_without_locust_it_works():
    code = "import sys; sys.modules['hdrh'] = None; sys.argv[1:] = ['loadtest', '--rate', '1']\n"
    code += "from trunkline.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "pip install 'trunkline[load]'" in done.stderr
    code = "import sys; sys.modules.update(locust=None, matplotlib=None, onnxruntime=None, torch=None)\n"
    code += (
        "import trunkline.loadtest.run, trunkline.loadtest.report, trunkline.loadtest.worker, trunkline.cli.load_run"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
