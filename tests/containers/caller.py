"""Steady load from inside a container: calls begin when they are due, until SIGTERM or the end of the time.

caller.py TARGET RATE SECONDS TIMEOUT HEAD… asks about distinct pictures, and prints one JSON document: of each call
when it was due (seconds since the epoch), how long it took (seconds), and the code it ended with.
"""

import asyncio
import io
import itertools
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from trunkline.client import AsyncClient, ServiceError

_PICTURES = 48
_MOST_IN_FLIGHT = 500


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


async def call(client: AsyncClient, picture: bytes, heads: list[str], timeout_s: float) -> str:
    """OK, or how the call or one of its heads failed."""
    try:
        answer = await client.analyze(picture, heads, timeout_s=timeout_s)
    except ServiceError as error:
        return f"{error.code}: {error.message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    failed = [outcome.error for outcome in answer.outcomes if outcome.error is not None]
    return f"{failed[0].code}: {failed[0].message}" if failed else "OK"


async def load(target: str, rate: float, seconds: float, timeout_s: float, heads: list[str]) -> list[list]:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    done: list[list] = []
    turn: Iterator[bytes] = itertools.cycle(pictures(Path("/samples")))

    async def one(due_at: float) -> None:
        outcome = await call(client, next(turn), heads, timeout_s)
        done.append([round(due_at, 3), round(time.time() - due_at, 3), outcome])

    async with AsyncClient(target) as client:
        await client.wait_ready(timeout_s=60)
        print("ready", file=sys.stderr, flush=True)
        running: set[asyncio.Task] = set()
        started_at = due_at = time.time()
        while not stop.is_set() and due_at < started_at + seconds:
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
    given, rate, seconds, timeout_s, *heads = sys.argv[1:]
    print(json.dumps(asyncio.run(load(given, float(rate), float(seconds), float(timeout_s), heads))))
