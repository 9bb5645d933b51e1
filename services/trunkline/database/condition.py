"""How a database is: the last fault, told in the log once, and who may try whether it is over."""

import logging
import threading
import time
from dataclasses import replace
from typing import Final

from trunkline.core.errors import ServiceUnavailableError
from trunkline.database.faults import Fault

_TRY_LASTS_S: Final = 30.0  # after which one that never came back is given up
_SAME_AGAIN_S: Final = 60.0  # a fault that comes and goes fills no log
_log = logging.getLogger(__name__)


class Condition:
    """May be used by any number of threads.

    Some faults keep a thread waiting for seconds. While there is one of these, calls fail at once, but for one at a
    time that tries again.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._next_try_at = 0.0
        self._told: dict[str, float] = {}
        self._is_told = False

    @property
    def fault(self) -> Fault | None:
        return self._fault

    def enter(self, *, writes: bool) -> None:
        """Before a transaction. Raises ServiceUnavailableError where it is known to be in vain."""
        with self._lock:
            fault = self._fault
            if fault is None or not fault.pause_s or (fault.writes_only and not writes):
                return
            now = time.monotonic()
            if now < self._next_try_at:
                raise ServiceUnavailableError(fault.message)
            self._next_try_at = now + _TRY_LASTS_S

    def failed(self, fault: Fault, *, writes: bool) -> ServiceUnavailableError:
        """A transaction found this fault; returns what its caller is told."""
        if fault.writes_only and not writes:
            fault = replace(fault, writes_only=False)
        with self._lock:
            self._fault = fault
            self._next_try_at = time.monotonic() + fault.pause_s
            self._tell(fault)
        return ServiceUnavailableError(fault.message)

    def passed(self, *, writes: bool) -> None:
        """A transaction went well."""
        if self._fault is None:
            return
        with self._lock:
            fault = self._fault
            if fault is None or (fault.writes_only and not writes):
                return
            self._fault = None
            if self._is_told:
                _log.info("the %s answers again", self._what)
            self._is_told = False

    def undecided(self) -> None:
        """A transaction was given up for a reason of its own: let the next one try."""
        self.retry()

    def retry(self) -> None:
        """Something has changed: the next one tries."""
        self._next_try_at = 0.0

    def _tell(self, fault: Fault) -> None:
        now = time.monotonic()
        self._told = {text: at for text, at in self._told.items() if now - at < _SAME_AGAIN_S}
        if fault.message not in self._told:
            _log.warning("%s (%s)", fault.message, fault.detail)
            self._is_told = True
        self._told[fault.message] = now
