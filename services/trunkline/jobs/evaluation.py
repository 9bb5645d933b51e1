"""Evaluations in processes of their own, one at a time, as restrained as jobs are."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.rpc import status_pb2

from trunkline.jobs.local import start_process
from trunkline.serving.status import from_status

EVALUATION_MODULE = "trunkline.training.evaluation_worker"


class Evaluator:
    """models: folder or URL. cpus: those that an evaluation may use. environment: as in launcher.py."""

    def __init__(self, models: str, cpus: Sequence[int], environment: Mapping[str, str]) -> None:
        self._models = models
        self._cpus = cpus
        self._environment = environment
        self._turn = asyncio.Semaphore(1)

    async def evaluate(self, head: str, data: str, split: str | None) -> Mapping[str, Any]:
        """head, version, data, count and metrics. Raises what evaluate_head raises; ends the process if cancelled."""
        question = {"models": self._models, "head": head, "data": data, "split": split}
        async with self._turn:
            pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
            process = await start_process(("-m", EVALUATION_MODULE), self._environment, self._cpus, **pipes)
            try:
                answer, _ = await process.communicate(json.dumps(question).encode())
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    await process.wait()
        return _read(answer, process.returncode)


def _read(answer: bytes, status: int | None) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(answer)
    except ValueError as error:
        raise RuntimeError(f"an evaluation ended with status {status} and no answer") from error
    if "error" in found:
        raise from_status(status_pb2.Status.FromString(bytes.fromhex(found["error"])))
    return found
