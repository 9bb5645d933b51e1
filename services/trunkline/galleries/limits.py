"""How much may be kept in galleries, and how much memory one takes when it is searched."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from trunkline.core.errors import QuotaError
from trunkline.serving.security.quota import Quota

# Of an image besides vector and picture: its row with id, class and digest, and its place in the indexes.
ROW_BYTES: Final = 512
EXACT_UP_TO: Final = 20_000  # images; a product with so many is as fast as a graph
_GRAPH_ROW_BYTES: Final = 256
_MIB: Final = 1024 * 1024


def _no_quota(identity: str) -> Quota | None:
    return None


@dataclass(frozen=True)
class Limits:
    """galleries: in all; images: of one gallery; kept_bytes: of all vectors and kept pictures of the database.

    memory_bytes: of all galleries that a process has loaded, and so of each of them. quota_of: what one identity may
    have of the galleries that it has made, by its name; None for no more limits.
    """

    galleries: int = 1000
    images: int = 1_000_000
    kept_bytes: int = 16 * 1024 * _MIB
    memory_bytes: int = 1024 * _MIB
    quota_of: Callable[[str], Quota | None] = _no_quota


def memory_of(images: int, classes: int, dimension: int) -> int:
    """Bytes that a gallery takes in memory at most: vectors, sums and means of classes, and a graph beside them."""
    graph = (2 * dimension + _GRAPH_ROW_BYTES) * images if images > EXACT_UP_TO else 0
    return images * (4 * dimension + 9) + classes * 12 * dimension + graph


def too_many_galleries(limit: int) -> QuotaError:
    return QuotaError(
        f"there are {limit} galleries, as many as there may be: delete one, or raise TRUNKLINE_GALLERY_LIMIT",
        limit=limit,
    )


def over_share(identity: str, limit: int, what: str) -> QuotaError:
    """What one identity has made takes as much as it may. what: such as "galleries"."""
    return QuotaError(
        f"{identity!r} has {limit} {what}, as many as it may: delete some, or raise its quota in the access file",
        identity=identity,
        limit=limit,
    )


def too_many_images(name: str, limit: int) -> QuotaError:
    return QuotaError(
        f"gallery {name!r} has {limit} images, as many as it may: remove some, or raise TRUNKLINE_GALLERY_IMAGES",
        gallery=name,
        limit=limit,
    )


def too_much_kept(limit_bytes: int) -> QuotaError:
    return QuotaError(
        f"the galleries keep {limit_bytes // _MIB} MiB, as much as they may: delete images or galleries, or raise "
        "TRUNKLINE_GALLERY_DISK_MIB",
        limit_bytes=limit_bytes,
    )


def too_much_memory(name: str, needed_bytes: int, limit_bytes: int) -> QuotaError:
    return QuotaError(
        f"gallery {name!r} would take {needed_bytes / _MIB:.0f} MiB of memory when it is searched, over the limit of "
        f"{limit_bytes // _MIB}: divide it, or raise TRUNKLINE_GALLERY_MEMORY_MIB",
        gallery=name,
        needed_bytes=needed_bytes,
        limit_bytes=limit_bytes,
    )
