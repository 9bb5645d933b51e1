"""Evaluations in processes of their own, one at a time, as restrained as jobs are."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from trunkline.core.errors import DeadlineError, InvalidRequestError, QueueFullError
from trunkline.core.watch import GIB, memory_limit
from trunkline.jobs.bounded import Bounds, OutOfMemoryError, OutOfTimeError, run_bounded
from trunkline.serving.status import from_status

EVALUATION_MODULE = "trunkline.training.evaluation_worker"
_RETRY_S = 30.0
_LEAST_STARTED_S = 1.0  # of a call's time: what has less left is not begun


@dataclass(frozen=True)
class Limits:
    """longest_s: of an evaluation, seconds. memory: bytes. waiting: calls that may wait for their turn, for `wait_s`
    seconds where they have no deadline."""

    longest_s: float = 3600.0
    memory: int = 6 * GIB
    waiting: int = 4
    wait_s: float = 300.0


class Evaluator:
    """models: folder or URL. cpus: those that an evaluation may use. environment: as in launcher.py."""

    def __init__(
        self, models: str, cpus: Sequence[int], environment: Mapping[str, str], limits: Limits | None = None
    ) -> None:
        self._models = models
        self._cpus = cpus
        self._environment = environment
        self._limits = limits or Limits()
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def evaluate(self, head: str, data: str, split: str | None, left_s: float | None) -> Mapping[str, Any]:
        """head, version, data, count, metrics and remarks; ends the process if cancelled.

        left_s: of the call's time, seconds.
        Raises what evaluate_head raises, QueueFullError where too many wait, DeadlineError where the turn does not
        come or the evaluation does not end in time, InvalidRequestError where it takes too much memory.
        """
        question = {"models": self._models, "head": head, "data": data, "split": split}
        ends_at = None if left_s is None else _now() + left_s
        async with self._turn_within(left_s):
            left_s = self._limits.longest_s if ends_at is None else min(ends_at - _now(), self._limits.longest_s)
            if left_s < _LEAST_STARTED_S:
                raise DeadlineError("the deadline of the call passed before its evaluation could start")
            answer, status = await self._run(json.dumps(question).encode(), left_s)
        return _read(answer, status)

    @contextlib.asynccontextmanager
    async def _turn_within(self, left_s: float | None) -> AsyncIterator[None]:
        if self._turn.locked() and self._waiting >= self._limits.waiting:
            raise QueueFullError(
                f"an evaluation runs and {self._waiting} wait: try again later", retry_after_s=_RETRY_S
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait_s if left_s is None else left_s):
                await self._turn.acquire()
        except TimeoutError as error:
            if left_s is not None:
                raise DeadlineError("the deadline of the call passed while its evaluation waited") from error
            raise QueueFullError(
                f"no turn came within {self._limits.wait_s:.0f} s: try again later", retry_after_s=_RETRY_S
            ) from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    async def _run(self, question: bytes, time_s: float) -> tuple[bytes, int]:
        bounds = Bounds(time_s, memory_limit(self._limits.memory))
        try:
            return await run_bounded(("-m", EVALUATION_MODULE), self._environment, self._cpus, question, bounds)
        except OutOfTimeError as error:
            raise DeadlineError(f"the evaluation did not end within {time_s:.0f} s") from error
        except OutOfMemoryError as error:
            raise InvalidRequestError(
                f"the evaluation took more than {bounds.memory // 2**20} MiB of memory and was ended: take less "
                "data, or smaller pictures"
            ) from error


def _read(answer: bytes, status: int) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(answer)
        if "error" in found:
            error = from_status(status_pb2.Status.FromString(bytes.fromhex(found["error"])))
        else:
            known = {name: found[name] for name in ("head", "version", "data", "count", "metrics")}
            return {**known, "remarks": found.get("remarks", 0)}
    except (ValueError, TypeError, KeyError, DecodeError, RecursionError) as broken:
        raise RuntimeError(f"an evaluation ended with status {status} and no answer") from broken
    raise error


def _now() -> float:
    return asyncio.get_running_loop().time()
