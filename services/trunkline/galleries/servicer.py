"""GalleryService: convert, call, convert."""

import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import grpc

from trunkline.api.vision.v1 import gallery_service_pb2 as pb
from trunkline.api.vision.v1 import gallery_service_pb2_grpc as pb_grpc
from trunkline.core.errors import InvalidRequestError, TrunklineError
from trunkline.core.galleries import AddStatus
from trunkline.galleries.opening import Opening
from trunkline.galleries.service import Galleries
from trunkline.galleries.store import no_such_gallery
from trunkline.serving import wire_galleries as convert
from trunkline.serving import wire_results
from trunkline.serving.limits import check_message, short_id
from trunkline.serving.pages import message_page
from trunkline.serving.security.callers import GALLERY, current_caller, finds, require_scope, sees
from trunkline.serving.status import to_head_error

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["GalleryService"].full_name
_MOST, _USUAL = 1000, 10
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_Numbered: TypeAlias = tuple[int, pb.AddImagesRequest]
_log = logging.getLogger(__name__)


class Streams(Protocol):
    """Answers a stream of questions, many in flight, as that of the gateway does."""

    def answer(
        self,
        questions: AsyncIterable[_Numbered],
        work: Callable[[_Numbered, Callable[[pb.AddImagesResponse], None]], Awaitable[None]],
        size_of: Callable[[_Numbered], int],
    ) -> AsyncIterator[pb.AddImagesResponse]: ...


class GalleryServicer(pb_grpc.GalleryServiceServicer):
    def __init__(
        self, opening: Opening, streams: Streams, default_timeout_s: float, find_head: Callable[[str], object]
    ) -> None:
        """find_head: raises NotFoundError for a head that the caller of a call does not see."""
        self._find_head = find_head
        self._opening = opening
        self._streams = streams
        self._default_timeout_s = default_timeout_s

    async def CreateGallery(self, request: pb.CreateGalleryRequest, context: Context) -> pb.CreateGalleryResponse:
        threshold = request.threshold if request.HasField("threshold") else None
        require_scope(f"{GALLERY}{request.gallery}")
        self._check_head(request.head)
        made = await (await self._galleries()).create(
            request.gallery, request.head, threshold, request.keep_images, self._timeout_s(context)
        )
        return pb.CreateGalleryResponse(gallery=convert.gallery_to_pb(made))

    async def GetGallery(self, request: pb.GetGalleryRequest, context: Context) -> pb.GetGalleryResponse:
        found = await (await self._galleries()).get(_named(request.gallery), self._timeout_s(context))
        return pb.GetGalleryResponse(gallery=convert.gallery_to_pb(found))

    async def ListGalleries(self, request: pb.ListGalleriesRequest, context: Context) -> pb.ListGalleriesResponse:
        found = [each for each in await (await self._galleries()).all() if sees(f"{GALLERY}{each.name}")]
        part, token = message_page(
            found, lambda each: each.name, convert.gallery_to_pb, request.page_size, request.page_token
        )
        return pb.ListGalleriesResponse(galleries=part, next_page_token=token)

    async def DeleteGallery(self, request: pb.DeleteGalleryRequest, context: Context) -> pb.DeleteGalleryResponse:
        await (await self._galleries()).delete(_named(request.gallery))
        return pb.DeleteGalleryResponse()

    async def AddImages(
        self, request_iterator: AsyncIterable[pb.AddImagesRequest], context: Context
    ) -> AsyncIterator[pb.AddImagesResponse]:
        async for response in self._streams.answer(_numbered(request_iterator), self._add, _size_of):
            yield response

    async def DeleteImages(self, request: pb.DeleteImagesRequest, context: Context) -> pb.DeleteImagesResponse:
        deleted, missing = await (await self._galleries()).remove(_named(request.gallery), request.ids)
        return pb.DeleteImagesResponse(deleted=deleted, missing=missing)

    async def SearchGallery(self, request: pb.SearchGalleryRequest, context: Context) -> pb.SearchGalleryResponse:
        name, count = _named(request.gallery), request.k if request.HasField("k") else _USUAL
        if not 1 <= count <= _MOST:
            raise InvalidRequestError(f"k is {count}; it must be 1 to {_MOST}")
        threshold = request.threshold if request.HasField("threshold") else None
        by = convert.by_from_pb(request.by)
        galleries = await self._galleries()
        if request.WhichOneof("query") == "image":
            timeout_s = self._timeout_s(context)
            found = await galleries.search_picture(name, request.image.data, count, by, threshold, timeout_s)
        elif request.WhichOneof("query") == "embedding":
            vector = wire_results.embedding_from_pb(request.embedding)
            found = await galleries.search_vector(name, vector, count, by, threshold)
        else:
            raise InvalidRequestError("give an image or an embedding to search for")
        return convert.search_to_pb(found)

    async def ReembedGallery(self, request: pb.ReembedGalleryRequest, context: Context) -> pb.ReembedGalleryResponse:
        galleries = await self._galleries()
        self._check_head(request.head)
        found = await galleries.reembed(_named(request.gallery), request.head, self._timeout_s(context))
        return pb.ReembedGalleryResponse(gallery=convert.gallery_to_pb(found))

    async def CancelReembedding(
        self, request: pb.CancelReembeddingRequest, context: Context
    ) -> pb.CancelReembeddingResponse:
        found = await (await self._galleries()).cancel_reembedding(_named(request.gallery))
        return pb.CancelReembeddingResponse(gallery=convert.gallery_to_pb(found))

    def _check_head(self, name: str) -> None:
        if name and current_caller() is not None:
            self._find_head(name)

    async def _galleries(self) -> Galleries:
        return await self._opening.galleries()

    async def _add(self, question: _Numbered, send: Callable[[pb.AddImagesResponse], None]) -> None:
        index, request = question
        answer = pb.AddImagesResponse(id=short_id(request.id), index=index)
        try:
            check_message(request)
            answer.id, status = await self._added(request)
            answer.status = convert.status_to_pb(status)
        except Exception as error:  # one bad image costs its own answer, never the stream
            if not isinstance(error, TrunklineError):
                _log.error("bug in an image of a stream", exc_info=error)
            answer.error.CopyFrom(to_head_error(error))
        send(answer)

    async def _added(self, request: pb.AddImagesRequest) -> tuple[str, AddStatus]:
        galleries, name = await self._galleries(), _named(request.gallery)
        match request.WhichOneof("content"):
            case "image":
                return await galleries.add_picture(
                    name, request.id, request.class_label, request.image.data, self._default_timeout_s
                )
            case "embedding":
                vector = wire_results.embedding_from_pb(request.embedding)
                return await galleries.add_vector(name, request.id, request.class_label, vector)
        raise InvalidRequestError("give an image or an embedding to add")

    def _timeout_s(self, context: Context) -> float:
        left_s = context.time_remaining()
        return self._default_timeout_s if left_s is None else left_s


def _size_of(question: _Numbered) -> int:
    return question[1].ByteSize()


async def _numbered(requests: AsyncIterable[pb.AddImagesRequest]) -> AsyncIterator[_Numbered]:
    index = 0
    async for request in requests:
        yield index, request
        index += 1


def _named(gallery: str) -> str:
    if not gallery:
        raise InvalidRequestError("name a gallery; ListGalleries lists them")
    if not finds(f"{GALLERY}{gallery}"):
        raise no_such_gallery(gallery)
    return gallery
