"""All roles as local processes under one supervisor: the split form with one command."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from trunkline.assembly.rest import check_rest
from trunkline.assembly.shared import shared_folder
from trunkline.assembly.training import missing_packages
from trunkline.core.errors import ModelInvalidError
from trunkline.core.repository import Repository
from trunkline.core.store import ModelStore
from trunkline.heads.discovery import add_folders
from trunkline.serving.logs import set_up_logs
from trunkline.serving.settings import Settings
from trunkline.serving.store.opening import open_store

_RESTART_FIRST_S, _RESTART_LONGEST_S = 0.2, 10.0
_HEALTHY_AFTER_S = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """One process of the split form."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Supervisor:
    """Starts the processes, starts again what dies, and stops them from the gateway down."""

    def __init__(self, plans: list[Plan], stop_timeout_s: float) -> None:
        self._plans = plans
        self._stop_timeout_s = stop_timeout_s
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Supervise until `stop` is set."""
        keepers = [asyncio.create_task(self._keep(plan)) for plan in self._plans]
        try:
            await stop.wait()
        finally:
            self._stopping = True
            for plan in reversed(self._plans):  # the gateway is last in the plan, so it drains first
                await self._end(plan.name)
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, plan: Plan) -> None:
        pause_s = _RESTART_FIRST_S
        loop = asyncio.get_running_loop()
        while not self._stopping:
            started_at = loop.time()
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "trunkline.cli.main",
                "serve",
                *plan.arguments,
                env={**os.environ, **plan.environment},
                start_new_session=True,  # a Ctrl-C reaches the supervisor alone, which then stops in order
            )
            self._processes[plan.name] = process
            code = await process.wait()
            if self._stopping:
                return
            pause_s = _RESTART_FIRST_S if loop.time() - started_at > _HEALTHY_AFTER_S else pause_s
            _log.error("%s ended with status %s: starting it again in %.1f s", plan.name, code, pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RESTART_LONGEST_S)

    async def _end(self, name: str) -> None:
        process = self._processes.get(name)
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._stop_timeout_s)
        except TimeoutError:
            _log.error("%s did not stop in %.0f s: killed", name, self._stop_timeout_s)
            process.kill()
            await process.wait()


async def run_split(settings: Settings) -> None:
    """Run backbone, one head service per task, and the gateway at settings.address, until SIGTERM or SIGINT."""
    set_up_logs(settings.log_level, "supervisor", settings.log_format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with shared_folder(settings) as shared:
        plans = with_metrics(split_plans(settings, shared), settings.metrics_address)
        for plan in plans:
            print(f"trunkline: {plan.name}: serve {' '.join(plan.arguments)}", file=sys.stderr, flush=True)
        await Supervisor(plans, settings.drain_pause_s + settings.drain_s + 5).run(stop)


def split_plans(settings: Settings, shared: str) -> list[Plan]:
    """One plan each for the backbone, every task that the repository has heads of, the catalog, training where its
    packages are installed, and the gateway. `shared` is the folder through which features are shared, empty for none.

    The backbone gets the cores; a head service of small heads gets one thread.
    """
    check_rest(settings)
    add_folders(settings.heads_path)
    store = open_store(settings)
    tasks = _tasks(settings, store)
    ports = _free_ports(2 + len(tasks))
    backbone, catalog, *heads = (f"127.0.0.1:{port}" for port in ports)
    models = {"TRUNKLINE_MODELS": store.where, "TRUNKLINE_MODELS_CACHE": str(settings.models_cache.absolute())}
    features = {**models, "TRUNKLINE_SHARED_MEMORY": shared}
    training = _training_plans(settings, models)
    return [
        Plan("backbone", ("backbone", "--address", backbone), features),
        *(
            Plan(
                f"head {task}",
                ("head", "--task", task, "--address", address),
                {**features, "TRUNKLINE_THREADS": "1"},
            )
            for task, address in zip(tasks, heads, strict=True)
        ),
        Plan("catalog", ("catalog", "--address", catalog), models),
        *training,
        Plan(
            "gateway",
            ("gateway", "--address", settings.address),
            {
                "TRUNKLINE_BACKBONE_ADDRESS": backbone,
                "TRUNKLINE_HEAD_ADDRESSES": ",".join(heads),
                "TRUNKLINE_CATALOG_ADDRESS": catalog,
                "TRUNKLINE_TRAINING_ADDRESS": settings.training_address,
                "TRUNKLINE_TRAINING_JOBS": str(settings.training_jobs) if training else "0",
                "TRUNKLINE_HTTP_ADDRESS": settings.http_address,
            },
        ),
    ]


def with_metrics(plans: list[Plan], address: str) -> list[Plan]:
    """The gateway, last of the plans, shows metrics at `address`, the others in their order at the ports above it.

    Port 0 stays: each process then takes a free one and logs it.
    """
    host, _, port = address.rpartition(":")
    if not address:
        return plans
    numbers = [*range(1, len(plans)), 0] if int(port) else [0] * len(plans)
    return [
        replace(plan, environment={**plan.environment, "TRUNKLINE_METRICS_ADDRESS": f"{host}:{int(port) + number}"})
        for plan, number in zip(plans, numbers, strict=True)
    ]


def _tasks(settings: Settings, store: ModelStore) -> list[str]:
    """Tasks of the heads to serve, in order. A version that cannot be read costs no other."""
    repository = Repository(store.root)
    found = set()
    for name in settings.heads or repository.names("head"):
        for version in repository.versions("head", name):
            with contextlib.suppress(ModelInvalidError):
                found.add(repository.head(name, version).manifest.task)
    return sorted(found)


def _training_plans(settings: Settings, environment: Mapping[str, str]) -> list[Plan]:
    if not settings.training_jobs or missing_packages():
        return []
    return [Plan("training", ("training", "--address", settings.training_address), environment)]


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
