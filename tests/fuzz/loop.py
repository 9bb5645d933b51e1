"""The loop of every fuzzer: first what is kept in the corpus, then new inputs until the time is over."""

import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

CORPUS = Path(__file__).parent / "corpus"
_LARGEST_KEPT = 64 * 1024  # bytes; larger ones are made again from seed and number
_MOST_FAULTS = 25  # of one run; then it has told enough


@dataclass(frozen=True)
class Fault:
    """`kind` is the same for inputs that fail in the same way; `text` is for people."""

    kind: str
    text: str


class Target(Protocol):
    """Something that reads what comes from outside."""

    def make(self, dice: Random) -> bytes:
        """An input; nothing but the dice decides."""
        ...

    def check(self, data: bytes) -> Fault | None:
        """Give it an input; what was wrong, or None."""
        ...

    def finish(self) -> Fault | None:
        """What is wrong after all inputs: it hangs, it has grown, it is gone."""
        ...


@dataclass
class Report:
    """What became of a run. `faults` has one text for each kind."""

    replayed: int = 0
    inputs: int = 0
    faults: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.replayed} kept inputs, {self.inputs} new ones, {len(self.faults)} kind(s) of fault"


def run(name: str, target: Target, seconds: float, seed: int) -> Report:
    """Replay the corpus, then fuzz for so long. What fails is printed and written to the corpus at once."""
    report = Report()
    for path in sorted((CORPUS / name).glob("*.bin")):
        report.replayed += 1
        _note(report, target.check(path.read_bytes()), f"kept input {path.relative_to(CORPUS)}")
    ends_at = time.monotonic() + seconds
    for number, data in _inputs(target, name, seed):
        if time.monotonic() >= ends_at or len(report.faults) >= _MOST_FAULTS:
            break
        report.inputs += 1
        fault = target.check(data)
        if fault is not None and fault.kind not in report.faults:
            _note(report, fault, f"seed {seed}, input {number}, {_kept(name, data)}")
    _note(report, target.finish(), f"seed {seed}, after {report.inputs} inputs")
    return report


def make_again(name: str, target: Target, seed: int, number: int) -> bytes:
    """The input of this number."""
    return target.make(_dice(name, seed, number))


def _inputs(target: Target, name: str, seed: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    while True:
        yield number, target.make(_dice(name, seed, number))
        number += 1


def _dice(name: str, seed: int, number: int) -> Random:
    return Random(f"{name} {seed} {number}")


def _note(report: Report, fault: Fault | None, where: str) -> None:
    if fault is not None and fault.kind not in report.faults:
        report.faults[fault.kind] = f"{fault.text} [{where}]"
        sys.stderr.write(f"FAULT {fault.kind}: {report.faults[fault.kind]}\n")


def _kept(name: str, data: bytes) -> str:
    if len(data) > _LARGEST_KEPT:
        return f"{len(data)} bytes, not kept"
    path = CORPUS / name / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
    with suppress(OSError):  # a checkout that cannot be written still says seed and number
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return f"kept as {path.name}"
