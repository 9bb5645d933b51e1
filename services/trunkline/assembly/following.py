"""What a process does beside its calls: it follows what is served, shows its health, and drains at its end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from trunkline.assembly.backbones import backbone_health
from trunkline.gateway.directory import Directory
from trunkline.serving.host import Host
from trunkline.serving.settings import Settings

_log = logging.getLogger(__name__)


async def watch_services(host: Host, directory: Directory, settings: Settings) -> None:
    """Make the gateway ready once all have answered, or after the grace what has; then keep it fresh."""
    loop = asyncio.get_running_loop()
    grace_ends = loop.time() + settings.startup_grace_s
    while not directory.complete and not (directory.usable and loop.time() >= grace_ends):
        await directory.refresh()
        await asyncio.sleep(0 if directory.complete else 0.1)
    shown: set[str] = set()

    def health() -> dict[str, bool]:
        return head_health(directory.answering()) | backbone_health(directory.backbones_answering())

    await _show(host, health(), shown)
    await host.ready()
    for fault in directory.missing():
        _log.warning("ready without a service: %s", fault)
    _log.info("ready: %d heads", len(directory.heads()))
    while True:
        await asyncio.sleep(settings.refresh_s)
        await directory.refresh()
        await _show(host, health(), shown)


async def _show(host: Host, health: Mapping[str, bool], shown: set[str]) -> None:
    """Health of heads and backbones; `shown` are the names that have one, so that those that went SERVE no more."""
    await host.set_ready(shown - set(health), ready=False)
    for ready in (False, True):
        await host.set_ready([name for name, answers in health.items() if answers is ready], ready=ready)
    shown |= set(health)


@contextlib.asynccontextmanager
async def following_catalog(
    host: Host, every_s: float, refresh: Callable[[], Awaitable[None]], health: Callable[[], Mapping[str, bool]]
) -> AsyncIterator[None]:
    """Meanwhile what is served follows the catalog, and its health is shown."""
    watch = asyncio.create_task(_follow(host, every_s, refresh, health))
    try:
        yield
    finally:
        await cancelled(watch)


async def _follow(
    host: Host, every_s: float, refresh: Callable[[], Awaitable[None]], health: Callable[[], Mapping[str, bool]]
) -> None:
    shown: set[str] = set()
    while True:
        await _show(host, health(), shown)
        await asyncio.sleep(every_s)
        await refresh()


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def drained(host: Host) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await host.drain()


def head_health(answering: Mapping[str, bool]) -> dict[str, bool]:
    return {f"head/{name}": answers for name, answers in answering.items()}


def answering(health: Mapping[str, bool]) -> list[str]:
    return [name for name, answers in health.items() if answers]
