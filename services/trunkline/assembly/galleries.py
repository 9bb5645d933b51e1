"""The galleries of a gateway, in both forms; their packages are imported where they are opened."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trunkline.assembly.databases import shown_health
from trunkline.core.exchange import HeadInfo, HeadRunner
from trunkline.core.results import Result
from trunkline.gateway.analyzer import Analyzer
from trunkline.gateway.directory import Directory
from trunkline.gateway.streams import Streams
from trunkline.serving.host import Host
from trunkline.serving.security.callers import GALLERY, as_service, finds
from trunkline.serving.security.quota import Quota
from trunkline.serving.settings import Settings

if TYPE_CHECKING:
    from trunkline.galleries.embedder import ServedHead
    from trunkline.galleries.service import Galleries

_NEEDS = ("sqlalchemy", "usearch")
_FOLLOW_S = 1.0
_IN_FLIGHT = 32  # images of one AddImages, most of which wait for their pass or to be stored


@contextlib.asynccontextmanager
async def galleries_if_installed(
    host: Host, settings: Settings, directory: Directory, analyzer: Analyzer
) -> AsyncIterator[None]:
    """Add GalleryService to a host that has not started yet, and gallery:NAME to its heads; or leave both out.

    Leave it after the host's drain.
    """
    if not settings.gallery_database or any(find_spec(name) is None for name in _NEEDS):
        yield
        return
    from trunkline.api.vision.v1.gallery_service_pb2_grpc import add_GalleryServiceServicer_to_server
    from trunkline.galleries.opening import Opening
    from trunkline.galleries.servicer import SERVICE_NAME, GalleryServicer
    from trunkline.galleries.store import no_such_gallery

    quota_of = host.security.quota_of
    opening = Opening(settings.gallery_database, lambda: _open(settings, directory, analyzer, quota_of))
    streams: Streams = Streams(_IN_FLIGHT, host.budget)
    servicer = GalleryServicer(opening, streams, settings.request_timeout_s, directory.find)
    host.add(SERVICE_NAME, lambda server: add_GalleryServiceServicer_to_server(servicer, server))
    host.when_ready(streams.start)
    host.before_drain(streams.stop)

    def head_of(name: str) -> tuple[HeadInfo, HeadRunner]:
        if not finds(f"{GALLERY}{name}"):
            raise no_such_gallery(name)
        return opening.head(name)

    directory.add_kind("gallery", head_of)
    async with shown_health(host, SERVICE_NAME, opening.look):
        following = asyncio.create_task(opening.follow(_FOLLOW_S))
        try:
            yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await opening.close()


def _open(
    settings: Settings, directory: Directory, analyzer: Analyzer, quota_of: Callable[[str], Quota | None]
) -> "Galleries":
    from trunkline.galleries.database import Database
    from trunkline.galleries.limits import Limits
    from trunkline.galleries.service import Galleries
    from trunkline.galleries.snapshot import Snapshots

    limits = Limits(
        galleries=settings.gallery_limit,
        images=settings.gallery_images,
        kept_bytes=settings.gallery_disk_mib * 1024 * 1024,
        memory_bytes=settings.gallery_memory_mib * 1024 * 1024,
        quota_of=quota_of,
    )
    database = Database(settings.gallery_database)
    return Galleries(database, Snapshots(settings.gallery_index), _Embedder(directory, analyzer), limits)


class _Embedder:
    """The port of galleries to the heads of a gateway."""

    def __init__(self, directory: Directory, analyzer: Analyzer) -> None:
        self._directory = directory
        self._analyzer = analyzer

    def head(self, name: str) -> "ServedHead":
        from trunkline.galleries.embedder import ServedHead

        with as_service():  # who may use a gallery need not see the head that it was made with
            entry = self._directory.find(name)
        self._directory.check(entry)
        return ServedHead(entry.info, entry.runner)

    async def ask(self, head: "ServedHead", image: bytes, timeout_s: float) -> Result:
        done = await self._analyzer.ask_version(image, self._directory.entry(head.info, head.runner), {}, timeout_s)
        answer = done.outcomes[0].answer
        assert answer is not None  # the question was a required one
        return answer.read()
