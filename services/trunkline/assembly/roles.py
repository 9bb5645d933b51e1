"""What each role consists of. All in one is the same parts with the ports joined directly."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence

from google.protobuf.descriptor import ServiceDescriptor

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.catalog.v1.catalog_service_pb2_grpc import add_CatalogServiceServicer_to_server
from trunkline.api.inference.v1.backbone_service_pb2_grpc import add_BackboneServiceServicer_to_server
from trunkline.api.inference.v1.head_service_pb2_grpc import add_HeadServiceServicer_to_server
from trunkline.api.oip.v2.inference_service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1.vision_service_pb2_grpc import add_VisionServiceServicer_to_server
from trunkline.assembly.backbones import open_backbones
from trunkline.assembly.behind import addresses_behind, tls_behind
from trunkline.assembly.following import answering, cancelled, drained, following_catalog, head_health, watch_services
from trunkline.assembly.galleries import galleries_if_installed
from trunkline.assembly.observe import observe_backbones, observe_directory, observe_workers
from trunkline.assembly.rest import check_rest, rest_beside
from trunkline.assembly.shared import arena, arena_reader
from trunkline.assembly.training import import_beside, training_if_installed
from trunkline.backbone import servicer as backbone_servicer
from trunkline.catalog.catalog import Catalog
from trunkline.catalog.servicer import CatalogServicer
from trunkline.core.errors import ConfigurationError
from trunkline.core.exchange import FeatureSource, HeadRunner
from trunkline.core.needed import NeededBackbones
from trunkline.core.repository import Repository
from trunkline.core.store import ModelStore
from trunkline.core.tasks import add_folders, task_names
from trunkline.core.terms import COMMERCIAL
from trunkline.gateway import servicer as gateway_servicer
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory
from trunkline.gateway.forward import Forward
from trunkline.gateway.oip.models import Models
from trunkline.gateway.oip.servicer import SERVICE_NAME as OIP_NAME
from trunkline.gateway.oip.servicer import InferenceServicer
from trunkline.gateway.remote import RemoteBackbones, RemoteHeads
from trunkline.gateway.streams import Streams
from trunkline.heads import servicer as head_servicer
from trunkline.heads.engine import HeadEngine
from trunkline.heads.loading import Need
from trunkline.heads.versions import Choice
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
    host = Host(settings)
    import_beside(settings)
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        backbones = open_backbones(settings, store, workers)
        heads = await in_thread(lambda: _load_heads(settings, store, workers, need=backbones.loaded.need))
        backbones.loaded.follow(heads.backbones)
        await in_thread(backbones.loaded.start)
        observe_workers(host, workers)
        observe_backbones(host, backbones.cache, backbones.batches)
        source = observed_source(traced_source(backbones.source, host.telemetry), host.telemetry)
        directory = _directory(settings, [source], [observed_runner(heads, host.telemetry)])
        observe_directory(host, directory)
        await directory.refresh()
        analyzer = _add_gateway(host, settings, directory)
        await _add_catalog(host, store, for_operators=True)
        async with (
            training_if_installed(host, settings, store),
            galleries_if_installed(host, settings, directory, analyzer),
        ):
            await host.start()

            def health() -> dict[str, bool]:
                return head_health(heads.answering()) | backbones.health()

            async def refresh() -> None:
                await heads.refresh()
                await backbones.loaded.refresh()
                await directory.refresh()

            await host.ready(*answering(health()))
            with following(store, settings.catalog_poll_s):
                async with (
                    rest_beside(host, settings),
                    following_catalog(host, settings.catalog_poll_s, refresh, health),
                    drained(host),
                ):
                    yield host


@contextlib.asynccontextmanager
async def backbone(settings: Settings) -> AsyncIterator[Host]:
    """The backbone service, with one backbone or several. Ready when it is entered."""
    host = Host(settings, "backbone")
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        backbones = open_backbones(settings, store, workers)
        backbones.loaded.follow(NeededBackbones(Repository(store.root), settings.heads).look)
        await in_thread(backbones.loaded.start)
        observe_workers(host, workers)
        observe_backbones(host, backbones.cache, backbones.batches)
        with arena(settings) as shared:
            servicer = backbone_servicer.BackboneServicer(traced_source(backbones.source, host.telemetry), shared)
            host.add(
                backbone_servicer.SERVICE_NAME,
                lambda server: add_BackboneServiceServicer_to_server(servicer, server),
            )
            await host.start()
            await host.ready(*answering(backbones.health()))
            every_s = settings.catalog_poll_s
            with following(store, every_s):
                async with (
                    following_catalog(host, every_s, backbones.loaded.refresh, backbones.health),
                    drained(host),
                ):
                    yield host


@contextlib.asynccontextmanager
async def heads(settings: Settings, task: str | None = None) -> AsyncIterator[Host]:
    """A head service with the heads of one task, or of all. Ready when it is entered."""
    host = Host(settings, "head")
    store = await in_thread(lambda: open_store(settings))
    with _workers(settings) as workers:
        engine = await in_thread(lambda: _load_heads(settings, store, workers, task=task))
        observe_workers(host, workers)
        servicer = head_servicer.HeadServicer(engine, arena_reader(settings), settings.max_image_pixels)
        host.add(head_servicer.SERVICE_NAME, lambda server: add_HeadServiceServicer_to_server(servicer, server))
        await host.start()

        def health() -> dict[str, bool]:
            return head_health(engine.answering())

        await host.ready(*answering(health()))
        with following(store, settings.catalog_poll_s):
            async with following_catalog(host, settings.catalog_poll_s, engine.refresh, health), drained(host):
                yield host


@contextlib.asynccontextmanager
async def catalog(settings: Settings) -> AsyncIterator[Host]:
    """The catalog service. Ready when it is entered."""
    host = Host(settings, "catalog")
    store = await in_thread(lambda: open_store(settings))
    await _add_catalog(host, store)
    await host.start()
    await host.ready()
    with following(store, settings.catalog_poll_s):
        async with drained(host):
            yield host


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Host]:
    """The gateway. It listens when it is entered and gets ready when the services behind it have answered."""
    check_rest(settings)
    async with contextlib.AsyncExitStack() as stack:
        host = Host(settings, "gateway")
        tls = tls_behind(settings, host.security.tls)
        backbone_count, addresses = len(settings.backbone_targets), addresses_behind(settings)
        channels = [
            await stack.enter_async_context(open_channel(address, settings.max_message_bytes, tls))
            for address in addresses
        ]
        (to_catalog, _), (to_training, _), *others = zip(channels, addresses, strict=True)
        sources: list[FeatureSource] = []
        for channel, address in others[:backbone_count]:
            for_large = open_channel(address, settings.max_message_bytes, tls, shared=False)
            await stack.enter_async_context(for_large)
            sources.append(observed_source(RemoteBackbones(channel, address, for_large), host.telemetry))
        runners = [observed_runner(RemoteHeads(*each), host.telemetry) for each in others[backbone_count:]]
        directory = _directory(settings, sources, runners)
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
        # The first call finds a connection: looking up a name may take seconds where an answer of DNS is lost.
        to_catalog.get_state(try_to_connect=True)
        if settings.training_jobs:
            to_training.get_state(try_to_connect=True)
        watch = asyncio.create_task(watch_services(host, directory, settings))
        stack.push_async_callback(cancelled, watch)
        async with rest_beside(host, settings), drained(host):
            yield host


@contextlib.contextmanager
def _workers(settings: Settings) -> Iterator[WorkerPool]:
    workers = WorkerPool(settings.worker_threads, settings.max_queue)
    workers.bound_large(settings.image_limits.decode_bytes)
    try:
        yield workers
    finally:
        workers.close(_LAST_WORK_S)


def _load_heads(
    settings: Settings,
    store: ModelStore,
    workers: WorkerPool,
    *,
    task: str | None = None,
    need: Need | None = None,
) -> HeadEngine:
    add_folders(settings.heads_path)
    if task is not None and task not in task_names():
        raise ConfigurationError(f"there is no task {task!r}; known: {', '.join(task_names())}")
    engine = HeadEngine.load(
        Repository(store.root),
        workers,
        Choice(settings.heads, task, need, settings.execution, settings.terms == COMMERCIAL),
        # A gateway may have sent a call on its way just before it heard of a change.
        grace_s=settings.request_timeout_s + 2 * settings.refresh_s,
    )
    if not any(engine.answering().values()):
        _log.warning("no head can answer: %s has none that fits", settings.models)
    return engine


def _directory(settings: Settings, sources: Sequence[FeatureSource], runners: Sequence[HeadRunner]) -> Directory:
    return Directory(sources, runners, settings.default_heads, commercial=settings.terms == COMMERCIAL)


def _add_gateway(host: Host, settings: Settings, directory: Directory) -> Analyzer:
    analyzer = Analyzer(directory, settings.max_image_bytes)
    streams = Streams(settings.pictures_in_flight, host.budget)
    timeout_s = settings.request_timeout_s
    servicer = gateway_servicer.VisionServicer(analyzer, directory, streams, timeout_s)  # type: ignore[abstract]
    host.add(gateway_servicer.SERVICE_NAME, lambda server: add_VisionServiceServicer_to_server(servicer, server))
    host.when_ready(streams.start)
    host.before_drain(streams.stop)
    inference = InferenceServicer(Models(directory, analyzer, servicer), directory, settings.request_timeout_s)
    host.add(OIP_NAME, lambda server: add_GRPCInferenceServiceServicer_to_server(inference, server))
    host.before_drain(inference.stop)
    return analyzer


async def _add_catalog(host: Host, store: ModelStore, *, for_operators: bool = False) -> None:
    servicer = CatalogServicer(await in_thread(lambda: Catalog(store.root, store.change_catalog)))
    host.add(
        CATALOG.full_name,
        lambda server: add_CatalogServiceServicer_to_server(servicer, server),
        for_operators=for_operators,
    )


def _pass_on(host: Host, service: ServiceDescriptor, forward: Forward) -> None:
    host.add(service.full_name, forward.add_to, for_operators=True)
    host.before_drain(forward.stop)
