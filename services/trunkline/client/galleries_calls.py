"""What both clients of galleries share: requests, answers, errors."""

from dataclasses import dataclass, field
from typing import NamedTuple

import grpc

from trunkline.api.vision.v1 import gallery_service_pb2 as pb
from trunkline.api.vision.v1 import image_pb2
from trunkline.client.encode import ImageLike, encode_image
from trunkline.client.errors import ServiceError, from_head_error, from_rpc_error
from trunkline.core.galleries import AddStatus, SearchBy
from trunkline.core.results import Embedding
from trunkline.serving import wire_results
from trunkline.serving.wire_galleries import by_to_pb, status_from_pb


class GalleryImage(NamedTuple):
    """An image to add: a picture, or a vector of the gallery's space.

    id: unique in the gallery; an image that has it is replaced, and "" takes the SHA-256 of the content. label: its
    class, "" for none.
    """

    content: ImageLike | Embedding
    label: str = ""
    id: str = ""


@dataclass(frozen=True)
class AddAnswer:
    """What became of an image that was to be added: one of `status` and `error` is set. index: in what was given."""

    index: int
    id: str
    status: AddStatus | None = None
    error: ServiceError | None = field(default=None, compare=False)


def create_request(gallery: str, head: str, threshold: float | None, keep_images: bool) -> pb.CreateGalleryRequest:
    return pb.CreateGalleryRequest(gallery=gallery, head=head, threshold=threshold, keep_images=keep_images)


def add_request(gallery: str, image: GalleryImage) -> pb.AddImagesRequest:
    """Raises what encode_image raises."""
    request = pb.AddImagesRequest(gallery=gallery, id=image.id, class_label=image.label)
    if isinstance(image.content, Embedding):
        request.embedding.CopyFrom(wire_results.embedding_to_pb(image.content))
    else:
        request.image.data = encode_image(image.content)
    return request


def add_answer(message: pb.AddImagesResponse) -> AddAnswer:
    if message.WhichOneof("result") == "error":
        return AddAnswer(message.index, message.id, error=from_head_error(message.error))
    return AddAnswer(message.index, message.id, status_from_pb(message.status))


def search_request(
    gallery: str, query: ImageLike | Embedding, k: int, by: SearchBy | str, threshold: float | None
) -> pb.SearchGalleryRequest:
    """Raises what encode_image raises."""
    request = pb.SearchGalleryRequest(gallery=gallery, k=k, by=by_to_pb(SearchBy(by.upper())), threshold=threshold)
    if isinstance(query, Embedding):
        request.embedding.CopyFrom(wire_results.embedding_to_pb(query))
    else:
        request.image.CopyFrom(image_pb2.Image(data=encode_image(query)))
    return request


def explained(error: grpc.RpcError, target: str, timeout_s: float) -> ServiceError:
    """The error of a call; one to a service without galleries says what to do."""
    found = from_rpc_error(error, target, timeout_s)
    if found.code != "UNIMPLEMENTED":
        return found
    text = (
        f"{target} has no galleries: install the gallery extra there (pip install 'trunkline[cpu,gallery]') and set "
        "TRUNKLINE_GALLERY_DATABASE"
    )
    return ServiceError(found.code, "NO_GALLERIES", text, {"target": target})
