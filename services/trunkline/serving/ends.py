"""How a process ends: within bounds, whatever hangs, and never by a signal that nobody sent.

An interpreter that is torn down kills threads that are no longer waited for as soon as they want its lock. One that
is in C++ then takes the process with it: `terminate called without an active exception`, SIGABRT. So a process is
left by os._exit, once its owners have closed what they opened.
"""

import atexit
import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from select import select
from types import FrameType
from typing import NoReturn

_THREADS_S = 1.0  # for threads that nobody has closed and that would hold up the end of an interpreter
_CLEAN_UP_S = 3.0
_FLUSH_S = 1.0
_TWICE_S = 0.25  # what sends a signal to a process and to its group sends it twice
_log = logging.getLogger(__name__)


def end_with(main: Callable[[], int | None]) -> NoReturn:
    """Run the program and end the process with its status, or that of the SystemExit that it raises."""
    try:
        status = main() or 0
    except SystemExit as error:
        status = _status_of(error)
    except BaseException:
        traceback.print_exc()
        status = 1
    leave(status)


def leave(status: int) -> NoReturn:
    """End the process: other threads get a moment, exit handlers run, what was printed is flushed."""
    ends_at = time.monotonic() + _THREADS_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, ends_at - time.monotonic()))
    _within(_CLEAN_UP_S, atexit._run_exitfuncs)
    leave_now(status)


def leave_now(status: int) -> NoReturn:
    """End the process and flush what was printed and logged, if that can be done at once."""
    _within(_FLUSH_S, _flush)
    os._exit(status)


class EndSignals:
    """SIGTERM and SIGINT of a serving process.

    The first one begins its end. That takes `within_s` seconds at most, then the process is left, whatever hangs; a
    second signal leaves it at once.
    """

    def __init__(
        self, begin: Callable[[], object], within_s: float, last: Callable[[], object] = lambda: None
    ) -> None:
        """begin: called in a thread, once. last: called before the process is left without waiting any longer.

        Make this in the main thread, in an event loop that runs.
        """
        self._begin, self._last = begin, last
        self._within_s = within_s
        self._heard, tell = os.pipe()
        os.set_blocking(tell, False)
        threading.Thread(target=self._watch, name="end", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _be_told)
        # Written to by the handler in C: the main thread may be where it runs no instruction of Python for ever.
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)

    def _watch(self) -> None:
        while self._next(None) is None:
            pass
        first_at = time.monotonic()
        self._begin()
        while (left_s := first_at + self._within_s - time.monotonic()) > 0:
            again = self._next(left_s)
            if again is not None and time.monotonic() - first_at > _TWICE_S:
                self._last()
                leave_now(128 + again)
        _log.error("did not end in %.1f s: something hangs; ending without it", self._within_s)
        self._last()
        leave_now(1)

    def _next(self, within_s: float | None) -> int | None:
        """The next of the two signals; None for another one, or where none comes."""
        if not select([self._heard], [], [], within_s)[0]:
            return None
        number = os.read(self._heard, 1)[0]
        return number if number in (signal.SIGTERM, signal.SIGINT) else None


def _be_told(number: int, frame: FrameType | None) -> None:
    """With a handler there is a byte for the watch, and the process goes on."""


def fate_of(code: int) -> str:
    """What became of a process with this return code, such as "was killed by SIGABRT"."""
    if code >= 0:
        return f"ended with status {code}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _status_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    print(error.code, file=sys.stderr)
    return 1


def _within(limit_s: float, work: Callable[[], object]) -> None:
    """In a thread of its own, as a pipe that nobody reads, or a disk that is away, may hold it for ever."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)


def _flush() -> None:
    for flush in (logging.shutdown, sys.stdout.flush, sys.stderr.flush):
        with suppress(Exception):
            flush()
