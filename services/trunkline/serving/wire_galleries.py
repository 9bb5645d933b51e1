"""Galleries as messages, and back."""

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.api.vision.v1 import gallery_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.core.galleries import (
    AddStatus,
    Gallery,
    GalleryMatch,
    IndexState,
    Reembedding,
    ReembeddingState,
    SearchBy,
    SearchResult,
)
from trunkline.serving.wire import time_from_pb

_STATUS, _STATE, _BY = "ADD_STATUS_", "REEMBEDDING_STATE_", "SEARCH_BY_"


def gallery_to_pb(gallery: Gallery) -> pb.Gallery:
    created = Timestamp()
    created.FromDatetime(gallery.created_at)
    return pb.Gallery(
        name=gallery.name,
        head=gallery.head,
        space=gallery.space,
        dimension=gallery.dimension,
        threshold=gallery.threshold,
        threshold_is_calibrated=gallery.threshold_is_calibrated,
        keep_images=gallery.keep_images,
        images=gallery.images,
        classes=gallery.classes,
        create_time=created,
        head_space=gallery.head_space,
        index=pb.GalleryIndex(**vars(gallery.index)),
        reembedding=_reembedding_to_pb(gallery.reembedding),
    )


def gallery_from_pb(message: pb.Gallery) -> Gallery:
    """Raises InvalidRequestError for a time or a state that is none."""
    index = message.index
    recall = index.recall_at_10 if index.HasField("recall_at_10") else None
    return Gallery(
        name=message.name,
        head=message.head,
        space=message.space,
        dimension=message.dimension,
        threshold=message.threshold if message.HasField("threshold") else None,
        threshold_is_calibrated=message.threshold_is_calibrated,
        keep_images=message.keep_images,
        images=message.images,
        classes=message.classes,
        created_at=time_from_pb(message.create_time),
        head_space=message.head_space,
        index=IndexState(index.loaded, index.exact, index.images, recall, index.bytes),
        reembedding=_reembedding_from_pb(message.reembedding) if message.HasField("reembedding") else None,
    )


def search_to_pb(found: SearchResult) -> pb.SearchGalleryResponse:
    return pb.SearchGalleryResponse(
        matches=map(_match_to_pb, found.matches),
        nearest_rejected=None if found.nearest_rejected is None else _match_to_pb(found.nearest_rejected),
        threshold=found.threshold,
        exact=found.exact,
        embed_ms=found.embed_ms,
        search_ms=found.search_ms,
    )


def search_from_pb(message: pb.SearchGalleryResponse) -> SearchResult:
    return SearchResult(
        matches=tuple(map(_match_from_pb, message.matches)),
        nearest_rejected=(_match_from_pb(message.nearest_rejected) if message.HasField("nearest_rejected") else None),
        threshold=message.threshold if message.HasField("threshold") else None,
        exact=message.exact,
        embed_ms=message.embed_ms,
        search_ms=message.search_ms,
    )


def by_to_pb(by: SearchBy) -> "pb.SearchBy.ValueType":
    return pb.SearchBy.Value(_BY + by.value)


def by_from_pb(value: "pb.SearchBy.ValueType") -> SearchBy:
    """Raises InvalidRequestError for a number that is none."""
    if value == pb.SEARCH_BY_UNSPECIFIED:
        return SearchBy.CLASSES
    if value not in pb.SearchBy.values():
        raise InvalidRequestError(f"{value} is no SearchBy")
    return SearchBy(pb.SearchBy.Name(value).removeprefix(_BY))


def status_to_pb(status: AddStatus) -> "pb.AddStatus.ValueType":
    return pb.AddStatus.Value(_STATUS + status.value)


def status_from_pb(value: "pb.AddStatus.ValueType") -> AddStatus:
    """Raises InvalidRequestError for a number that is none."""
    try:
        return AddStatus(pb.AddStatus.Name(value).removeprefix(_STATUS))
    except ValueError as error:
        raise InvalidRequestError(f"{value} is no AddStatus") from error


def _match_to_pb(found: GalleryMatch) -> pb.GalleryMatch:
    return pb.GalleryMatch(
        id=found.id,
        class_label=found.label,
        distance=found.distance,
        cosine_similarity=found.similarity,
        probability=found.probability,
        images=found.images,
    )


def _match_from_pb(message: pb.GalleryMatch) -> GalleryMatch:
    return GalleryMatch(
        message.id,
        message.class_label,
        message.distance,
        message.cosine_similarity,
        message.probability if message.HasField("probability") else None,
        message.images,
    )


def _reembedding_to_pb(found: Reembedding | None) -> pb.Reembedding | None:
    if found is None:
        return None
    return pb.Reembedding(**{**vars(found), "state": pb.ReembeddingState.Value(_STATE + found.state.value)})


def _reembedding_from_pb(message: pb.Reembedding) -> Reembedding:
    try:
        state = ReembeddingState(pb.ReembeddingState.Name(message.state).removeprefix(_STATE))
    except ValueError as error:
        raise InvalidRequestError(f"{message.state} is no ReembeddingState") from error
    return Reembedding(state, message.head, message.space, message.done, message.total, message.error)
