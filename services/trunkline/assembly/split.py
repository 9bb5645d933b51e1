"""All roles as local processes under one supervisor: the split form with one command."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trunkline.assembly.ports import check_free, kept_ports
from trunkline.assembly.rest import check_rest
from trunkline.assembly.shared import shared_folder
from trunkline.assembly.training import missing_packages
from trunkline.core.errors import ConfigurationError, ModelInvalidError
from trunkline.core.host_port import parse_host_port
from trunkline.core.repository import Repository
from trunkline.core.tasks import add_folders
from trunkline.serving.ends import EndSignals, fate_of
from trunkline.serving.logs import set_up_logs
from trunkline.serving.parent import told
from trunkline.serving.reads import Reads, in_thread
from trunkline.serving.security.security import Security
from trunkline.serving.settings import Settings
from trunkline.serving.store.opening import open_store

_RESTART_FIRST_S, _RESTART_LONGEST_S = 0.2, 10.0
_HEALTHY_AFTER_S = 30.0
_REST_S = 8.0  # of an end, besides the drain: what a process that hangs leaves itself after 6 is not killed
_CANCELLED_S = 2.0  # for the gateway, after its last calls were given up
_IDLE_S = 10.0  # for a process that nobody calls any more; training ends its workers in this time
_READ_S = 5.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """One process of the split form."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


class Supervisor:
    """Starts the processes, starts again what dies, and stops them from the gateway down."""

    def __init__(self, plans: list[Plan], drain_pause_s: float, drain_s: float) -> None:
        self._plans = plans
        self._pause_s, self._drain_s = drain_pause_s, drain_s
        self._key = secrets.token_hex(32)
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def run(self, stop: asyncio.Event) -> None:
        """Supervise until `stop` is set."""
        keepers = [asyncio.create_task(self._keep(plan)) for plan in self._plans]
        try:
            await stop.wait()
        finally:
            self._stopping = True
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._end_all()

    def kill(self) -> None:
        """End what still runs, at once. From any thread."""
        for process in list(self._processes.values()):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)

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
                env={**os.environ, **plan.environment, **told(port_kept=True, key=self._key)},
                start_new_session=True,  # a Ctrl-C reaches the supervisor alone, which then stops in order
            )
            self._processes[plan.name] = process
            code = await process.wait()
            pause_s = _RESTART_FIRST_S if loop.time() - started_at > _HEALTHY_AFTER_S else pause_s
            _log.error("%s %s: starting it again in %.1f s", plan.name, fate_of(code), pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RESTART_LONGEST_S)

    async def _end_all(self) -> None:
        """The gateway first, whose calls the others answer, then those; each in its time, and all in that of one."""
        began_at = time.monotonic()
        *others, gateway = (plan.name for plan in self._plans)
        all_s = self._pause_s + self._drain_s + _REST_S
        await self._end([gateway], all_s - _REST_S + _CANCELLED_S)
        left_s = began_at + all_s - time.monotonic()
        await self._end(others, min(left_s, self._pause_s + _IDLE_S))
        for name in (name for name in (*others, gateway) if self._runs(name)):
            _log.error("%s did not stop in time: killed", name)
        self.kill()
        await asyncio.gather(*(process.wait() for process in self._processes.values()))

    async def _end(self, names: list[str], within_s: float) -> None:
        running = [self._processes[name] for name in names if self._runs(name)]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        if running:
            await asyncio.wait([asyncio.create_task(each.wait()) for each in running], timeout=within_s)

    def _runs(self, name: str) -> bool:
        process = self._processes.get(name)
        return process is not None and process.returncode is None


async def run_split(settings: Settings) -> None:
    """Run backbone, one head service per task, and the gateway at settings.address, until SIGTERM or SIGINT.

    Raises ConfigurationError where an address of the gateway is taken.
    """
    set_up_logs(settings.log_level, "supervisor", settings.log_format)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    supervisors: list[Supervisor] = []
    EndSignals(
        lambda: loop.call_soon_threadsafe(stop.set),
        settings.end_s + _REST_S,
        last=lambda: _kill_all(supervisors),
    )
    check_rest(settings)
    Security(settings)  # what cannot be used, or may not be reached so, is said once
    tasks = await _unless(stop, in_thread(lambda: _tasks(settings)))
    if tasks is None:
        return
    with shared_folder(settings) as shared, kept_ports(settings.address, 3 + len(tasks)) as addresses:
        if settings.http_address:
            check_free(settings.http_address)
        plans = with_metrics(split_plans(settings, shared, tasks, addresses), settings.metrics_address)
        for plan in plans:
            print(f"trunkline: {plan.name}: serve {' '.join(plan.arguments)}", file=sys.stderr, flush=True)
        supervisors.append(Supervisor(plans, settings.drain_pause_s, settings.drain_s))
        await supervisors[0].run(stop)


def _kill_all(supervisors: Sequence[Supervisor]) -> None:
    for supervisor in supervisors:
        supervisor.kill()


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """What it finds; None where `stop` is set before."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if working.done():
        return working.result()
    working.cancel()
    return None


def split_plans(settings: Settings, shared: str, tasks: Sequence[str], addresses: Sequence[str]) -> list[Plan]:
    """One plan each for the backbone, every task that the repository has heads of, the catalog, training where its
    packages are installed, and the gateway. `shared` is the folder through which features are shared, empty for none.
    `addresses`: of the gateway, then of the others, 3 more than there are tasks.

    The backbone gets the cores; a head service of small heads gets one thread.
    """
    gateway, backbone, catalog, training, *heads = addresses
    where = settings.models if "://" in settings.models else str(Path(settings.models).absolute())
    # TLS is for who calls from outside: the services behind the gateway listen on loopback.
    plain = {
        **dict.fromkeys(("TRUNKLINE_TLS_CERT", "TRUNKLINE_TLS_KEY", "TRUNKLINE_TLS_CLIENT_CA"), ""),
        "TRUNKLINE_ADMIN_ADDRESS": "",
        "TRUNKLINE_AUTH": "keys" if settings.auth else "",  # theirs are known by the key of this supervisor, too
    }
    models = {**plain, "TRUNKLINE_MODELS": where, "TRUNKLINE_MODELS_CACHE": str(settings.models_cache.absolute())}
    features = {**models, "TRUNKLINE_SHARED_MEMORY": shared}
    trains = bool(settings.training_jobs) and not missing_packages()
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
        *([Plan("training", ("training", "--address", training), models)] if trains else []),
        Plan(
            "gateway",
            ("gateway", "--address", gateway),
            {
                "TRUNKLINE_BACKBONE_ADDRESSES": backbone,
                "TRUNKLINE_HEAD_ADDRESSES": ",".join(heads),
                "TRUNKLINE_CATALOG_ADDRESS": catalog,
                "TRUNKLINE_TRAINING_ADDRESS": training,
                "TRUNKLINE_TRAINING_JOBS": str(settings.training_jobs) if trains else "0",
                "TRUNKLINE_HTTP_ADDRESS": settings.http_address,
                "TRUNKLINE_ADMIN_ADDRESS": settings.admin_address,
                "TRUNKLINE_INSECURE": str(int(settings.insecure)),
            },
        ),
    ]


def with_metrics(plans: list[Plan], address: str) -> list[Plan]:
    """The gateway, last of the plans, shows metrics at `address`, the others in their order at the ports above it.

    Port 0 stays: each process then takes a free one and logs it. Raises ConfigurationError where ports end before.
    """
    if not address:
        return plans
    first = parse_host_port(address)
    numbers = [*range(1, len(plans)), 0] if first.port else [0] * len(plans)
    try:
        # As written, so that ports beyond the last one are refused here.
        ports = [str(parse_host_port(f"{first.host}:{first.port + number}")) for number in numbers]
    except ValueError as error:
        raise ConfigurationError(
            f"{address} leaves no ports for the metrics of {len(plans)} processes; choose a lower one"
        ) from error
    return [
        replace(plan, environment={**plan.environment, "TRUNKLINE_METRICS_ADDRESS": port})
        for plan, port in zip(plans, ports, strict=True)
    ]


def _tasks(settings: Settings) -> list[str]:
    """Tasks of the heads to serve, in order. A version that cannot be read, or hangs, costs no other."""
    add_folders(settings.heads_path)
    repository = Repository(open_store(settings).root)
    reads: Reads[set[str]] = Reads("its folder")
    found: set[str] = set()
    for name in settings.heads or repository.folders("head"):
        try:
            found |= reads.take(name, partial(_tasks_of, repository, name), _READ_S)
        except OSError as error:
            _log.error("head %s: %s; its task is served if another head has it", name, error.strerror)
    return sorted(found)


def _tasks_of(repository: Repository, name: str) -> set[str]:
    found = set()
    for version in repository.versions("head", name):
        with contextlib.suppress(ModelInvalidError):
            found.add(repository.head(name, version).manifest.task)
    return found
