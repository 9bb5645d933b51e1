"""The nearest images, and the nearest classes by mean embedding."""

import time
from dataclasses import replace

import numpy as np

from trunkline.core.galleries import SearchBy, SearchResult, match, result_of
from trunkline.galleries.collection import Collection
from trunkline.galleries.items import ItemStore
from trunkline.galleries.vectors import distances


def search(
    collection: Collection, items: ItemStore, query: np.ndarray, count: int, by: SearchBy, threshold: float | None
) -> SearchResult:
    """The nearest to a unit vector (D,) of the gallery's space, best first; beyond `threshold` they are rejected.

    threshold: in place of the gallery's own; None leaves that. Raises ServiceUnavailableError, and
    GenerationGoneError where the gallery has other vectors by now.
    """
    started_at = time.perf_counter()
    if threshold is None:
        threshold = collection.record.gallery.threshold
    if by is SearchBy.CLASSES:
        found = nearest_classes(collection, query, count, threshold)
    else:
        found = _nearest_images(collection, items, query, count, threshold)
    return replace(found, search_ms=(time.perf_counter() - started_at) * 1000)


def nearest_classes(collection: Collection, query: np.ndarray, count: int, threshold: float | None) -> SearchResult:
    """Classes by the distance of their normalised mean; always exact."""
    means = collection.means
    away = distances(means.vectors, query)  # (C,)
    best = np.argsort(away, kind="stable")[:count]
    calibration = collection.record.calibration
    found = [match("", means.labels[row], float(away[row]), calibration, means.counts[row]) for row in map(int, best)]
    return result_of(found, threshold, exact=True)


def _nearest_images(
    collection: Collection, items: ItemStore, query: np.ndarray, count: int, threshold: float | None
) -> SearchResult:
    record, exact = collection.record, collection.exact
    numbers = [int(number) for number in collection.nearest(query, count)]
    hits = list(items.hits(record.number, record.generation, numbers).values())
    if len(hits) < min(count, len(numbers)):
        collection.catch_up()  # many are gone: here, or the whole generation
        numbers = [int(number) for number in collection.nearest(query, count)]
        hits = list(items.hits(record.number, record.generation, numbers).values())
    if not hits:
        return result_of([], threshold, exact=exact)
    # The index only proposes; the order is that of the stored vectors.
    away = distances(np.stack([hit.vector for hit in hits]), query)  # (N,)
    found = [
        match(hits[row].key, hits[row].label, float(away[row]), record.calibration)
        for row in map(int, np.argsort(away, kind="stable")[:count])
    ]
    return result_of(found, threshold, exact=exact)
