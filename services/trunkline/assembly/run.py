"""Runs one role until a signal ends it."""

import asyncio
import logging
import sys
import time
from contextlib import AbstractAsyncContextManager

from trunkline.assembly import roles
from trunkline.assembly.training import training
from trunkline.core.errors import ConfigurationError
from trunkline.core.tasks import add_folders
from trunkline.serving.ends import EndSignals
from trunkline.serving.host import Host
from trunkline.serving.logs import set_up_logs
from trunkline.serving.settings import Settings

_log = logging.getLogger(__name__)


async def run_role(role: str | None, settings: Settings, *, task: str | None = None) -> None:
    """Serve one role ("gateway", "backbone", "head", "catalog", "training") or, for None, all in one, until SIGTERM.

    Returns after a drain. Raises ConfigurationError, NotFoundError or ModelInvalidError where it cannot start.
    """
    set_up_logs(settings.log_level, role or "trunkline", settings.log_format)
    stop, up = asyncio.Event(), asyncio.Event()
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    assert serving is not None

    def end() -> None:
        stop.set()
        if not up.is_set():
            serving.cancel()  # a start, wherever it may hang

    add_folders(settings.heads_path)
    EndSignals(lambda: loop.call_soon_threadsafe(end), settings.end_s)
    started_at = time.perf_counter()
    try:
        async with _role(role, settings, task) as host:
            up.set()
            took_s = time.perf_counter() - started_at
            text = f"{role or 'all in one'} on {host.address}, up in {took_s:.1f} s{_hint(role, host.address)}"
            print(f"trunkline: {text}", file=sys.stderr, flush=True)
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    _log.info("stopped")


def _hint(role: str | None, address: str) -> str:
    """What to try, of a process that callers talk to."""
    if role not in (None, "gateway"):
        return ""
    target = "" if address == Settings.model_fields["address"].default else f" --target {address}"
    return f"; try: trunkline classify PICTURE{target}"


def _role(role: str | None, settings: Settings, task: str | None) -> AbstractAsyncContextManager[Host]:
    if task is not None and role != "head":
        raise ConfigurationError("--task is for `trunkline serve head`")
    match role:
        case None:
            return roles.all_in_one(settings)
        case "backbone":
            return roles.backbone(settings)
        case "head":
            return roles.heads(settings, task)
        case "gateway":
            return roles.gateway(settings)
        case "catalog":
            return roles.catalog(settings)
        case "training":
            return training(settings)
    raise ConfigurationError(f"there is no role {role!r}; known: gateway, backbone, head, catalog, training")
