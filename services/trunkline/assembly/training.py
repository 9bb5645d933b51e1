"""The training service, by itself or within all in one; its packages are imported where it is made."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.util import find_spec

from trunkline.core.errors import ConfigurationError
from trunkline.core.store import ModelStore
from trunkline.serving.host import Host
from trunkline.serving.settings import Settings
from trunkline.serving.store.opening import following, open_store

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
    store = open_store(settings)
    host = Host(settings)
    async with training_within(host, settings, store):
        await host.start()
        await host.ready()
        with following(store, settings.catalog_poll_s):
            try:
                yield host
            finally:
                await host.drain()


@contextlib.asynccontextmanager
async def training_if_installed(host: Host, settings: Settings, store: ModelStore) -> AsyncIterator[None]:
    """Add the training service to a host, or leave it out where it cannot be had: serving goes before it."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.training_jobs and not missing_packages():
            try:
                await stack.enter_async_context(training_within(host, settings, store))
            except ConfigurationError as error:
                _log.warning("no training here: %s", error)
        yield


@contextlib.asynccontextmanager
async def training_within(host: Host, settings: Settings, store: ModelStore) -> AsyncIterator[None]:
    """Add the training service to a host that has not started yet; its workers end before this is left."""
    from trunkline.api.training.v1.training_service_pb2_grpc import add_TrainingServiceServicer_to_server
    from trunkline.jobs.database import Database
    from trunkline.jobs.evaluation import Evaluator
    from trunkline.jobs.leases import Leases
    from trunkline.jobs.local import LocalLauncher, cpus_for
    from trunkline.jobs.scheduler import Scheduler
    from trunkline.jobs.servicer import SERVICE_NAME, TrainingServicer
    from trunkline.jobs.store import JobStore

    database = Database(settings.training_database)
    scheduler = Scheduler(
        Leases(database),
        LocalLauncher(settings.training_cores),
        max(1, settings.training_jobs),
        _environment(settings),
        settings.training_work,
        store.root.absolute(),
    )
    evaluator = Evaluator(store.where, cpus_for(settings.training_cores), _environment(settings))
    servicer = TrainingServicer(JobStore(database), evaluator, store, scheduler.wake)
    host.add(SERVICE_NAME, lambda server: add_TrainingServiceServicer_to_server(servicer, server))
    # Streams end at once and workers end beside the drain, not after it.
    host.before_drain(servicer.stop)
    host.before_drain(scheduler.stop)
    running = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        scheduler.stop()
        await running
        database.close()


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "TRUNKLINE_TRAINING_DATABASE": settings.training_database,
        "TRUNKLINE_MODELS_CACHE": str(settings.models_cache.absolute()),
        "TRUNKLINE_TRAINING_WORK": str(settings.training_work.absolute()),
        "TRUNKLINE_TRAINING_CACHE": str(settings.training_cache.absolute()),
        "TRUNKLINE_LOG_LEVEL": settings.log_level,
    }
