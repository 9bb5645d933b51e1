"""One short point of the benchmarks against real servers, each in its own process."""

import pytest

from benchmarks.load.process import load_process
from benchmarks.repository import IMAGENET
from benchmarks.servers import ALL_IN_ONE, HANDWRITTEN, running
from benchmarks.serving.measure import Beside, Lengths, Subject, points
from benchmarks.serving.plots import plot_latency, plot_throughput
from benchmarks.serving.report import body
from benchmarks.serving.works import JPEG
from benchmarks.setting import models as benchmark_models
from trunkline.loadtest.histograms import merged, percentile_ms

SHORT = Lengths(closed_s=1.0, open_s=1.0, bare_s=0.2, callers=(4,))


@pytest.mark.quiet
@pytest.mark.parametrize("name", [ALL_IN_ONE, HANDWRITTEN])
def test_a_point_of_a_real_server_has_every_figure_of_the_table(name, tmp_path):
    with (
        benchmark_models() as made,
        running(name, made, [IMAGENET]) as server,
        load_process([server.target()], pictures=8) as load,
    ):
        assert load.order("labels")["labels"][0]
        burst = load.order("burst", bad="cut off", good=6)
        beside = Beside(JPEG.bare(made), JPEG, SHORT.bare_s)
        found = list(points(Subject(server, load, 0, repeat=0), JPEG, beside, SHORT))
    assert burst == {"good": {"OK": 6}, "lost": 0, "bad": "INVALID_ARGUMENT"}
    assert [point.load for point in found] == ["closed 4", "open 50 %", "open 80 %"]
    closed = found[0]
    assert all(set(point.codes) == {"OK"} and point.dropped == 0 for point in found)
    assert 0 < percentile_ms(merged([closed.histogram]), 50) <= percentile_ms(merged([closed.histogram]), 99)
    assert closed.per_second > 0
    assert len(closed.bare_per_second) == 2
    assert closed.server_cpu_ms > closed.client_cpu_ms > 0
    assert closed.memory_mib > 50
    report = "\n".join(body(found))
    assert f"| {name} | closed 4 |" in report
    assert "lateness p99" in report
    assert f"| one task, JPEG, 4 callers: {name} of bare" in report
    plot_throughput(found, tmp_path / "throughput.png")
    plot_latency(found, tmp_path / "latency.png")
    assert all((tmp_path / plot).stat().st_size > 5000 for plot in ("throughput.png", "latency.png"))
