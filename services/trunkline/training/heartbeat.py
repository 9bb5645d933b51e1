"""Keeps the lease of a job while it is worked on, and ends the work where it is lost, cancelled or an orphan."""

import logging
import os
import signal
import threading
import time
from types import TracebackType
from typing import Self

from trunkline.core.errors import ServiceUnavailableError
from trunkline.jobs.leases import Claim, LeaseLostError, Leases
from trunkline.training.process import parent_lives

LEASE_S = 30.0
_BEAT_S = 3.0
_UNWIND_S = 10.0
_log = logging.getLogger(__name__)


class Heartbeat:
    """A thread that renews the lease, from entering to leaving."""

    def __init__(self, leases: Leases, claim: Claim) -> None:
        self._leases = leases
        self._claim = claim
        self._over = threading.Event()
        self._renewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        told = False
        while not self._over.wait(_BEAT_S):
            why, lost = self._beat()
            if why and not told:
                _log.warning("%s: %s", self._claim.job, why)
                os.kill(os.getpid(), signal.SIGTERM)
                told = True
            if lost and not self._over.wait(_UNWIND_S):
                # Whoever has the job by now must not meet this one.
                os._exit(1)

    def _beat(self) -> tuple[str, bool]:
        """Why the work has to end, "" where it goes on, and whether the job is somebody else's already."""
        if not parent_lives():
            return "the training service is gone", False
        try:
            cancelled = self._leases.renew(self._claim, LEASE_S)
        except LeaseLostError as error:
            return str(error), True
        except ServiceUnavailableError:
            silent_s = time.monotonic() - self._renewed_at
            return (f"the job database is silent for {silent_s:.0f} s", True) if silent_s > LEASE_S else ("", False)
        self._renewed_at = time.monotonic()
        return ("cancelled", False) if cancelled else ("", False)
