"""Embeds galleries anew, in the background of whichever process takes them."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import numpy as np

from trunkline.core.errors import (
    DeadlineError,
    QueueFullError,
    ServiceUnavailableError,
    SpaceMismatchError,
    TrunklineError,
)
from trunkline.database.threads import Threads
from trunkline.galleries.embedder import Spaces
from trunkline.galleries.reembedding import Claim, ClaimLostError, ReembeddingStore
from trunkline.galleries.vectors import unit

_LEASE_S: Final = 20.0
_AT_ONCE: Final = 4  # images between two renewals of the lease
_EMBED_S: Final = 4.0
_PAUSE_S: Final = 1.0
_REST_S: Final = 0.01
# Processes do not hear of a new version of a head at the same moment.
_TRIES_OF_SPACE: Final = 15
_PASSING = (QueueFullError, ServiceUnavailableError, DeadlineError)
_log = logging.getLogger(__name__)


class Reembedder:
    """One re-embedding at a time, and what is deleted, in pieces."""

    def __init__(
        self,
        store: ReembeddingStore,
        threads: Threads,
        spaces: Spaces,
        finished: Callable[[], Awaitable[None]],
        shrink: Callable[[], bool],
    ) -> None:
        """finished: called when a gallery has its new vectors. shrink: gives the disk some of what was deleted."""
        self._store = store
        self._threads = threads
        self._shrink = shrink
        self._finished = finished
        self._spaces = spaces
        self._running: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Take a re-embedding that waits, and sweep. Raises ServiceUnavailableError."""
        if not await self._threads.run(self._store.due):
            return
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.create_task(self._sweep())
        if self._running is None or self._running.done():
            claim = await self._threads.run(self._store.take, _LEASE_S)
            self._running = None if claim is None else asyncio.create_task(self._work(claim))

    async def stop(self) -> None:
        """Leave what runs to another process."""
        tasks = [task for task in (self._running, self._sweeping) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _sweep(self) -> None:
        """Delete what nobody needs, and rest as long as each piece took, so that others write in between."""
        try:
            for act in (self._store.sweep, self._shrink):
                more = True
                while more:
                    started_at = time.monotonic()
                    more = await self._threads.run(act)
                    await asyncio.sleep(max(_REST_S, time.monotonic() - started_at))
        except ServiceUnavailableError as error:
            _log.debug("what was deleted is swept later: %s", error)
        except Exception:
            _log.exception("bug in sweeping")

    async def _work(self, claim: Claim) -> None:
        _log.info("re-embedding gallery %s by head %s", claim.name, claim.head)
        try:
            await self._embed_all(claim)
        except ClaimLostError:
            _log.info("gallery %s is no longer re-embedded by this process", claim.name)
        except asyncio.CancelledError:
            await self._end(partial(self._store.release, claim))
            raise
        except ServiceUnavailableError as error:  # of the database: heads that are away are waited for
            _log.info("the re-embedding of gallery %s waits: %s", claim.name, error)
            await self._end(partial(self._store.release, claim))
        except TrunklineError as error:
            _log.warning("gallery %s was not re-embedded: %s", claim.name, error)
            await self._end(partial(self._store.fail, claim, error.message))
        except Exception:
            _log.exception("bug in a re-embedding")
            await self._end(partial(self._store.fail, claim, "internal error; the log of the service says more"))

    async def _end(self, act: Callable[[], None]) -> None:
        try:
            await self._threads.run(act)
        except (ClaimLostError, TrunklineError) as error:
            _log.info("a re-embedding is left to its lease: %s", error)

    async def _embed_all(self, claim: Claim) -> None:
        after = 0
        while True:
            some = await self._threads.run(self._store.todo, claim, after, _AT_ONCE)
            if some:
                vectors = [await self._vector(claim, *each) for each in some]
                await self._threads.run(self._store.put, claim, vectors, _LEASE_S)
                after = some[-1][0]
            elif await self._threads.run(self._store.finish, claim):
                _log.info("gallery %s has its new vectors", claim.name)
                await self._finished()
                return
            else:
                after = 0  # what was added meanwhile

    async def _vector(self, claim: Claim, number: int, picture: bytes) -> tuple[int, np.ndarray]:
        """The number of an image and its vector (D,), however long the head is busy or away."""
        tries_of_space = _TRIES_OF_SPACE
        while True:
            try:
                found = await self._spaces.embed(claim.head, picture, _EMBED_S)
            except _PASSING as error:
                _log.debug("re-embedding of gallery %s waits: %s", claim.name, error)
            else:
                if found.space == claim.space:
                    return number, unit(found.values, claim.dimension)
                tries_of_space -= 1
                if not tries_of_space:
                    raise SpaceMismatchError.between(claim.space, found.space)
            await asyncio.sleep(_PAUSE_S)
            await self._threads.run(self._store.put, claim, [], _LEASE_S)  # the lease, and whether it is still wanted
