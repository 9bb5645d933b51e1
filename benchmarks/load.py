"""A closed-loop client in a process of its own: `concurrency` callers, each asks again when it was answered."""

import asyncio
import itertools
import json
import resource
import sys
import time

from benchmarks.pictures import distinct_jpegs
from trunkline.client import AsyncClient


async def closed_loop(address: str, concurrency: int, seconds: float, pictures: list[bytes]) -> dict[str, object]:
    """Latencies in ms, answers a second, and this process's CPU seconds for each answer; warm-up left out."""
    turn = itertools.cycle(pictures)
    latencies: list[float] = []

    async def caller(client: AsyncClient, ends_at: float, keep: list[float]) -> None:
        while (sent_at := time.perf_counter()) < ends_at:
            await client.classify(next(turn), head="imagenet")
            keep.append((time.perf_counter() - sent_at) * 1000)

    async def callers(client: AsyncClient, span_s: float, keep: list[float]) -> None:
        ends_at = time.perf_counter() + span_s
        await asyncio.gather(*(caller(client, ends_at, keep) for _ in range(concurrency)))

    async with AsyncClient(address) as client:
        await callers(client, min(1.0, seconds / 3), [])
        print("warm", flush=True)
        cpu_before, started_at = time.process_time(), time.perf_counter()
        await callers(client, seconds, latencies)
        took_s = time.perf_counter() - started_at
    return {
        "latencies_ms": latencies,
        "per_second": len(latencies) / took_s,
        "client_cpu_ms": (time.process_time() - cpu_before) * 1000 / len(latencies),
        "client_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    target, callers_text, seconds_text = sys.argv[1:4]
    found = asyncio.run(closed_loop(target, int(callers_text), float(seconds_text), distinct_jpegs(300)))
    print(json.dumps(found))
