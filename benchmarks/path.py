"""The path of one call: which modules of Trunkline it enters, and how many coroutines it awaits.

Counted by a profile function in all threads of a server in this process while another process asks it. What goes on
beside calls is slowed down before; a call is asked several times, and the smallest count is its own.
"""

import asyncio
import dis
import inspect
import multiprocessing
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import trunkline
from benchmarks.output import Output
from benchmarks.statistics import table
from trunkline.client import Client
from trunkline.serving.host import Host

SERVICES = Path(trunkline.__file__).parent
PHOTO = Path(__file__).parents[1] / "tests/samples/coffee.jpg"
_ASKED = 12
_RESUME = dis.opmap["RESUME"]
_QUIET = {"refresh_s": 3600.0, "catalog_poll_s": 3600.0, "heads": ("imagenet", "flowers102")}
Ask = Callable[[Client, Path], object]


def _classify(client: Client, photo: Path) -> object:
    return client.classify(photo, head="imagenet")


def _analyze(client: Client, photo: Path) -> object:
    return client.analyze(photo, ["imagenet", "flowers102"])


ASKS: dict[str, Ask] = {"Classify": _classify, "Analyze, two heads": _analyze}


@dataclass
class Taken:
    """What was entered while one call was answered."""

    modules: set[str] = field(default_factory=set)
    coroutines: list[str] = field(default_factory=list)


class Tracer:
    """Notes modules and coroutines of Trunkline in every thread that begins after `install`."""

    def __init__(self) -> None:
        self.path: Taken | None = None
        self._names: dict[str, str] = {}

    def install(self) -> None:
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        path = self.path
        if path is None or event != "call":
            return
        code = frame.f_code
        name = self._name(code)
        if not name:
            return
        path.modules.add(name)
        if code.co_flags & inspect.CO_COROUTINE and _begins(frame):
            path.coroutines.append(f"{name}:{code.co_qualname}")

    def _name(self, code: CodeType) -> str:
        """The module below services/trunkline; empty for others and for what is generated."""
        found = self._names.get(code.co_filename)
        if found is None:
            file = Path(code.co_filename)
            inside = file.is_relative_to(SERVICES) and not file.is_relative_to(SERVICES / "api")
            found = str(file.relative_to(SERVICES)) if inside else ""
            self._names[code.co_filename] = found
        return found


def _begins(frame: FrameType) -> bool:
    """Whether a coroutine is entered for the first time, not resumed."""
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at] == _RESUME and code[at + 1] == 0


def trace(form: Callable[..., AbstractAsyncContextManager[Host]], ask: str) -> Taken:
    """The path of one call that was asked before, so that nothing is loaded and quick heads are known."""
    tracer = Tracer()
    tracer.install()
    try:
        return asyncio.run(_traced(tracer, form, ask))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


async def _traced(tracer: Tracer, form: Callable[..., AbstractAsyncContextManager[Host]], ask: str) -> Taken:
    async with form(**_QUIET) as host:
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        caller = multiprocessing.get_context("spawn").Process(target=_call, args=(theirs, host.address, ask))
        caller.start()
        try:
            await asyncio.to_thread(ours.recv)
            found = []
            for _ in range(_ASKED):
                await asyncio.sleep(0.3)
                path = tracer.path = Taken()
                ours.send(True)
                await asyncio.to_thread(ours.recv)
                tracer.path = None
                found.append(path)
        finally:
            ours.send(False)
            await asyncio.to_thread(caller.join)
    return min(found, key=lambda path: (len(path.modules), len(path.coroutines)))


def _call(pipe: Any, address: str, ask: str) -> None:
    with Client(address) as client:
        client.wait_ready(timeout_s=60)
        for _ in range(20):
            ASKS[ask](client, PHOTO)
        pipe.send(True)
        while pipe.recv():
            ASKS[ask](client, PHOTO)
            pipe.send(True)


def run(output: Output) -> None:
    """Writes path.md and path.json."""
    from trunkline.testing import serve, serve_split

    forms = {"all in one": serve, "split": serve_split}
    found = {(form, ask): trace(start, ask) for form, start in forms.items() for ask in ASKS}
    rows = [[form, ask, str(len(p.modules)), str(len(p.coroutines))] for (form, ask), p in found.items()]
    listed = found["all in one", "Classify"]
    body = [
        *table(("form", "call", "modules", "coroutines"), rows),
        "",
        "Classify, all in one, enters:",
        "",
        *(f"- `{name}`" for name in sorted(listed.modules)),
        "",
        "and awaits, in this order:",
        "",
        *(f"1. `{name}`" for name in listed.coroutines),
    ]
    notes = [
        "modules of services/trunkline without generated ones; coroutines: each that is begun; all roles where split",
        f"the smallest of {_ASKED} calls, after 20 others; features are not kept, metrics and traces are off",
    ]
    data = [
        {"form": form, "call": ask, "modules": sorted(p.modules), "coroutines": p.coroutines}
        for (form, ask), p in found.items()
    ]
    output.write("path", "The path of a call", notes, body, data)
