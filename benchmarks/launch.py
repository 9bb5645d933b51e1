"""Servers as processes of their own, and how long one takes from exec to SERVING."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

_ROOT = Path(__file__).parents[1]
_PAUSE_S = 0.002


def wait_serving(address: str, process: psutil.Process, timeout_s: float = 120.0) -> float:
    """Seconds from the start of the process until grpc.health.v1 says SERVING, to a few milliseconds.

    Raises TimeoutError.
    """
    ends_at = time.time() + timeout_s
    _wait_listening(address, ends_at)
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        while time.time() < ends_at:
            try:
                answer = check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.RpcError:
                time.sleep(_PAUSE_S)
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return time.time() - process.create_time()
            time.sleep(_PAUSE_S)
    raise TimeoutError(f"{address} is not SERVING after {timeout_s} s")


def _wait_listening(address: str, ends_at: float) -> None:
    """A channel that finds nobody waits longer each time; so it is opened once somebody listens."""
    host, _, port = address.rpartition(":")
    while time.time() < ends_at:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(_PAUSE_S)
        else:
            return
    raise TimeoutError(f"nobody listens on {address}")


@contextmanager
def started(module: str, *arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """A module of ours that prints its address first and serves until it is told to end: the address, the process."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()
