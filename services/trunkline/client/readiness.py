"""Waiting until a service is ready: what each health check means, for both clients."""

import time

import grpc
from grpc_health.v1 import health_pb2

from trunkline.client.errors import ServiceError, UnreachableError, from_rpc_error

PAUSE_S = 0.05
_CHECK_S = 2.0
_MAY_PASS = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED"})


class Readiness:
    """Takes note of one check after another: `reached` once SERVING was seen."""

    def __init__(self, target: str, timeout_s: float) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._ends_at = time.monotonic() + timeout_s
        self._last: ServiceError = self._not_ready("it does not answer")
        self.reached = False

    @property
    def check_s(self) -> float:
        """Seconds that the next check may take."""
        return min(_CHECK_S, max(PAUSE_S, self._ends_at - time.monotonic()))

    def saw(self, status: int) -> None:
        """A check was answered. Raises ServiceError where the time is over and it was not SERVING."""
        self.reached = status == health_pb2.HealthCheckResponse.SERVING
        if not self.reached:
            name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            self._last = self._not_ready(f"it says {name}")
            self._go_on()

    def failed(self, error: grpc.RpcError) -> None:
        """A check failed. Raises ServiceError where the time is over or waiting cannot help."""
        found = from_rpc_error(error, self._target, self.check_s)
        if found.code not in _MAY_PASS:
            raise found from None
        if isinstance(found, UnreachableError):
            self._last = found
        self._go_on()

    def _go_on(self) -> None:
        # The last check is cut short by the end of the time, and then says less than the one before.
        if time.monotonic() + PAUSE_S > self._ends_at:
            raise self._last

    def _not_ready(self, what: str) -> ServiceError:
        text = f"{self._target} was not ready within {self._timeout_s:g} s: {what}"
        return ServiceError("DEADLINE_EXCEEDED", "NOT_READY", text, {"target": self._target})
