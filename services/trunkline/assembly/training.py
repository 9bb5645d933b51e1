"""The training service, by itself or within all in one; its packages are imported where it is made."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trunkline.assembly.databases import shown_health
from trunkline.core.errors import ConfigurationError
from trunkline.core.store import ModelStore
from trunkline.serving.host import Host
from trunkline.serving.reads import in_thread
from trunkline.serving.settings import Settings
from trunkline.serving.store.opening import following, open_store

if TYPE_CHECKING:
    from trunkline.jobs.launcher import Launcher
    from trunkline.jobs.scheduler import Pace

_NEEDS = ("sqlalchemy", "torch")  # the first for the service, the second for its workers
_log = logging.getLogger(__name__)


def missing_packages() -> list[str]:
    """What the train extra would bring; found without an import, since torch is for workers alone."""
    return [name for name in _NEEDS if find_spec(name) is None]


@contextlib.asynccontextmanager
async def training(settings: Settings) -> AsyncIterator[Host]:
    """The training service alone. Ready when it is entered. Raises ConfigurationError where it cannot be run."""
    missing = missing_packages()
    if missing:
        raise ConfigurationError(
            f"training needs {', '.join(missing)}, not installed here: pip install 'trunkline[cpu,train]'"
        )
    if "address" not in settings.model_fields_set:
        settings = settings.model_copy(update={"address": settings.training_address})
    host = Host(settings, "training")
    store = await in_thread(lambda: open_store(settings))
    async with training_within(host, settings, store):
        await host.start()
        await host.ready()
        with following(store, settings.catalog_poll_s):
            try:
                yield host
            finally:
                await host.drain()


def import_beside(settings: Settings) -> None:
    """Begin the imports of training in a thread: they take a third of a second, and loading models holds no lock."""
    if settings.training_jobs and not missing_packages():
        threading.Thread(target=import_module, args=("trunkline.jobs.scheduler",), daemon=True).start()


@contextlib.asynccontextmanager
async def training_if_installed(host: Host, settings: Settings, store: ModelStore) -> AsyncIterator[None]:
    """Add the training service to a host, or leave it out where it cannot be had: serving goes before it."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.training_jobs and not missing_packages():
            try:
                await stack.enter_async_context(training_within(host, settings, store, for_operators=True))
            except ConfigurationError as error:
                _log.warning("no training here: %s", error)
        yield


@contextlib.asynccontextmanager
async def training_within(
    host: Host, settings: Settings, store: ModelStore, *, for_operators: bool = False
) -> AsyncIterator[None]:
    """Add the training service to a host that has not started yet; its workers end before this is left."""
    from trunkline.api.training.v1.training_service_pb2_grpc import add_TrainingServiceServicer_to_server
    from trunkline.database.threads import Threads
    from trunkline.jobs.access import DataAccess
    from trunkline.jobs.database import Database
    from trunkline.jobs.evaluation import Evaluator
    from trunkline.jobs.launcher import TORCHRUN_MODULE, WORKER_MODULE
    from trunkline.jobs.leases import Leases
    from trunkline.jobs.local import cpus_for
    from trunkline.jobs.scheduler import Scheduler
    from trunkline.jobs.servicer import SERVICE_NAME, TrainingServicer
    from trunkline.jobs.store import JobStore

    launcher, pace = _launcher(settings)
    database = Database(settings.training_database)
    threads = Threads(database.what)
    scheduler = Scheduler(
        Leases(database),
        threads,
        launcher,
        max(1, settings.training_jobs),
        _environment(settings, store),
        settings.training_work,
        store.root.absolute(),
        pace,
        module=TORCHRUN_MODULE if settings.training_processes > 1 else WORKER_MODULE,
    )
    evaluator = Evaluator(store.where, cpus_for(settings.training_cores), _environment(settings, store))
    jobs, access = JobStore(database, settings.training_queue), DataAccess.of(settings)
    servicer = TrainingServicer(jobs, threads, evaluator, store, settings.training_work, scheduler.wake, access)
    host.add(
        SERVICE_NAME,
        lambda server: add_TrainingServiceServicer_to_server(servicer, server),
        for_operators=for_operators,
    )
    # Streams end at once and workers end beside the drain, not after it.
    host.before_drain(servicer.stop)
    host.before_drain(scheduler.stop)
    async with shown_health(host, SERVICE_NAME, lambda: threads.run(database.look)):
        running = asyncio.create_task(scheduler.run())
        try:
            yield
        finally:
            scheduler.stop()
            await running
            await threads.close(database.close)


def _launcher(settings: Settings) -> "tuple[Launcher, Pace]":
    from trunkline.jobs.scheduler import Pace

    if settings.training_launcher == "local":
        from trunkline.jobs.local import LocalLauncher

        return LocalLauncher(settings.training_cores), Pace()
    if find_spec("kubernetes") is None:
        raise ConfigurationError(
            "jobs on Kubernetes need its client, not installed here: pip install 'trunkline[cpu,train,kubernetes]'"
        )
    from trunkline.jobs.kubernetes import PACE, KubernetesLauncher

    return KubernetesLauncher(settings), PACE


def _environment(settings: Settings, store: ModelStore) -> dict[str, str]:
    from trunkline.jobs.access import workers_roots

    return {
        "TRUNKLINE_MODELS": store.where,
        "TRUNKLINE_TRAINING_DATABASE": settings.training_database,
        "TRUNKLINE_MODELS_CACHE": str(settings.models_cache.absolute()),
        "TRUNKLINE_TRAINING_WORK": str(settings.training_work.absolute()),
        "TRUNKLINE_TRAINING_CACHE": str(settings.training_cache.absolute()),
        "TRUNKLINE_TRAINING_PROCESSES": str(settings.training_processes),
        "TRUNKLINE_TRAINING_DATA_ROOTS": ",".join(workers_roots(settings)),
        "TRUNKLINE_TRAINING_ANNOTATIONS_MIB": str(settings.training_annotations_mib),
        "TRUNKLINE_LOG_LEVEL": settings.log_level,
        "TRUNKLINE_LOG_FORMAT": settings.log_format,
    }
