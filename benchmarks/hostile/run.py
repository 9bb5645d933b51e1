"""Each hostile case against a fresh service, with good calls and health checks beside it; or all of them mixed."""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hostile.case import ALL_IN_ONE, HEAD, SPLIT, Case, Form, Where
from benchmarks.hostile.cases import CASES
from benchmarks.hostile.cgroups import Containers
from benchmarks.hostile.service import GUARD_MIB, ROOT, Service
from benchmarks.output import Output, tell
from benchmarks.statistics import table
from trunkline.client import Client, HeadAsk

FORMS: tuple[Form, ...] = (ALL_IN_ONE, SPLIT, HEAD)
_RATE = 12.0  # good calls a second
_BEFORE_S = 1.5  # good calls alone before a case begins
_LONGEST_S = 180.0  # of a case; then it counts as one that did not end
_WARM = ("imagenet", "camvid", "pennfudan", "pets", "digit-angle")
_COLUMNS = (
    "case", "form", "peak above idle, MiB", "largest process, MiB", "p99 health, s", "p99 good, s", "good calls",
    "lost", "health checks lost", "what it got", "s",
)  # fmt: skip


@dataclass
class Found:
    """What a case did. Times in seconds, memory in MiB; `end` says what became of the service, where that is bad."""

    case: str
    form: Form
    total_mib: float = 0.0
    largest_mib: float = 0.0
    health_p99_s: float = float("nan")
    good_p99_s: float = float("nan")
    good: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    health_lost: int = 0
    got: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    end: str = ""
    limits: str = ""


def run(
    output: Output,
    *,
    services: Path,
    seconds: float,
    only: Sequence[str],
    forms: Sequence[Form],
    name: str = "",
    contained: bool = False,
) -> None:
    """Writes hostile.md and .json, or NAME.md. contained: within the memory limits of the chart."""
    found = []
    for form in forms:
        for case in _chosen(only, form):
            found.append(measured(case, form, services, seconds, Containers() if contained else None))
            tell(" · ".join(_row(found[-1])))
    body = [*table(_COLUMNS, [_row(each) for each in found]), "", *_sums(found)]
    data = [asdict(each) for each in found]
    output.write(name or "hostile", "Hostile callers, files and parts", _notes(seconds), body, data)


def run_mixed(output: Output, *, services: Path, minutes: float, form: Form, name: str = "") -> None:
    """All cases in an order drawn by lot, two or three at a time; writes hostile-mixed.md and .json."""
    with tempfile.TemporaryDirectory(prefix="trunkline-hostile-") as made:
        folder = Path(made)
        cases = [case for case in CASES if form in case.forms and case.name not in _NOT_MIXED]
        settings = {key: value for case in cases if case.prepare for key, value in case.prepare(folder).items()}
        service = Service(form, services, folder, settings, 8.0)
        with service as where:
            _warm(where, form)
            with _beside(form, where) as said:
                got = _mixed(cases, where, 0.1 * minutes)  # so that what is made once is there
                time.sleep(5)
                start_mib = service.memory_mib()
                got += _mixed(cases, where, 0.9 * minutes)
                time.sleep(5)
                end_mib = service.memory_mib() if not service.end else float("nan")
            service.note_end()
    good, health = said["good"], said["health"]
    growth = 100 * (end_mib / start_mib - 1)
    body = [
        f"Good calls: {len(good['seconds'])}, lost: {_text(good['lost'])}; p99 {_p99(good):.2f} s, of health checks "
        f"{_p99(health):.2f} s (lost: {_text(health['lost'])}).",
        "",
        f"Resident memory: {start_mib:.0f} MiB after the warm-up, {end_mib:.0f} MiB at the end ({growth:+.1f} %).",
        *([f"The service {service.end}."] if service.end else []),
        "",
        *table(("the hostile calls got", "times"), [[key, str(count)] for key, count in sorted(got.items())]),
    ]
    data = {"start_mib": start_mib, "end_mib": end_mib, "good": len(good["seconds"]), "lost": good["lost"],
            "good_p99_s": _p99(good), "health_p99_s": _p99(health), "got": got, "end": service.end}  # fmt: skip
    notes = [f"{minutes:g} minutes, {form}, two or three cases at a time; {_RATE:g} good calls, 20 checks a second",
             "warm-up: a tenth of the time"]  # fmt: skip
    output.write(name or "hostile-mixed", "Hostile cases mixed with good calls", notes, body, data)


# These change the service for good, so they are for a fresh one.
_NOT_MIXED = frozenset({"a FIFO in the place of a catalog.json", "both databases damaged"})


def _chosen(only: Sequence[str], form: Form) -> list[Case]:
    return [case for case in CASES if form in case.forms and (not only or any(part in case.name for part in only))]


def measured(case: Case, form: Form, services: Path, seconds: float, containers: Containers | None) -> Found:
    found = Found(case.name, form)
    with tempfile.TemporaryDirectory(prefix="trunkline-hostile-") as name:
        settings = case.prepare(Path(name)) if case.prepare else {}
        service = Service(form, services, Path(name), settings, seconds, containers)
        try:
            with service as where:
                _warm(where, form)
                service.mark_idle()
                _attacked(case, form, where, seconds, found)
                service.note_end()
        except RuntimeError as error:
            found.end = str(error)
            return found
        found.total_mib = service.peak.total - service.idle.total
        found.largest_mib = service.peak.largest - service.idle.largest
        found.end = found.end or service.end
        found.limits = service.limits
        if service.stopped_s > 5:
            found.end = f"{found.end}, stopped after {service.stopped_s:.0f} s".strip(", ")
    return found


def _attacked(case: Case, form: Form, where: Where, seconds: float, found: Found) -> None:
    began_at = time.monotonic()
    with _beside(form, where) as said:
        time.sleep(_BEFORE_S)
        attack = _Attack(case, where)
        found.got, ended = attack.wait(_LONGEST_S)
        time.sleep(max(1.0, began_at + seconds - time.monotonic()))
    found.end = "" if ended else f"the case did not end within {_LONGEST_S:g} s"
    found.good, found.lost = len(said["good"]["seconds"]), said["good"]["lost"]
    found.health_lost = sum(said["health"]["lost"].values())
    found.health_p99_s, found.good_p99_s = _p99(said["health"]), _p99(said["good"])
    found.seconds = time.monotonic() - began_at


class _Attack:
    """A case that runs in a process of its own."""

    def __init__(self, case: Case, where: Where) -> None:
        command = [sys.executable, "-m", "benchmarks.hostile.attack", case.name]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({**asdict(where), "folder": str(where.folder),
                                              "models": str(where.models)}).encode())  # fmt: skip
        self._process.stdin.close()
        self._process.stdin = None

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> tuple[dict[str, int], bool]:
        """What it got, and whether it ended by itself."""
        try:
            answer, _ = self._process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return {}, False
        if self._process.returncode:
            return {f"the caller ended with {self._process.returncode}": 1}, True
        return dict(json.loads(answer)), True


def _mixed(cases: Sequence[Case], where: Where, minutes: float) -> Counter[str]:
    dice, got, ends_at = random.Random(1), Counter[str](), time.monotonic() + 60 * minutes
    running: list[_Attack] = []
    waiting: list[Case] = []
    while time.monotonic() < ends_at or running:
        for attack in [each for each in running if not each.runs]:
            running.remove(attack)
            got.update(attack.wait(_LONGEST_S)[0])
        if time.monotonic() < ends_at and len(running) < dice.choice((2, 3)):
            if not waiting:
                waiting = dice.sample(cases, len(cases))
            running.append(_Attack(waiting.pop(), where))
        time.sleep(0.2)
    return got


@contextmanager
def _beside(form: Form, where: Where) -> Iterator[dict[str, Any]]:
    """Good calls and health checks until the end; then the dictionary has what became of them."""
    command = [sys.executable, "-m", "benchmarks.hostile.beside", form, where.address, str(where.models), str(_RATE)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, cwd=ROOT)
    said: dict[str, Any] = {}
    try:
        yield said
        answer, _ = process.communicate(timeout=60)
        said.update(json.loads(answer))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def _warm(where: Where, form: Form) -> None:
    """Each task once or twice, so that what is made at the first call is there."""
    if form == HEAD:
        time.sleep(1)
        return
    sample = ROOT / "tests/samples/coffee.jpg"
    with Client(where.address) as client:
        for _ in range(3):
            client.analyze(sample, [HeadAsk(name) for name in _WARM])
        for _ in range(10):
            client.classify(sample, head="imagenet")
    time.sleep(1)


def _row(found: Found) -> list[str]:
    got = (
        _text(found.got) + (f"; {found.limits}" if found.limits else "") + (f"; **{found.end}**" if found.end else "")
    )
    return [
        found.case, found.form, f"{found.total_mib:.0f}", f"{found.largest_mib:.0f}", f"{found.health_p99_s:.3f}",
        f"{found.good_p99_s:.3f}", str(found.good), _text(found.lost), str(found.health_lost), got,
        f"{found.seconds:.0f}",
    ]  # fmt: skip


def _sums(found: Sequence[Found]) -> list[str]:
    lines = []
    for form in FORMS:
        same = [each for each in found if each.form == form]
        if same:
            lost = sum(sum(each.lost.values()) for each in same)
            lines.append(f"{form}: {sum(each.good for each in same)} good calls, {lost} lost.")
    return lines


def _text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{key} {count}" for key, count in sorted(counts.items())) or "0"


def _p99(loop: Mapping[str, Any]) -> float:
    return float(np.percentile(loop["seconds"], 99)) if loop["seconds"] else float("nan")


def _notes(seconds: float) -> list[str]:
    return [
        f"each case against a fresh service, at least {seconds:g} s; the callers are processes of their own"
        " on the same cores, the hostile ones at low priority",
        f"good calls: {_RATE:g} Classify a second of JPEGs of 500x375, times from when each was meant to leave; what"
        " is refused for now is tried again until 10 s are over, and lost is what has no answer then",
        "health checks: 20 a second; memory: resident, of all processes together (shared pages count for each) and of"
        " the largest one, above what they hold after a warm-up with every task",
        f"a service that takes more than {GUARD_MIB // 1024} GiB is killed",
    ]
