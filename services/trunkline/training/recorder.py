"""Writes the progress of a job into the store, some times a second at most, however often it is told."""

import time
from contextlib import suppress
from dataclasses import replace

from trunkline.core.errors import ServiceUnavailableError
from trunkline.core.jobs import JobProgress
from trunkline.core.progress import Epoch, Watcher
from trunkline.jobs.leases import Claim, LeaseLostError, Leases

_EVERY_S = 0.25
EPOCHS = "epochs"


class Recorder:
    """Epochs are all kept; of what happens within a stage, the last."""

    def __init__(self, leases: Leases, claim: Claim) -> None:
        self._leases = leases
        self._claim = claim
        self._waiting: list[JobProgress | Epoch] = []
        self._now = JobProgress("", 0, 0)
        self._remarks = self._left_out = 0
        self._stage_at = self._written_at = time.monotonic()

    @property
    def watcher(self) -> Watcher:
        return Watcher(self.stage, self.epoch, self.data)

    def stage(self, name: str, done: int, total: int) -> None:
        """`done` of `total` pieces of a stage."""
        self._go_to(JobProgress(name, done, total, self._now.epoch))

    def epoch(self, epoch: Epoch) -> None:
        """An epoch was finished."""
        self._waiting.append(epoch)
        self._go_to(JobProgress(EPOCHS, epoch.number, epoch.of, epoch))

    def data(self, remarks: int, left_out: int) -> None:
        """How many remarks there are on the data; told with all that follows."""
        self._remarks, self._left_out = remarks, left_out
        self._go_to(self._now)

    def flush(self) -> None:
        """Write what waits. It goes on waiting where the database does not answer."""
        with suppress(ServiceUnavailableError, LeaseLostError):  # the heartbeat sees to both
            if self._waiting:
                self._leases.report(self._claim, self._waiting)
            self._waiting = []
        self._written_at = time.monotonic()

    def _go_to(self, progress: JobProgress) -> None:
        now, new = time.monotonic(), progress.stage != self._now.stage
        if new or progress.done < self._now.done:
            self._stage_at = now
        left = max(0, progress.total - progress.done)
        # The first piece may have been there already: it says nothing about the others.
        known = progress.done > 0 and now > self._stage_at
        time_left_s = (now - self._stage_at) / progress.done * left if known else None
        self._now = replace(progress, time_left_s=time_left_s, remarks=self._remarks, left_out=self._left_out)
        same = (JobProgress, progress.stage)
        self._waiting = [each for each in self._waiting if (type(each), getattr(each, "stage", "")) != same]
        self._waiting.append(self._now)
        if new or not left or now - self._written_at >= _EVERY_S:
            self.flush()
