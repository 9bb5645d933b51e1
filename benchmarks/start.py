"""From exec to SERVING, and the memory then, with the head imagenet alone."""

from benchmarks.launch import wait_serving
from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.repository import IMAGENET
from benchmarks.servers import ALL_IN_ONE, SPLIT, Models, ServerName, running
from benchmarks.setting import models
from benchmarks.statistics import spread, table
from benchmarks.usage import memory_mib

_WARM_S = 3.0
FORMS: dict[str, tuple[ServerName, dict[str, str]]] = {
    "all in one, serving alone": (ALL_IN_ONE, {}),
    "all in one, with the training service": (ALL_IN_ONE, {"TRUNKLINE_TRAINING_JOBS": "1"}),
    "split, serving alone": (SPLIT, {}),
}


def run(output: Output, *, repeats: int = 7) -> None:
    """Writes start.md and .json."""
    found: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
    with models() as made:
        for repeat in range(repeats):
            for form in FORMS:
                found[form].append(_once(form, made))
                tell(f"{repeat + 1}: {form}: {found[form][-1]}")
    columns = ("form", "ready after, s", "MiB when ready", f"MiB after {_WARM_S:g} s of 16 callers")
    rows = [
        [form, *(spread([each[key] for each in times], digits) for key, digits in _FIGURES)]
        for form, times in found.items()
    ]
    notes = [
        f"from exec until grpc.health.v1 says SERVING; {repeats} starts in turn, median (lowest to highest)",
        "the files are in the page cache; memory is resident, summed over processes",
    ]
    output.write("start", "Start", notes, table(columns, rows), found)


_FIGURES = (("ready_s", 2), ("ready_mib", 0), ("warm_mib", 0))


def _once(form: str, made: Models) -> dict[str, float]:
    name, environment = FORMS[form]
    environment = {**environment, "TRUNKLINE_TRAINING_DATABASE": f"sqlite:///{made.full.parent}/jobs.db"}
    with running(name, made, [IMAGENET], environment) as started:
        ready_s = wait_serving(started.address, started.process)
        ready_mib = memory_mib(started.process)
        with load_process([started.target()], pictures=20) as load:
            load.order("closed", callers=16, seconds=_WARM_S)
        return {"ready_s": ready_s, "ready_mib": ready_mib, "warm_mib": memory_mib(started.process)}
