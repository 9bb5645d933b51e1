"""A `trunkline serve` of one's own: started as a process, waited for, and always stopped."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType, TracebackType
from typing import Self

from trunkline.assembly.ports import kept_ports
from trunkline.cli.output import complain
from trunkline.client import Client, Credentials, GalleryClient, ServiceError
from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import parse_host_port
from trunkline.serving.ends import fate_of
from trunkline.serving.parent import told

_LAST_LINES = 20
_LOOK_EACH_S = 2.0
_STOP_WITHIN_S = 30.0
_NONE: Mapping[str, str] = MappingProxyType({})
# It shall touch no jobs of others, and is for its caller alone.
_OTHERS = {
    "TRUNKLINE_TRAINING_JOBS": "0",
    "TRUNKLINE_TLS_CERT": "",
    "TRUNKLINE_TLS_KEY": "",
    "TRUNKLINE_TLS_CLIENT_CA": "",
    "TRUNKLINE_AUTH": "",
}
_PLAIN = Credentials()


class LocalService:
    """The all-in-one service on a free port of this machine, in its own process, which ends with this one.

    Ready when it is entered, after `started_s` seconds; `stop` ends it and returns its status. Raises
    ConfigurationError with the last lines of its log where it does not start. Where it ends badly later, they are
    shown on standard error when it is left. settings: further environment variables of the service.
    """

    def __init__(self, models: str, settings: Mapping[str, str] = _NONE, ready_within_s: float = 60.0) -> None:
        self._port = ExitStack()
        (self.target,) = self._port.enter_context(kept_ports("127.0.0.1:0", 0))
        self.started_s = 0.0
        self._models = models
        self._settings = settings
        self._ready_within_s = ready_within_s
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed in __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        started_at = time.monotonic()
        command = [sys.executable, "-m", "trunkline.cli.main", "serve", "--address", self.target]
        command += ["--models", self._models]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **_OTHERS, **self._settings, **told(port_kept=True)},
            start_new_session=True,  # a Ctrl-C reaches the caller alone, which then stops it in order
        )
        try:
            self._wait_until_ready(self._process, started_at + self._ready_within_s)
        except BaseException:
            self._end()
            raise
        self.started_s = time.monotonic() - started_at
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            status = self.stop()
            if status:
                complain(f"the service {fate_of(status)}; it said last:")
                print("\n".join(self._last_lines()), file=sys.stderr, flush=True)
        finally:
            self._end()

    def client(self) -> Client:
        """Of this service, whatever the environment says of others."""
        return Client(self.target, _PLAIN)

    def galleries(self) -> GalleryClient:
        return GalleryClient(self.target, credentials=_PLAIN)

    def stop(self) -> int:
        """Ask the service to stop, wait for it, and return its exit status; 0 is a clean stop."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log.close()
        self._port.close()

    def _wait_until_ready(self, process: "subprocess.Popen[bytes]", ends_at: float) -> None:
        # A channel that failed to connect waits longer each time; a plain socket sees the port open at once.
        while not _listens(self.target):
            self._check(process, ends_at)
            time.sleep(0.02)
        with self.client() as client:
            while not _is_ready(client):
                self._check(process, ends_at)

    def _check(self, process: "subprocess.Popen[bytes]", ends_at: float) -> None:
        """Raises ConfigurationError where it has ended, or its time is over."""
        if process.poll() is not None:
            raise ConfigurationError(f"the service {fate_of(process.returncode)}: {self._last_words()}")
        if time.monotonic() > ends_at:
            raise ConfigurationError(f"the service did not start in {self._ready_within_s:g} s: {self._last_words()}")

    def _last_words(self) -> str:
        return " | ".join(line.removeprefix("trunkline: ") for line in self._last_lines())

    def _last_lines(self) -> list[str]:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]


def _is_ready(client: Client) -> bool:
    try:
        client.wait_ready(_LOOK_EACH_S)
    except ServiceError:
        return False
    return True


def _listens(target: str) -> bool:
    try:
        socket.create_connection(parse_host_port(target), timeout=1).close()
    except OSError:
        return False
    return True
