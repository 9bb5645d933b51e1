"""Steady load from inside a container: calls begin when they are due, until SIGTERM or all were sent.

caller.py TARGET RATE COUNT TIMEOUT HEAD… asks about distinct pictures, and now and then what the catalog says of the
first head. RATE is calls a second, and less on a machine that is too busy for it: what is tested is no capacity. It
prints one JSON document: of each call when it was due (seconds since the epoch), how long it took (seconds), and the
code it ended with.
"""

import asyncio
import io
import itertools
import json
import signal
import statistics
import sys
import time
from pathlib import Path

from PIL import Image

from trunkline.client import AsyncCatalogClient, AsyncClient, ServiceError

_PICTURES = 48
_MOST_IN_FLIGHT = 500
_CATALOG_EVERY = 20
_SHARE = 0.4  # of what one call after the other would be


def pictures(folder: Path) -> list[bytes]:
    """JPEG files of different parts of the samples, so that kept features answer few calls."""
    made = []
    for number, path in zip(range(_PICTURES), itertools.cycle(sorted(folder.glob("*.jpg")))):
        with Image.open(path) as opened:
            side = min(opened.size) * 3 // 4
            left, top = number * 2, number
            part = opened.convert("RGB").crop((left, top, left + side, top + side)).resize((224, 224))
        written = io.BytesIO()
        part.save(written, "jpeg", quality=80)
        made.append(written.getvalue())
    return made


class Caller:
    """One connection, as a client has it."""

    def __init__(self, client: AsyncClient, catalog: AsyncCatalogClient, heads: list[str], timeout_s: float) -> None:
        self._client, self._catalog, self._heads, self._timeout_s = client, catalog, heads, timeout_s
        self._pictures = itertools.cycle(pictures(Path("/samples")))
        self._count = 0

    async def call(self) -> str:
        """OK, or how the call or one of its heads failed."""
        self._count += 1
        try:
            if self._count % _CATALOG_EVERY == 0:
                await self._catalog.model(self._heads[0])
                return "OK"
            answer = await self._client.analyze(next(self._pictures), self._heads, timeout_s=self._timeout_s)
        except ServiceError as error:
            return f"{error.code}: {error.message}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        failed = [outcome.error for outcome in answer.outcomes if outcome.error is not None]
        return f"{failed[0].code}: {failed[0].message}" if failed else "OK"


async def bearable(caller: Caller, rate: float) -> float:
    """The rate, or what this machine can bear now."""
    took_s = []
    for _ in range(20):
        began_at = time.perf_counter()
        await caller.call()
        took_s.append(time.perf_counter() - began_at)
    return min(rate, _SHARE / statistics.median(took_s))


async def load(target: str, rate: float, count: int, timeout_s: float, heads: list[str]) -> list[list]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    done: list[list] = []

    async def one(due_at: float) -> None:
        outcome = await caller.call()
        done.append([round(due_at, 3), round(time.time() - due_at, 3), outcome])

    async with AsyncClient(target) as client, AsyncCatalogClient(target) as catalog:
        caller = Caller(client, catalog, heads, timeout_s)
        await client.wait_ready(timeout_s=60)
        rate = await bearable(caller, rate)
        print("rate", rate, file=sys.stderr, flush=True)
        running: set[asyncio.Task] = set()
        due_at = time.time()
        while not stop.is_set() and len(done) + len(running) < count:
            await asyncio.sleep(max(0.0, due_at - time.time()))
            if len(running) < _MOST_IN_FLIGHT:
                task = asyncio.create_task(one(due_at))
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                done.append([round(due_at, 3), 0.0, "NOT SENT: too many calls are in flight"])
            due_at += 1 / rate
        await asyncio.gather(*running)
    return done


if __name__ == "__main__":
    given, rate, count, timeout_s, *heads = sys.argv[1:]
    print(json.dumps(asyncio.run(load(given, float(rate), int(count), float(timeout_s), heads))))
