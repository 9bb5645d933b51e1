"""The client of galleries, for plain code.

with GalleryClient("127.0.0.1:8500") as galleries:
    galleries.create("pets", head="pets")
    for answer in galleries.add("pets", [GalleryImage("beagle.jpg", "beagle")]):
        print(answer.id, answer.status or answer.error)
    print(galleries.search("pets", "dog.jpg").matches)
"""

# From galleries_aio.py, by python -m docs.generate: change that one.

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

import grpc

from trunkline.api.vision.v1 import gallery_service_pb2 as pb
from trunkline.api.vision.v1.gallery_service_pb2_grpc import GalleryServiceStub
from trunkline.client.connection import DEFAULT_TARGET, Credentials, open_sync
from trunkline.client.encode import ImageLike
from trunkline.client.galleries_calls import (
    AddAnswer,
    GalleryImage,
    add_answer,
    add_request,
    create_request,
    explained,
    search_request,
)
from trunkline.core.galleries import Gallery, SearchBy, SearchResult
from trunkline.core.results import Embedding
from trunkline.serving.wire_galleries import gallery_from_pb, search_from_pb

Request = TypeVar("Request")
Response = TypeVar("Response")


class GalleryClient:
    """A connection to a gateway at HOST:PORT; made when it is first used. May be shared between threads.

    Every method raises ServiceError where the call fails, UnreachableError where nothing answers.
    """

    def __init__(
        self, target: str = DEFAULT_TARGET, timeout_s: float = 30.0, credentials: Credentials | None = None
    ) -> None:
        """`timeout_s` is for each call but add(). credentials: those of the environment where none are given."""
        self.target = target
        self._timeout_s = timeout_s
        self._channel = open_sync(target, credentials)
        self._stub = GalleryServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. Calls in flight are cancelled."""
        self._channel.close()

    def create(
        self, gallery: str, head: str, threshold: float | None = None, *, keep_images: bool = False
    ) -> Gallery:
        """A new gallery in the space of a head; the one of this name where it has the same settings.

        threshold: largest distance at which something counts as known; the head's calibrated one where it is None.
        keep_images: keep the pictures too, so that it can be re-embedded.
        """
        request = create_request(gallery, head, threshold, keep_images)
        return gallery_from_pb(self._call(self._stub.CreateGallery, request).gallery)

    def get(self, gallery: str) -> Gallery:
        """The gallery of this name. Raises ServiceError with code NOT_FOUND where there is none."""
        request = pb.GetGalleryRequest(gallery=gallery)
        return gallery_from_pb(self._call(self._stub.GetGallery, request).gallery)

    def list(self) -> Iterator[Gallery]:
        """All galleries, in order of name."""
        request = pb.ListGalleriesRequest()
        while True:
            page = self._call(self._stub.ListGalleries, request)
            for each in page.galleries:
                yield gallery_from_pb(each)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def delete(self, gallery: str) -> None:
        """Remove a gallery with all of its images."""
        self._call(self._stub.DeleteGallery, pb.DeleteGalleryRequest(gallery=gallery))

    def add(self, gallery: str, images: Iterable[GalleryImage]) -> Iterator[AddAnswer]:
        """Add images, many in flight: each one's answer, in the order in which they are stored.

        An image that cannot be added costs its own answer. Where the call fails, what was not answered may be sent
        again: an image that is there is not added twice. Raises what reading `images` and encode_image raise.
        """
        failed: list[Exception] = []

        def requests() -> Iterator[pb.AddImagesRequest]:
            try:
                for image in images:
                    yield add_request(gallery, image)
            except Exception as error:  # gRPC would hide it
                failed.append(error)

        call = self._stub.AddImages(requests())
        try:
            for message in call:
                yield add_answer(message)
        except grpc.RpcError as error:
            raise explained(error, self.target, self._timeout_s) from None
        finally:
            call.cancel()
        if failed:
            raise failed[0]

    def remove(self, gallery: str, ids: Sequence[str]) -> tuple[int, Sequence[str]]:
        """Remove at most 1,000 images: how many there were, and the ids of which there was none."""
        found = self._call(self._stub.DeleteImages, pb.DeleteImagesRequest(gallery=gallery, ids=ids))
        return found.deleted, tuple(found.missing)

    def search(
        self,
        gallery: str,
        query: ImageLike | Embedding,
        k: int = 10,
        by: SearchBy | str = SearchBy.CLASSES,
        threshold: float | None = None,
    ) -> SearchResult:
        """The nearest classes, by the mean embedding of their images, or the nearest images ("images").

        threshold: in place of the gallery's. Raises also what encode_image raises.
        """
        request = search_request(gallery, query, k, by, threshold)
        return search_from_pb(self._call(self._stub.SearchGallery, request))

    def reembed(self, gallery: str, head: str = "") -> Gallery:
        """Begin to embed all images anew, by another head where one is named; get() tells how far it is."""
        request = pb.ReembedGalleryRequest(gallery=gallery, head=head)
        return gallery_from_pb(self._call(self._stub.ReembedGallery, request).gallery)

    def cancel_reembedding(self, gallery: str) -> Gallery:
        """Stop that; the gallery stays as it is."""
        request = pb.CancelReembeddingRequest(gallery=gallery)
        return gallery_from_pb(self._call(self._stub.CancelReembedding, request).gallery)

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request) -> Response:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise explained(error, self.target, self._timeout_s) from None
