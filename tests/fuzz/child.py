"""A process that reads inputs with bounds on its time and memory, so that what hangs or grows is seen and ends.

python -m tests.fuzz.child MODULE:FUNCTION reads inputs from standard input, each after its length (4 bytes), and
answers a line of JSON to each. FUNCTION takes the bytes; what it raises is a fault.
"""

import importlib
import json
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.fuzz.busy import scale
from tests.fuzz.loop import Fault

ROOT = Path(__file__).parents[2]
MOST_S, MOST_MIB = 10.0, 500.0
_SPACE_BYTES = 6 << 30  # of addresses: a guard for the machine, far above what is a fault
_LOOK_S = 0.2
_LENGTH = struct.Struct("<I")


class Child:
    """The process, started when it is first needed and again after each end."""

    def __init__(self, function: str, most_s: float = MOST_S) -> None:
        """most_s: of the CPU that an input may take, and without any of it, on a machine of one's own."""
        self._function, self._most_s = function, most_s
        self._process: subprocess.Popen[bytes] | None = None

    def check(self, data: bytes) -> Fault | None:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(_LENGTH.pack(len(data)) + data)
            process.stdin.flush()
        except OSError:
            return self._ended("while it was idle")
        fault = self._waited(process)
        if fault is not None:
            self.close()
            return fault
        line = process.stdout.readline()
        if not line:
            return self._ended("")
        said = json.loads(line)
        if said["fault"]:
            return Fault(said["kind"], said["fault"])
        if said["mib"] > MOST_MIB:
            return Fault("memory", f"took {said['mib']:.0f} MiB")
        return None

    def _waited(self, process: subprocess.Popen[bytes]) -> Fault | None:
        """Until there is an answer. A machine that is busy is no fault, so what counts as slow is time of the CPU."""
        before, began_at = _cpu_s(process.pid), time.monotonic()
        while not select.select([process.stdout], [], [], _LOOK_S)[0]:
            used, waited = _cpu_s(process.pid) - before, time.monotonic() - began_at
            if used > self._most_s:
                return Fault("slow", f"took more than {self._most_s:g} s of CPU")
            if waited > self._most_s * scale() and used < waited / 20:
                return Fault("hangs", f"no answer within {waited:.0f} s, and it used {used:.1f} s of CPU")
        return None

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._drop()

    def _drop(self) -> None:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(BrokenPipeError):  # what it was not able to read
                if pipe is not None:
                    pipe.close()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", "tests.fuzz.child", self._function]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
            )
            assert self._process.stdout is not None
            self._process.stdout.readline()  # what it imports takes long and belongs to no input
        return self._process

    def _ended(self, when: str) -> Fault:
        assert self._process is not None
        code = self._process.wait()
        self._drop()
        name = signal.Signals(-code).name if code < 0 else f"status {code}"
        return Fault(f"ended with {name}", f"the process ended with {name} {when}".strip())


def serve(function: Callable[[bytes], object]) -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_SPACE_BYTES, _SPACE_BYTES))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    answers.write(b"ready\n")
    answers.flush()
    while len(head := sys.stdin.buffer.read(_LENGTH.size)) == _LENGTH.size:
        data = sys.stdin.buffer.read(_LENGTH.unpack(head)[0])
        answers.write(json.dumps(_tried(function, data)).encode() + b"\n")
        answers.flush()


def _tried(function: Callable[[bytes], object], data: bytes) -> dict[str, object]:
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _memory_mib("VmRSS")
    fault, kind = "", ""
    try:
        function(data)
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} at {Path(frame.filename).name}:{frame.name}"
        fault = f"{type(error).__name__}: {str(error)[:200]}, from {_ours(error)}"
    return {"fault": fault, "kind": kind, "mib": _memory_mib("VmHWM") - before}


def _ours(error: Exception) -> str:
    """The last line of the project's own code."""
    lines = [each for each in traceback.extract_tb(error.__traceback__) if "/trunkline/" in each.filename]
    return f"{'/'.join(Path(lines[-1].filename).parts[-3:])}:{lines[-1].lineno}" if lines else "no line of ours"


def _cpu_s(pid: int) -> float:
    """Used by a process so far; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mib(name: str) -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    module, _, attribute = sys.argv[1].partition(":")
    serve(getattr(importlib.import_module(module), attribute))
