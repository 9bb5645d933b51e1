"""A real server to be fuzzed, and what shows that it suffers: its log, its memory, its health, its end."""

import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.conftest import ROOT, free_port, start_server
from tests.fuzz.busy import scale
from tests.fuzz.loop import Fault

GRACE_S = 5.0  # past its deadline, on a machine of one's own
_RAISED = re.compile(r"[\w.]*(Error|Exception|Exit|Interrupt)\b(?!\()")
_TRACEBACK = "Traceback (most recent call last)"
_GROWTH, _GROWTH_MIB = 1.3, 150.0  # what memory may grow from the middle of a run to its end
_EVERY = 500  # inputs between two samples of memory
_HEADS = "imagenet,flowers102,camvid,pennfudan,pets,digit-angle"


class Watched:
    """A server, started at once. `http` is where it answers HTTP, where it does."""

    def __init__(self, *arguments: str, http: bool = False, **environment: str) -> None:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-fuzz-")))
        self.http = f"127.0.0.1:{free_port()}" if http else ""
        models = shutil.copytree(ROOT / "models", self._folder / "models")  # calls of the catalog change it
        folders = {
            "TRUNKLINE_MODELS": str(models),
            "TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{self._folder}/galleries.db",
            "TRUNKLINE_GALLERY_INDEX": str(self._folder / "index"),
            "TRUNKLINE_TRAINING_DATABASE": f"sqlite:///{self._folder}/jobs.db",
            "TRUNKLINE_TRAINING_WORK": str(self._folder / "work"),
            "TRUNKLINE_TRAINING_CACHE": str(self._folder / "features"),
            "TRUNKLINE_HEADS": _HEADS,
        }
        log = self._folder / "log"
        given = (*arguments, *(("--http", self.http) if http else ()))
        self.server = self._stack.enter_context(start_server(log, *given, **{**folders, **environment}))
        self._log, self._read = log, log.stat().st_size
        self._process = psutil.Process(self.server.process.pid)
        self._memory: list[float] = []
        self._inputs = 0
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self._health = self._stack.enter_context(grpc.insecure_channel(self.server.address, options=options))

    def close(self) -> None:
        self._stack.close()

    def looked(self) -> Fault | None:
        """After each input: whether the server is there and its log is clean."""
        self._inputs += 1
        if self.server.process.poll() is not None:
            return Fault("server ended", f"the server ended with {self.server.process.returncode}")
        if self._inputs % _EVERY == 0:
            self._memory.append(self._process.memory_info().rss / 2**20)
        return self._new_traceback()

    def answers(self) -> Fault | None:
        """Whether a health check is answered at once."""
        began_at, limit = time.monotonic(), GRACE_S * scale()
        try:
            health_pb2_grpc.HealthStub(self._health).Check(
                health_pb2.HealthCheckRequest(service="live"), timeout=limit
            )
        except grpc.RpcError as error:
            took = time.monotonic() - began_at
            return Fault("health", f"a health check ended with {error.code().name} after {took:.1f} s")
        return None

    def finish(self) -> Fault | None:
        """The last look: it answers, and its memory does not grow without end."""
        fault = self.looked() or self.answers()
        samples = self._memory
        if fault is None and len(samples) >= 6:
            middle, last = samples[len(samples) // 2], samples[-1]
            if last > _GROWTH * middle + _GROWTH_MIB:
                return Fault("grows", f"resident memory grew from {middle:.0f} to {last:.0f} MiB in half of the run")
        return fault

    def _new_traceback(self) -> Fault | None:
        if self._log.stat().st_size == self._read:
            return None
        with self._log.open("rb") as file:
            file.seek(self._read)
            new = file.read().decode(errors="replace")
        self._read += len(new.encode())
        begin = new.find(_TRACEBACK)
        if begin < 0:
            return None
        lines = [line.strip() for line in new[begin:].splitlines() if line.strip()]
        ours = [line for line in lines if "/trunkline/" in line and "line " in line]
        last = next((line for line in lines if _RAISED.match(line)), "")
        place = ours[-1].rsplit("/", 1)[-1] if ours else "no file of ours"
        return Fault(f"traceback {last.split(':')[0]} {place}", f"the log has a traceback: {last[:200]}, at {place}")
