"""What TLS and a key cost, beside the same calls without; a noisy caller beside a good one; a start with many keys.

`python -m benchmarks.security FOLDER` serves with the settings in FOLDER/settings.json until its input ends.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.launch import started
from benchmarks.output import Output, tell
from benchmarks.statistics import spread, table
from tests.certificates import Authority
from trunkline.client import AsyncClient, Credentials, ServiceError
from trunkline.serving.security.keys import digest_of
from trunkline.testing import serve

ROOT = Path(__file__).parents[1]
PHOTO = (ROOT / "tests/samples/coffee.jpg").read_bytes()
_CALLERS, _MANY = 16, 10_000
_SMALL, _JPEG = "GetHead", "Classify a JPEG"
_QUOTA, _NOISE = 20.0, 10.0  # calls a second of the noisy caller, and how many times as many it sends
_GOOD_RATE = 20.0


def _serve(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())

    async def main() -> None:
        async with serve(heads=("imagenet",), **settings) as host:
            print(host.address, flush=True)
            await asyncio.to_thread(sys.stdin.read)

    asyncio.run(main())


def _key(name: str) -> str:
    return f"tlk_{name}"


def _access(folder: Path, identities: dict[str, Any], more_keys: int = 0) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat()
    names = [*identities, *(f"key-{number}" for number in range(more_keys))]
    first = next(iter(identities))
    keys = [
        {"identity": name if name in identities else first, "sha256": digest_of(_key(name)).hex(), "created": created}
        for name in names
    ]
    file = folder / "access.json"
    file.write_text(json.dumps({"identities": identities, "keys": keys}))
    return {"auth": ["keys"], "access_file": str(file)}


@contextmanager
def _served(folder: Path, settings: dict[str, Any]) -> Iterator[tuple[str, psutil.Process]]:
    (folder / "settings.json").write_text(json.dumps(settings))
    with started("benchmarks.security", str(folder)) as found:
        yield found


async def _load(address: str, credentials: Credentials, kind: str, calls: int) -> None:
    """So many calls of a few callers, each with one at a time, on one connection."""
    left = calls

    async def ask(client: AsyncClient) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            if kind == _SMALL:
                await client.get_head("imagenet")
            else:
                await client.classify(PHOTO, "imagenet")

    async with AsyncClient(address, credentials) as client:
        await asyncio.gather(*(ask(client) for _ in range(_CALLERS)))


def _cost(folder: Path, calls: int, repeats: int) -> list[list[str]]:
    """Turns of each way, one after the other: answers a second, and CPU of the server for each."""
    authority = Authority(folder)
    cert, key = authority.issue("server")
    tls = {"tls_cert": str(cert), "tls_key": str(key)}
    ways = {
        "plain text, nobody asked": ({}, Credentials()),
        "a key on each call": ({"access": True}, Credentials(token=_key("good"))),
        "TLS": (tls, Credentials(ca=authority.ca)),
        "TLS and a key on each call": ({**tls, "access": True}, Credentials(ca=authority.ca, token=_key("good"))),
    }
    kinds = {_SMALL: 5 * calls, _JPEG: calls}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {(kind, name): [] for kind in kinds for name in ways}
    with ExitStack() as stack:
        running = {}
        for number, (name, (settings, _)) in enumerate(ways.items()):
            own = folder / str(number)
            own.mkdir()
            chosen = dict(settings)
            if chosen.pop("access", False):
                chosen |= _access(own, {"good": {"roles": ["infer"], "quota": {"calls_in_flight": 1000}}})
            running[name] = stack.enter_context(_served(own, chosen))
        for turn in range(repeats + 1):
            for kind, count in kinds.items():
                for name, (address, process) in running.items():
                    before, began_at = sum(process.cpu_times()[:2]), time.monotonic()
                    asyncio.run(_load(address, ways[name][1], kind, count))
                    rate = count / (time.monotonic() - began_at)
                    used_ms = 1000 * (sum(process.cpu_times()[:2]) - before) / count
                    if turn:  # the first is to warm up
                        found[kind, name].append((rate, used_ms))
                        tell(f"{kind}, {name}: {rate:.1f}/s, {used_ms:.3f} ms")
    return [_row(kind, name, found[kind, name], found[kind, next(iter(ways))]) for kind, name in found]


def _row(kind: str, name: str, values: list[tuple[float, float]], plain: list[tuple[float, float]]) -> list[str]:
    rates = [rate / base for (rate, _), (base, _) in zip(values, plain, strict=True)]
    more = [used_ms - base_ms for (_, used_ms), (_, base_ms) in zip(values, plain, strict=True)]
    return [
        kind,
        name,
        spread([rate for rate, _ in values]),
        f"{100 * statistics.median(rates):.0f} %",
        spread([used_ms for _, used_ms in values], 2),
        f"{statistics.median(more):+.3f}",
    ]


async def _paced(client: AsyncClient, rate: float, seconds: float) -> list[tuple[str, float]]:
    """Calls at a rate, whatever becomes of them: how each ended, and after how many milliseconds."""
    found: list[tuple[str, float]] = []

    async def ask() -> None:
        began_at = time.perf_counter()
        try:
            await client.classify(PHOTO, "imagenet")
        except ServiceError as error:
            found.append((error.reason, 1000 * (time.perf_counter() - began_at)))
        else:
            found.append(("OK", 1000 * (time.perf_counter() - began_at)))

    loop = asyncio.get_running_loop()
    began_at, calls = loop.time(), []
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(0.0, began_at + number / rate - loop.time()))
        calls.append(asyncio.create_task(ask()))
    await asyncio.gather(*calls)
    return found


def _noise(folder: Path, seconds: float, repeats: int) -> list[list[str]]:
    """A good caller alone, beside one that keeps to its quota, and beside one at ten times that."""
    own = folder / "noise"
    own.mkdir()
    identities = {"good": {"roles": ["infer"]}, "noisy": {"roles": ["infer"], "quota": {"calls_per_s": _QUOTA}}}
    shown = {"alone": 0.0, "beside one at its quota": _QUOTA, "beside one at ten times its quota": _NOISE * _QUOTA}
    lost = dict.fromkeys(shown, 0)
    p99: dict[str, list[float]] = {name: [] for name in shown}
    refused: dict[str, str] = {}

    async def turn(address: str, name: str) -> None:
        async with (
            AsyncClient(address, Credentials(token=_key("good"))) as good,
            AsyncClient(address, Credentials(token=_key("noisy"))) as noisy,
        ):
            mine, others = await asyncio.gather(
                _paced(good, _GOOD_RATE, seconds), _paced(noisy, shown[name], seconds)
            )
        lost[name] += sum(reason != "OK" for reason, _ in mine)
        p99[name].append(statistics.quantiles([ms for _, ms in mine], n=100)[98])
        kept = sum(reason == "QUOTA" for reason, _ in others)
        refused[name] = f"{kept} of {len(others)}"

    with _served(own, _access(own, identities)) as (address, _):
        for number in range(repeats + 1):
            for name in shown:
                asyncio.run(turn(address, name))
                if number == 0:
                    lost[name], p99[name] = 0, []
    return [[name, str(lost[name]), spread(p99[name], 1), refused[name]] for name in shown]


def _starts(folder: Path, repeats: int) -> list[list[str]]:
    """Reading of the access file, as each start does it, and how much longer a start takes."""
    took: dict[int, list[float]] = {1: [], _MANY: []}
    for number in range(repeats):
        for keys, times in took.items():
            own = folder / f"start-{number}-{keys}"
            own.mkdir()
            settings = _access(own, {"good": {"roles": ["infer"]}}, keys - 1)
            began_at = time.perf_counter()
            with _served(own, settings):
                times.append(time.perf_counter() - began_at)
    return [[str(keys), spread(times, 2)] for keys, times in took.items()]


def run(output: Output, *, calls: int, seconds: float, repeats: int) -> None:
    """Write security.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cost = _cost(folder, calls, repeats)
        noise = _noise(folder, seconds, repeats)
        starts = _starts(folder, repeats)
    body = [
        *table(("call", "way", "answers/s", "of plain", "CPU of an answer, ms", "more, ms"), cost),
        "",
        *table((f"a good caller, {_GOOD_RATE:g}/s", "lost", "p99, ms", "refused of the other"), noise),
        "",
        *table(("keys in the access file", "from exec to listening, s"), starts),
    ]
    notes = [
        f"{_CALLERS} callers, `imagenet` and a JPEG of {len(PHOTO) // 1024} KiB, all in one; {repeats} turns of "
        f"{calls} JPEGs and {5 * calls} small calls of each way, one after the other; CPU is that of the server, "
        "median (lowest to highest)",
        f"the noisy caller has a quota of {_QUOTA:g} calls a second",
    ]
    output.write("security", "TLS, keys and quotas", notes, body, {"cost": cost, "noise": noise, "start": starts})


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
