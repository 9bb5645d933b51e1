"""Mixed load, bad pictures and model swaps for a long time: does memory stay flat, does anything fail unasked?"""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load.process import load_process
from benchmarks.output import Output, tell
from benchmarks.pictures import bad_pictures
from benchmarks.plotting import panels, save
from benchmarks.repository import FOUR_HEADS, IMAGENET, add_linear_head, benchmark_repository
from benchmarks.servers import ALL_IN_ONE, SPLIT, Models, Running, running
from benchmarks.statistics import growth_percent, table
from benchmarks.usage import memory_by_process
from trunkline.client import CatalogClient
from trunkline.core.catalog import pin_default

SWAPPED = "swapped"
_SWAP_EVERY_S = 5.0
_SAMPLE_EVERY_S = 2.0
_CALLERS = 4


class Swapper(threading.Thread):
    """Promotes version 2 and rolls back, in turn, until it is stopped."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address, self._ended = address, threading.Event()
        self.swaps, self.errors = 0, Counter[str]()

    def run(self) -> None:
        with CatalogClient(self._address) as catalog:
            while not self._ended.wait(_SWAP_EVERY_S):
                try:
                    if self.swaps % 2 == 0:
                        catalog.promote(SWAPPED, 2, force=True)
                    else:
                        catalog.rollback(SWAPPED)
                except Exception as error:  # each is a finding of the soak
                    self.errors[f"{type(error).__name__}: {error}"] += 1
                self.swaps += 1

    def stop(self) -> None:
        self._ended.set()
        self.join()


def run(output: Output, *, minutes: float = 30.0, split: bool = False) -> None:
    """Writes soak.md, .json and .png, named soak-split for the split form."""
    form = SPLIT if split else ALL_IN_ONE
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        repository = benchmark_repository(Path(folder) / "models")
        add_linear_head(repository, SWAPPED, 20, seed=1)
        pin_default(repository, SWAPPED)
        add_linear_head(repository, SWAPPED, 20, seed=2, version=2)
        with running(form, Models(repository, Path(folder)), [*FOUR_HEADS, SWAPPED]) as started:
            codes, memory, swapper = _soak(started, 60 * minutes)
    name = "soak-split" if split else "soak"
    output.write(name, f"Soak, {form}", _notes(minutes), _body(codes, memory, swapper), {
        "codes": codes, "memory_mib": memory, "swaps": swapper.swaps, "swap_errors": swapper.errors,
    })  # fmt: skip
    _plot(memory, output, name)


def _soak(started: Running, seconds: float) -> tuple[dict[str, Counter[str]], list[dict[str, float]], Swapper]:
    """Codes by question, memory of each process over time, and the swapper."""
    targets = [started.target([IMAGENET]), started.target(FOUR_HEADS), started.target([SWAPPED])]
    memory: list[dict[str, float]] = []
    done = threading.Event()

    def sample() -> None:
        began_at = time.monotonic()
        while not done.wait(_SAMPLE_EVERY_S):
            memory.append({"second": time.monotonic() - began_at, **memory_by_process(started.process)})
            if len(memory) % 30 == 0:
                tell(f"{memory[-1]['second']:.0f} s: {_total(memory[-1]):.0f} MiB")

    with load_process(targets, pictures=100) as load:
        load.order("labels", target=1)
        swapper, sampler = Swapper(started.address), threading.Thread(target=sample, daemon=True)
        swapper.start()
        sampler.start()
        found = load.order("mixed", callers=_CALLERS, seconds=seconds)
        done.set()
        sampler.join()
        swapper.stop()
    return {name: Counter(codes) for name, codes in found["codes"].items()}, memory, swapper


def unasked(codes: Mapping[str, Mapping[str, int]]) -> int:
    """Calls that got another code than they should: OK for good pictures, INVALID_ARGUMENT for bad ones."""
    return sum(
        count
        for name, found in codes.items()
        for code, count in found.items()
        if code != ("INVALID_ARGUMENT" if name in bad_pictures() else "OK")
    )


def _notes(minutes: float) -> list[str]:
    return [
        f"{minutes:g} minutes, {_CALLERS} callers in turn over the questions below, a swap each {_SWAP_EVERY_S:g} s",
        "swap: promote and rollback, in turn, through the CatalogService",
        "growth: from the first tenth after the warm-up (a tenth of the time) to the last tenth, medians",
    ]


def _body(
    codes: Mapping[str, Mapping[str, int]], memory: Sequence[Mapping[str, float]], swapper: Swapper
) -> list[str]:
    rows = [[name, ", ".join(f"{code} {count}" for code, count in found.items())] for name, found in codes.items()]
    processes = [key for key in memory[-1] if key != "second"]
    series = {key: [sample[key] for sample in memory if key in sample] for key in processes}
    series["all"] = [_total(sample) for sample in memory]
    growth = [
        [
            key.rsplit(" ", 1)[0],
            f"{values[len(values) // 10]:.1f}",
            f"{values[-1]:.1f}",
            f"{growth_percent(values):.2f} %",
        ]
        for key, values in series.items()
    ]
    errors = "; ".join(f"{text} ({count})" for text, count in swapper.errors.items()) or "none"
    return [
        *table(("question", "codes"), rows),
        "",
        f"Errors that were not asked for: {unasked(codes)}. Swaps: {swapper.swaps}, errors of swaps: {errors}.",
        "",
        *table(("process", "MiB after the warm-up", "MiB at the end", "growth"), growth),
    ]


def _total(sample: Mapping[str, float]) -> float:
    return sum(value for key, value in sample.items() if key != "second")


def _plot(memory: Sequence[Mapping[str, float]], output: Output, name: str) -> None:
    figure, (axis,) = panels(1, 7.0)
    for key in (key for key in memory[-1] if key != "second"):
        samples = [sample for sample in memory if key in sample]
        axis.plot([sample["second"] / 60 for sample in samples], [sample[key] for sample in samples],
                  label=key.rsplit(" ", 1)[0])  # fmt: skip
    axis.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=(0, None))
    axis.legend()
    save(figure, output.plot(name))
