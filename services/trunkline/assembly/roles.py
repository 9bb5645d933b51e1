"""What each role consists of. All in one is the same parts with the ports joined directly."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Mapping

from google.protobuf.descriptor import ServiceDescriptor

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import add_CatalogServiceServicer_to_server
from trunkline.api.inference.v1.backbone_service_pb2_grpc import add_BackboneServiceServicer_to_server
from trunkline.api.inference.v1.head_service_pb2_grpc import add_HeadServiceServicer_to_server
from trunkline.api.oip.v2.inference_service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1.vision_service_pb2_grpc import add_VisionServiceServicer_to_server
from trunkline.assembly.galleries import galleries_if_installed
from trunkline.assembly.observe import observe_backbone, observe_directory, observe_workers
from trunkline.assembly.rest import check_rest, rest_beside
from trunkline.assembly.shared import arena, arena_reader
from trunkline.assembly.training import import_beside, training_if_installed
from trunkline.backbone import servicer as backbone_servicer
from trunkline.backbone.engine import BackboneEngine
from trunkline.catalog.catalog import Catalog
from trunkline.catalog.servicer import CatalogServicer
from trunkline.core.errors import ConfigurationError
from trunkline.core.repository import Repository
from trunkline.core.store import ModelStore
from trunkline.gateway import servicer as gateway_servicer
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory
from trunkline.gateway.forward import Forward
from trunkline.gateway.oip.models import Models
from trunkline.gateway.oip.servicer import SERVICE_NAME as OIP_NAME
from trunkline.gateway.oip.servicer import InferenceServicer
from trunkline.gateway.remote import RemoteBackbone, RemoteHeads
from trunkline.gateway.streams import Streams
from trunkline.heads import servicer as head_servicer
from trunkline.heads.discovery import add_folders, tasks
from trunkline.heads.engine import HeadEngine
from trunkline.heads.stock import Choice
from trunkline.serving.addresses import over_network
from trunkline.serving.channel import open_channel
from trunkline.serving.host import Host
from trunkline.serving.reads import in_thread
from trunkline.serving.settings import Settings
from trunkline.serving.store.opening import following, open_store
from trunkline.serving.telemetry.ports import observed_runner, observed_source, traced_source
from trunkline.serving.workers import WorkerPool

CATALOG = catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"]
TRAINING = training_service_pb2.DESCRIPTOR.services_by_name["TrainingService"]
_LAST_WORK_S = 1.0  # for work whose callers are gone by the end of the drain
_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def all_in_one(settings: Settings) -> AsyncIterator[Host]:
    """Gateway, backbone, heads and catalog in one process; features pass by reference. Ready when it is entered.

    With the train extra, the training service too; its jobs run in processes of their own.
    """
    check_rest(settings)
    import_beside(settings)
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        backbone = await in_thread(lambda: _load_backbone(settings, store, workers))
        heads = await in_thread(lambda: _load_heads(settings, store, workers, backbone_digest=backbone.info.digest))
        host = Host(settings)
        observe_workers(host, workers)
        observe_backbone(host, backbone)
        source = observed_source(traced_source(backbone, host.telemetry), host.telemetry)
        directory = Directory(source, [observed_runner(heads, host.telemetry)], settings.default_heads)
        observe_directory(host, directory)
        await directory.refresh()
        analyzer = _add_gateway(host, settings, directory)
        await _add_catalog(host, store)
        async with (
            training_if_installed(host, settings, store),
            galleries_if_installed(host, settings, directory, analyzer),
        ):
            await host.start()
            await host.ready(*_health_names(heads))
            with following(store, settings.catalog_poll_s):
                async with (
                    rest_beside(host, settings),
                    _following(settings, heads, host, directory),
                    _drained(host),
                ):
                    yield host


@contextlib.asynccontextmanager
async def backbone(settings: Settings) -> AsyncIterator[Host]:
    """The backbone service. Ready when it is entered."""
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        engine = await in_thread(lambda: _load_backbone(settings, store, workers))
        host = Host(settings, "backbone")
        observe_workers(host, workers)
        observe_backbone(host, engine)
        with arena(settings) as shared:
            servicer = backbone_servicer.BackboneServicer(traced_source(engine, host.telemetry), shared)
            host.add(
                backbone_servicer.SERVICE_NAME,
                lambda server: add_BackboneServiceServicer_to_server(servicer, server),
            )
            await host.start()
            await host.ready()
            async with _drained(host):
                yield host


@contextlib.asynccontextmanager
async def heads(settings: Settings, task: str | None = None) -> AsyncIterator[Host]:
    """A head service with the heads of one task, or of all. Ready when it is entered."""
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        engine = await in_thread(lambda: _load_heads(settings, store, workers, task=task))
        host = Host(settings, "head")
        observe_workers(host, workers)
        servicer = head_servicer.HeadServicer(engine, arena_reader(settings), settings.max_image_pixels)
        host.add(head_servicer.SERVICE_NAME, lambda server: add_HeadServiceServicer_to_server(servicer, server))
        await host.start()
        await host.ready(*_health_names(engine))
        with following(store, settings.catalog_poll_s):
            async with _following(settings, engine, host), _drained(host):
                yield host


@contextlib.asynccontextmanager
async def catalog(settings: Settings) -> AsyncIterator[Host]:
    """The catalog service. Ready when it is entered."""
    store = await in_thread(lambda: open_store(settings))
    host = Host(settings, "catalog")
    await _add_catalog(host, store)
    await host.start()
    await host.ready()
    with following(store, settings.catalog_poll_s):
        async with _drained(host):
            yield host


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Host]:
    """The gateway. It listens when it is entered and gets ready when the services behind it have answered."""
    check_rest(settings)
    async with contextlib.AsyncExitStack() as stack:
        addresses = (
            settings.catalog_address,
            settings.training_address,
            settings.backbone_address,
            *settings.head_addresses,
        )
        channels = [
            await stack.enter_async_context(open_channel(address, settings.max_message_bytes))
            for address in addresses
        ]
        (to_catalog, _), (to_training, _), backbone, *heads = zip(channels, addresses, strict=True)
        for_large = open_channel(settings.backbone_address, settings.max_message_bytes, shared=False)
        await stack.enter_async_context(for_large)
        host = Host(settings, "gateway")
        runners = [observed_runner(RemoteHeads(*each), host.telemetry) for each in heads]
        source = observed_source(RemoteBackbone(*backbone, for_large), host.telemetry)
        directory = Directory(source, runners, settings.default_heads)
        observe_directory(host, directory)
        analyzer = _add_gateway(host, settings, directory)
        catalog_name = f"the catalog service at {settings.catalog_address}"
        _pass_on(host, CATALOG, Forward(CATALOG, to_catalog, catalog_name, settings.request_timeout_s))
        if settings.training_jobs:
            # No deadline of our own: an evaluation may take an hour.
            training_name = f"the training service at {settings.training_address}"
            metadata = over_network(settings.address, settings.http_address)
            _pass_on(host, TRAINING, Forward(TRAINING, to_training, training_name, None, metadata))
        await stack.enter_async_context(galleries_if_installed(host, settings, directory, analyzer))
        await host.start()
        watch = asyncio.create_task(_watch(host, directory, settings))
        stack.push_async_callback(_cancelled, watch)
        async with rest_beside(host, settings), _drained(host):
            yield host


async def _watch(host: Host, directory: Directory, settings: Settings) -> None:
    """Make the gateway ready once all have answered, or after the grace what has; then keep it fresh."""
    loop = asyncio.get_running_loop()
    grace_ends = loop.time() + settings.startup_grace_s
    while not directory.complete and not (directory.usable and loop.time() >= grace_ends):
        await directory.refresh()
        await asyncio.sleep(0 if directory.complete else 0.1)
    shown: set[str] = set()
    await _show_heads(host, directory.answering(), shown)
    await host.ready()
    for fault in directory.missing():
        _log.warning("ready without a head service: %s", fault)
    _log.info("ready: %d heads", len(directory.heads()))
    while True:
        await asyncio.sleep(settings.refresh_s)
        await directory.refresh()
        await _show_heads(host, directory.answering(), shown)


async def _show_heads(host: Host, answering: Mapping[str, bool], shown: set[str]) -> None:
    """Health of every head; `shown` are the names that have one, so that those that went are no longer SERVING."""
    for name in shown - set(answering):
        await host.set_ready([f"head/{name}"], ready=False)
    for name, answers in answering.items():
        await host.set_ready([f"head/{name}"], ready=answers)
    shown |= set(answering)


@contextlib.asynccontextmanager
async def _following(
    settings: Settings, engine: HeadEngine, host: Host, directory: Directory | None = None
) -> AsyncIterator[None]:
    """Meanwhile the heads follow the catalog, and so does the directory of a gateway in this process."""
    watch = asyncio.create_task(_follow(settings, engine, host, directory))
    try:
        yield
    finally:
        await _cancelled(watch)


async def _follow(settings: Settings, engine: HeadEngine, host: Host, directory: Directory | None) -> None:
    shown: set[str] = set()
    while True:
        await _show_heads(host, engine.answering(), shown)
        await asyncio.sleep(settings.catalog_poll_s)
        await engine.refresh()
        if directory is not None:
            await directory.refresh()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def _workers(settings: Settings) -> Iterator[WorkerPool]:
    workers = WorkerPool(settings.worker_threads, settings.max_queue)
    workers.bound_large(settings.image_limits.decode_bytes)
    try:
        yield workers
    finally:
        workers.close(_LAST_WORK_S)


@contextlib.asynccontextmanager
async def _drained(host: Host) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await host.drain()


def _load_backbone(settings: Settings, store: ModelStore, workers: WorkerPool) -> BackboneEngine:
    name, _, version = settings.backbone.partition("/")
    if version and not version.isdigit():
        raise ConfigurationError(f"setting TRUNKLINE_BACKBONE: {settings.backbone!r} is not NAME or NAME/VERSION")
    bundle = Repository(store.root).backbone(name, int(version) if version else None)
    return BackboneEngine.load(
        bundle,
        workers,
        settings.image_limits,
        settings.execution,
        cache_bytes=settings.feature_cache_bytes,
        batching=settings.batches,
    )


def _load_heads(
    settings: Settings,
    store: ModelStore,
    workers: WorkerPool,
    *,
    task: str | None = None,
    backbone_digest: str | None = None,
) -> HeadEngine:
    add_folders(settings.heads_path)
    if task is not None and task not in tasks():
        raise ConfigurationError(f"there is no task {task!r}; known: {', '.join(tasks())}")
    engine = HeadEngine.load(
        Repository(store.root),
        workers,
        Choice(settings.heads, task, backbone_digest, settings.execution),
        # A gateway may have sent a call on its way just before it heard of a change.
        grace_s=settings.request_timeout_s + 2 * settings.refresh_s,
    )
    if not any(engine.answering().values()):
        _log.warning("no head can answer: %s has none that fits", settings.models)
    return engine


def _add_gateway(host: Host, settings: Settings, directory: Directory) -> Analyzer:
    analyzer = Analyzer(directory, settings.max_image_bytes)
    streams = Streams(settings.pictures_in_flight, host.budget)
    servicer = gateway_servicer.VisionServicer(analyzer, directory, streams, settings.request_timeout_s)
    host.add(gateway_servicer.SERVICE_NAME, lambda server: add_VisionServiceServicer_to_server(servicer, server))
    host.when_ready(streams.start)
    host.before_drain(streams.stop)
    inference = InferenceServicer(Models(directory, analyzer, servicer), directory, settings.request_timeout_s)
    host.add(OIP_NAME, lambda server: add_GRPCInferenceServiceServicer_to_server(inference, server))
    host.before_drain(inference.stop)
    return analyzer


async def _add_catalog(host: Host, store: ModelStore) -> None:
    servicer = CatalogServicer(await in_thread(lambda: Catalog(store.root, store.change_catalog)))
    host.add(CATALOG.full_name, lambda server: add_CatalogServiceServicer_to_server(servicer, server))


def _pass_on(host: Host, service: ServiceDescriptor, forward: Forward) -> None:
    host.add(service.full_name, forward.add_to)
    host.before_drain(forward.stop)


def _health_names(heads: HeadEngine) -> list[str]:
    return [f"head/{name}" for name, answers in heads.answering().items() if answers]
