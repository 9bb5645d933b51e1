"""The load process: python -m benchmarks.load CONFIG, with orders on standard input and answers on standard output.

CONFIG is JSON: {"targets": [fields of Target, …], "pictures": how many, "seed": …}. An order names a target by its
place: {"do": "closed", "target": 0, "callers": 4, "seconds": 5}. Each order gets {"started": true} once its warm-up
is over, where it has one, and then its result.
"""

import asyncio
import gc
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.load import orders
from benchmarks.load.asker import Asker
from benchmarks.load.targets import Target
from benchmarks.pictures import bad_pictures, items_for


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def started() -> None:
    say({"started": True})


async def main(config: dict[str, Any]) -> None:
    targets = [Target(**{**fields, "heads": tuple(fields["heads"])}) for fields in config["targets"]]
    items = [items_for(target.given, config["pictures"], config["seed"]) for target in targets]
    async with AsyncExitStack() as stack:
        askers = [
            await stack.enter_async_context(Asker(target, these))
            for target, these in zip(targets, items, strict=True)
        ]
        gc.collect()
        gc.freeze()
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            at = order.pop("target", 0)
            say(await carry_out(order, targets, askers, at, items[at][0]))


async def carry_out(
    order: dict[str, Any], targets: list[Target], askers: list[Asker], at: int, item: bytes
) -> dict[str, Any]:
    match order.pop("do"):
        case "labels":
            return await orders.labels(askers[at], item, **order)
        case "closed":
            return await orders.closed(askers[at], started, **order)
        case "open":
            return await orders.opened(askers[at], started, **order)
        case "burst":
            bad = bad_pictures()[order.pop("bad")]
            return await orders.burst(askers[at], targets[at], bad, **order)
        case "mixed":
            named = {f"{' + '.join(target.heads)}": asker for target, asker in zip(targets, askers, strict=True)}
            bad = {name: targets[0].calls(data) for name, data in bad_pictures().items()}
            return await orders.mixed(named, bad, started, **order)
        case unknown:
            raise ValueError(f"no order {unknown!r}")


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
