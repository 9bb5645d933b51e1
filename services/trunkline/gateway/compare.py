"""Two pictures, or a picture and a vector, of one version of a head that embeds."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from trunkline.core.comparing import compare
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.results import Comparison, Embedding
from trunkline.core.tasks import task_answering
from trunkline.gateway.analyzer import Analysis, Analyzer
from trunkline.gateway.directory import HeadEntry
from trunkline.gateway.together import together


@dataclass(frozen=True)
class Compared:
    """analyses: of the one or two pictures."""

    head: str
    version: str
    comparison: Comparison
    analyses: tuple[Analysis, ...]


async def compare_with(
    analyzer: Analyzer, head: str, first: bytes, second: bytes | Embedding, timeout_s: float
) -> Compared:
    """The default head that embeds where `head` is empty.

    Raises SpaceMismatchError where a vector is of another space than the head's, and as Analyzer.ask_one does.
    """
    entry = analyzer.entry_of(task_answering(Embedding).name, head)
    if isinstance(second, Embedding):
        if not second.space:
            raise InvalidRequestError("the vector has no space: send it exactly as Embed answered it")
        done = [await _embed(analyzer, entry, first, timeout_s)]
        other = second
    else:
        done = await together(*(_embed(analyzer, entry, image, timeout_s) for image in (first, second)))
        other = _vector(done[1])
    comparison = compare(_vector(done[0]), other)
    return Compared(head or entry.info.name, entry.info.version, comparison, tuple(done))


def _embed(analyzer: Analyzer, entry: HeadEntry, image: bytes, timeout_s: float) -> Coroutine[Any, Any, Analysis]:
    return analyzer.ask_version(image, entry, {}, timeout_s)


def _vector(done: Analysis) -> Embedding:
    answer = done.outcomes[0].answer
    vector = answer.read() if answer is not None else None
    if not isinstance(vector, Embedding):
        name = done.outcomes[0].head
        raise ModelInvalidError(f"head {name!r} answered with no embedding", head=name)
    return vector
