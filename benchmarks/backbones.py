"""What a second backbone costs a process: memory, and the CPU of calls that only need the first."""

import tempfile
import time
from pathlib import Path

import onnx
import psutil

from benchmarks.launch import wait_serving
from benchmarks.output import Output, tell
from benchmarks.repository import BACKBONE, add_linear_head, linked
from benchmarks.servers import ALL_IN_ONE, Models, running
from benchmarks.statistics import spread, table
from benchmarks.usage import cpu_seconds, memory_mib
from trunkline.client import Client
from trunkline.core.bundle import model_digest
from trunkline.core.publishing import manifest_text
from trunkline.core.repository import Repository

PHOTO = Path(__file__).parents[1] / "tests/samples/coffee.jpg"
SECOND, ONE, OTHER = "second", "one", "other"
_WARM_CALLS, _SETTLE_S = 20, 3.0


def run(output: Output, *, calls: int = 300, repeats: int = 3) -> None:
    """Writes backbones.md and backbones.json."""
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        repository = linked(Path(folder) / "models")
        _add_second(repository)
        add_linear_head(repository, ONE, 100, 0)
        add_linear_head(repository, OTHER, 100, 1, backbone=SECOND)
        made = Models(repository, Path(folder))
        weights_mib = (repository / "backbones" / SECOND / "1/model.onnx").stat().st_size / 2**20
        found = [_measure(made, calls) for _ in range(repeats)]
    rows = []
    for narrow, name in ((True, "one thread a pass"), (False, "a second session with all cores")):
        one = [each[narrow]["mib"][0] for each in found]
        two = [each[narrow]["mib"][1] for each in found]
        shares = [each[narrow]["cpu_ms"][1] / each[narrow]["cpu_ms"][0] for each in found]
        more = [after - before for before, after in zip(one, two, strict=True)]
        rows.append([name, spread(one, 0), spread(two, 0), spread(more, 1), spread(shares, 3)])
    heads = ("sessions", "one backbone, MiB", "two, MiB", "more, MiB", "CPU of a call to the first, two / one")
    notes = [
        f"all in one; a head on one backbone, and one more on another, a copy of {BACKBONE} with "
        f"{weights_mib:.1f} MiB",
        f"memory: resident, {_SETTLE_S:g} s after {_WARM_CALLS} calls; CPU: of the process, {calls} calls to a head "
        f"on the first, servers in turn; {repeats} repeats",
    ]
    output.write("backbones", "What a second backbone costs", notes, table(heads, rows), found)


def _measure(made: Models, calls: int) -> dict[bool, dict[str, list[float]]]:
    """By whether passes use one thread alone: memory and CPU of a call, of the form with one and with two."""
    found = {}
    for narrow in (True, False):
        environment = {"TRUNKLINE_WIDE_THREADS": "1" if narrow else "0"}
        with (
            running(ALL_IN_ONE, made, (ONE,), environment) as first,
            running(ALL_IN_ONE, made, (ONE, OTHER), environment) as both,
        ):
            servers = [(first.address, first.process), (both.address, both.process)]
            for address, process in servers:
                wait_serving(address, process)
                _call(address, _WARM_CALLS, ONE)
            _call(both.address, _WARM_CALLS, OTHER)
            time.sleep(_SETTLE_S)
            mib = [memory_mib(process) for _, process in servers]
            cpu_ms = [_cpu_ms(address, process, calls) for address, process in servers]
        found[narrow] = {"mib": mib, "cpu_ms": cpu_ms}
        tell(f"{'one thread' if narrow else 'all cores'}: {found[narrow]}")
    return found


def _cpu_ms(address: str, process: psutil.Process, calls: int) -> float:
    before = cpu_seconds(process)
    _call(address, calls, ONE)
    return 1000 * (cpu_seconds(process) - before) / calls


def _call(address: str, times: int, head: str) -> None:
    with Client(address) as client:
        for _ in range(times):
            client.classify(PHOTO, head=head)


def _add_second(repository: Path) -> None:
    source = Repository(repository).backbone(BACKBONE)
    folder = repository / "backbones" / SECOND / "1"
    folder.mkdir(parents=True)
    model = onnx.load(source.model_path)
    model.producer_name = SECOND
    data = model.SerializeToString()
    (folder / "model.onnx").write_bytes(data)
    (folder / "golden.npz").write_bytes((source.path / "golden.npz").read_bytes())
    manifest = source.manifest.model_copy(update={"name": SECOND, "version": 1, "digest": model_digest(data)})
    (folder / "manifest.json").write_text(manifest_text(manifest))
