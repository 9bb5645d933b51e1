"""Starts waiting jobs, stops cancelled ones, and takes care of those whose worker died."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trunkline.core.errors import ServiceUnavailableError, TrunklineError
from trunkline.database.threads import Threads
from trunkline.jobs.launcher import OWNER, WORKER_MODULE, Launch, Launcher, WorkerStatus
from trunkline.jobs.leases import Claim, LeaseLostError, Leases
from trunkline.jobs.sweep import sweep
from trunkline.serving.reads import in_thread

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """Seconds. start_s: lease of a worker that has not spoken yet. grace_s: between asking and forcing to stop.

    exit_s: for a worker to go by itself once its job has ended. rest_s: after a worker could not be started.
    """

    poll_s: float = 0.5
    start_s: float = 120.0
    grace_s: float = 5.0
    exit_s: float = 60.0
    sweep_s: float = 10.0
    rest_s: float = 15.0


@dataclass
class _Own:
    """A worker of this scheduler. stop_at: when it was asked to stop."""

    claim: Claim
    handle: str
    stop_at: float | None = None
    forced: bool = False


@dataclass
class Scheduler:
    """Runs at most `slots` workers at a time. Several schedulers may share one database.

    threads: for what asks the database. environment: what workers need to know, see launcher.py. work: folder of the
    jobs' checkpoints. module: the program of a job.
    """

    leases: Leases
    threads: Threads
    launcher: Launcher
    slots: int
    environment: Mapping[str, str]
    work: Path
    models: Path
    pace: Pace = field(default_factory=Pace)
    module: str = WORKER_MODULE

    def __post_init__(self) -> None:
        self._own: dict[str, _Own] = {}
        self._asked: set[str] = set()  # owners of other schedulers that were asked to stop
        self._wake = asyncio.Event()
        self._stopping = False
        self._rest_until = 0.0
        self._swept_at = 0.0
        self._sweep_soon = False
        self._sweeping = asyncio.Lock()
        self._sweeper: asyncio.Task[None] | None = None
        self._silent = False

    def wake(self) -> None:
        """Something changed: look now."""
        self._wake.set()

    def stop(self) -> None:
        """Let run() end."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Until stop(); then end the workers, whose jobs wait for the next scheduler to go on with them."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._tick()
            except ServiceUnavailableError as error:  # of the database or the launcher, for as long as that lasts
                if not self._silent:
                    _log.warning("jobs wait: %s", error)
                self._silent = True
            except (TrunklineError, OSError) as error:
                _log.warning("jobs wait: %s", error)
            except Exception:
                _log.exception("bug in the scheduler")
            else:
                self._silent = False
            if not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self.pace.poll_s)
        if self._sweeper is not None:
            self._sweeper.cancel()
        await self._end_all()

    async def _end_all(self) -> None:
        for force in (False, True):
            for own in self._own.values():
                await self.launcher.stop(own.handle, force=force)
            ends_at = _now() + self.pace.grace_s
            while await self._alive() and _now() < ends_at:  # noqa: ASYNC110 - workers tell nobody when they end
                await asyncio.sleep(0.05)
        for own in self._own.values():
            # One that had hardly begun could not say so itself.
            with contextlib.suppress(LeaseLostError, TrunklineError):
                await self.threads.run(self.leases.stopped, own.claim)

    async def _alive(self) -> bool:
        looks = [await self.launcher.look(own.handle) for own in self._own.values()]
        return any(look.alive for look in looks)

    async def _tick(self) -> None:
        running = await self.threads.run(self.leases.running)
        await self._settle_own(running)
        for claim in running:
            if claim.job not in self._own:
                await self._settle_foreign(claim)
        while self._has_room() and await self._start_next():
            pass
        await self._sweep()

    def _has_room(self) -> bool:
        return not self._stopping and len(self._own) < self.slots and _now() >= self._rest_until

    async def _settle_own(self, running: list[Claim]) -> None:
        claims = {claim.owner: claim for claim in running}
        for job, own in list(self._own.items()):
            look = await self.launcher.look(own.handle)
            claim = claims.get(own.claim.owner)
            if look.alive is False:
                await self.threads.run(self.leases.lost, own.claim, look.fate)
                del self._own[job]
                self._sweep_soon = True
            elif claim is None or claim.cancelled or claim.expired:
                # Ended, to be ended, or silent for so long that another one may take the job.
                await self._end(own, ask=claim is not None)

    async def _end(self, own: _Own, *, ask: bool) -> None:
        """ask: for the worker to stop; one whose job has ended is about to be gone by itself."""
        now = _now()
        if own.stop_at is None:
            own.stop_at = now
            if ask:
                await self.launcher.stop(own.handle, force=False)
        elif now - own.stop_at > (patience := self.pace.grace_s if ask else self.pace.exit_s):
            if not own.forced:
                _log.warning("%s did not stop in %.0f s: killed", own.claim.job, patience)
            own.forced = True
            await self.launcher.stop(own.handle, force=True)

    async def _settle_foreign(self, claim: Claim) -> None:
        """A job of a scheduler that may be gone: its worker died with it, or has not renewed its lease."""
        look = await self.launcher.look(claim.handle) if claim.handle else WorkerStatus(alive=None)
        if look.alive is False:
            await self.threads.run(self.leases.lost, claim, look.fate)
        elif claim.expired:
            await self.launcher.stop(claim.handle, force=True)
            await self.threads.run(self.leases.lost, claim, "was not heard of for too long")
        elif claim.cancelled and look.alive and claim.owner not in self._asked:
            self._asked.add(claim.owner)  # it may wait for its start still, and not have heard of that
            await self.launcher.stop(claim.handle, force=False)

    async def _start_next(self) -> bool:
        claim = await self.threads.run(self.leases.take, self.pace.start_s)
        if claim is None:
            return False
        launch = Launch(
            name=f"{claim.job}-{claim.owner[:8]}",
            arguments=("-m", self.module, claim.job),
            environment={**self.environment, OWNER: claim.owner},
        )
        try:
            handle = await self.launcher.start(launch)
        except (TrunklineError, OSError) as error:
            _log.error("no worker could be started for %s: %s", claim.job, error)
            self._rest_until = _now() + self.pace.rest_s
            await self.threads.run(self.leases.stopped, claim)
            return False
        self._own[claim.job] = _Own(claim, handle)
        await self.threads.run(self.leases.started, claim, handle)
        return True

    async def _sweep(self) -> None:
        if not self._sweep_soon and _now() - self._swept_at < self.pace.sweep_s:
            return
        self._swept_at, self._sweep_soon = _now(), False
        if not self._sweeping.locked():  # one whose folder does not answer is left to its thread, and jobs go on
            self._sweeper = asyncio.create_task(self._sweep_aside(frozenset(self._own)))

    async def _sweep_aside(self, busy: frozenset[str]) -> None:
        async with self._sweeping:
            try:
                ended = [job for job in await self.threads.run(self.leases.unswept) if job not in busy]
                for job in await in_thread(lambda: sweep(ended, self.work, self.models)):
                    await self.threads.run(self.leases.swept, job)
            except (TrunklineError, OSError) as error:
                _log.warning("what jobs left behind is not removed yet: %s", error)
            except Exception:
                _log.exception("bug in the sweep")


def _now() -> float:
    return asyncio.get_running_loop().time()
