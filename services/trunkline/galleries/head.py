"""A gallery as a classification head: a class is the mean embedding of its images."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from trunkline.core.errors import InvalidRequestError, ServiceUnavailableError
from trunkline.core.exchange import AnswerNow, HeadAnswer, HeadInfo, HeadQuestion, Routes
from trunkline.core.explaining import MAP, PlacesAnswer
from trunkline.core.galleries import GalleryMatch
from trunkline.core.params import Option, Params, parse_params
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.text import shown, unknown_name
from trunkline.galleries.embedder import Embedder, ServedHead, check_space, embedding_of
from trunkline.galleries.gallery_cache import GalleryCache
from trunkline.galleries.search import nearest_classes
from trunkline.galleries.store import Record
from trunkline.galleries.vectors import unit

KIND = "gallery"  # gallery:NAME is such a head


class _Parameters(Params):
    top_k: Annotated[int, Option("How many classes to answer.", low=1, high=1000)] = 5
    threshold: Annotated[float | None, Option("Largest distance of a match.", low=0, high=2)] = None


@dataclass(frozen=True)
class GalleryHead:
    """A HeadRunner: the embedding head of a gallery, whose vector becomes classes here."""

    cache: GalleryCache
    record: Record
    behind: ServedHead

    @property
    def arenas(self) -> frozenset[str]:
        return self.behind.runner.arenas

    async def describe(self) -> Sequence[HeadInfo]:
        return [info_of(self.record, self.behind)]

    def quick(self, head: HeadInfo, params: Mapping[str, Any]) -> AnswerNow | None:
        """None: a search is not for the thread of a pass."""
        return None

    async def predict(self, question: HeadQuestion, timeout_s: float | None) -> HeadAnswer:
        """Classes within the threshold, best first; none where the picture is unknown.

        The score is the probability that picture and class show the same thing, or, where the head is not calibrated,
        the cosine similarity, and 0 for those below 0. Raises InvalidRequestError, SpaceMismatchError, and what the
        embedding head raises.
        """
        params = parse_params(_Parameters, question.params)
        asked = replace(question, head=self.behind.info.name, params={})
        answer = await self.behind.runner.predict(asked, timeout_s)
        embedding = embedding_of(self.behind.info, answer.read())
        started_at = time.perf_counter()
        collection = await self.cache.collection(self.record)
        if collection.record.generation != self.record.generation and embedding.space == self.record.gallery.space:
            raise ServiceUnavailableError(f"gallery {self.record.name!r} is changing its vectors: try again")
        check_space(collection.record, embedding)
        threshold = collection.record.gallery.threshold if params.threshold is None else params.threshold
        query = unit(embedding.values, collection.record.gallery.dimension)  # (D,)
        found = await asyncio.to_thread(nearest_classes, collection, query, params.top_k, threshold)
        rows = {label: row for row, label in enumerate(collection.means.labels)}
        labels = tuple(ScoredLabel(rows.get(each.label, -1), each.label, score(each)) for each in found.matches)
        spent_ms = (time.perf_counter() - started_at) * 1000
        return replace(answer, result=Classification(labels), head_ms=answer.head_ms + spent_ms)

    async def explain(
        self, question: HeadQuestion, target: str, reference: Sequence[float], timeout_s: float | None
    ) -> PlacesAnswer:
        """What each place adds to the likeness to a class: its direction is that of the mean of the class.

        Raises as predict does, and InvalidRequestError for a class that is not there.
        """
        means = (await self.cache.collection(self.record)).means
        if not target:
            vectors = {name: value for name, value in question.features.items() if not name.endswith(MAP)}
            asked = replace(question, features=vectors, params={"top_k": 1, "threshold": 2.0})
            found = (await self.predict(asked, timeout_s)).read()
            target = found.labels[0].label if isinstance(found, Classification) and found.labels else ""
        if target not in means.labels:
            raise InvalidRequestError(unknown_name("class", target, means.labels), target=shown(target))
        along = tuple(means.vectors[means.labels.index(target)].tolist())
        asked = replace(question, head=self.behind.info.name, params={})
        return replace(await self.behind.runner.explain(asked, "", along, timeout_s), target=target)

    def is_cheaper_together(self, question: HeadQuestion) -> bool:
        return False

    async def predict_all(
        self, questions: Sequence[HeadQuestion], timeout_s: float | None
    ) -> Sequence[HeadAnswer | Exception]:
        return [await self.predict(question, timeout_s) for question in questions]


def info_of(record: Record, behind: ServedHead) -> HeadInfo:
    """The gallery as it is served: its embedding head, but for the name and what it answers."""
    name = f"{KIND}:{record.name}"
    return replace(behind.info, name=name, task="classification", labels=(), routes=Routes(), variants=())


def find_head(cache: GalleryCache, embedder: Embedder, name: str) -> tuple[HeadInfo, GalleryHead]:
    """Who answers for gallery:NAME. Raises NotFoundError for the gallery or its head, ServiceUnavailableError."""
    record = cache.known(name)
    behind = embedder.head(record.gallery.head)
    return info_of(record, behind), GalleryHead(cache, record, behind)


def score(found: GalleryMatch) -> float:
    """0 to 1."""
    return max(0.0, found.similarity) if found.probability is None else found.probability
