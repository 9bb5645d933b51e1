"""How long a stream that broke off is tried again."""

import time
from collections.abc import Callable

import grpc

from trunkline.client.errors import ServiceError, from_rpc_error

PAUSE_S = 0.5
_STOOD_S = 5.0
Explain = Callable[[grpc.RpcError, str, float], ServiceError]


class Patience:
    """Decides whether a stream that broke off is tried again: for `limit_s` seconds without a sign of the service."""

    def __init__(
        self, target: str, limit_s: float, explain: Explain = from_rpc_error, *, patient_at_first: bool = True
    ) -> None:
        """patient_at_first: whether a service that has never answered is waited for, too."""
        self._target = target
        self._limit_s = limit_s
        self._explain = explain
        self._knows = patient_at_first
        self._away_since: float | None = None
        self._called_at = time.monotonic()

    def calls(self) -> None:
        """A stream is asked for."""
        self._called_at = time.monotonic()

    def heard(self) -> None:
        """The service has sent something."""
        self._away_since = None
        self._knows = True

    def broke(self, error: grpc.RpcError) -> None:
        """The stream broke off. Raises ServiceError where it makes no sense to try again."""
        now = time.monotonic()
        # A quiet stream that stood for a while shows that the service was there.
        if self._away_since is None or now - self._called_at > _STOOD_S:
            self._away_since = now
        found = self._explain(error, self._target, self._limit_s)
        if found.code != "UNAVAILABLE" or not self._knows or now - self._away_since >= self._limit_s:
            raise found from None
