"""The unmodified tritonclient in a process of its own; see triton_calls.py."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from tests.service import triton_names


class Triton:
    """Runs functions of triton_calls by name."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    async def run(self, function: str, *args: Any, **kwargs: Any) -> Any:
        work = partial(triton_names.run, function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


@contextmanager
def triton_process() -> Iterator[Triton]:
    """One process, started afresh, so that it has none of the messages of this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield Triton(pool)
