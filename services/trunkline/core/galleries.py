"""Galleries as values: what the store keeps, the service answers and the client shows."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from trunkline.core.comparing import probability
from trunkline.core.results import Calibration


class AddStatus(StrEnum):
    """How an image came into a gallery."""

    ADDED = "ADDED"
    PRESENT = "PRESENT"
    REPLACED = "REPLACED"


class SearchBy(StrEnum):
    """What is sought: the nearest images, or the nearest classes by the mean embedding of their images."""

    IMAGES = "IMAGES"
    CLASSES = "CLASSES"


class ReembeddingState(StrEnum):
    """Where a re-embedding stands."""

    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Reembedding:
    """The last re-embedding of a gallery. error: why it failed, "" where it did not."""

    state: ReembeddingState
    head: str
    space: str
    done: int
    total: int
    error: str = ""


@dataclass(frozen=True)
class IndexState:
    """How a gallery is searched in the process that answers.

    recall_at_10: share of the ten nearest images that an approximate index finds, None for an exact one.
    """

    loaded: bool = False
    exact: bool = True
    images: int = 0
    recall_at_10: float | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Gallery:
    """Images kept by their embeddings in one space.

    threshold: largest distance at which something counts as known, 0 to 2; that of the calibration where the gallery
    was given none, None where nothing is rejected. head_space: the space that the head embeds into now, "" where that
    was not asked; where it differs from `space`, no picture is answered until the gallery is re-embedded.
    """

    name: str
    head: str
    space: str
    dimension: int
    threshold: float | None
    threshold_is_calibrated: bool
    keep_images: bool
    images: int
    classes: int
    created_at: datetime
    head_space: str = ""
    index: IndexState = field(default_factory=IndexState)
    reembedding: Reembedding | None = None


@dataclass(frozen=True)
class GalleryMatch:
    """An image or a class. id: of the image, "" for a class; label: "" for an image without one.

    distance: Euclidean, of unit vectors, 0 to 2; similarity: the cosine; probability: that both show the same thing,
    None where the head is not calibrated. images: of the class, 1 for an image.
    """

    id: str
    label: str
    distance: float
    similarity: float
    probability: float | None
    images: int = 1


@dataclass(frozen=True)
class SearchResult:
    """The nearest within the threshold, best first; empty where the query is unknown.

    nearest_rejected: the nearest one, where not even that is within the threshold. exact: whether all were looked at.
    """

    matches: tuple[GalleryMatch, ...]
    nearest_rejected: GalleryMatch | None
    threshold: float | None
    exact: bool
    embed_ms: float = 0.0
    search_ms: float = 0.0


def match(key: str, label: str, distance: float, calibration: Calibration | None, images: int = 1) -> GalleryMatch:
    """A match at this distance between unit vectors."""
    same = None if calibration is None else probability(calibration, distance)
    return GalleryMatch(key, label, distance, 1 - distance * distance / 2, same, images)


def result_of(found: list[GalleryMatch], threshold: float | None, *, exact: bool) -> SearchResult:
    """Matches, best first, with those beyond the threshold rejected."""
    known = tuple(each for each in found if threshold is None or each.distance <= threshold)
    rejected = found[0] if found and not known else None
    return SearchResult(known, rejected, threshold, exact)
