"""The port to whoever embeds pictures, and the spaces that heads embed into."""

import io
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from trunkline.core.errors import SpaceMismatchError, TrunklineError, WrongTaskError
from trunkline.core.exchange import HeadInfo, HeadRunner
from trunkline.core.results import Embedding, Result
from trunkline.galleries.store import Record


@dataclass(frozen=True)
class ServedHead:
    """A version of a head, and who runs it."""

    info: HeadInfo
    runner: HeadRunner


class Embedder(Protocol):
    """Asks the heads that are served, wherever they are."""

    def head(self, name: str) -> ServedHead:
        """The version that NAME (the default one), NAME/VERSION or NAME@ALIAS means.

        Raises NotFoundError, ServiceUnavailableError.
        """
        ...

    async def ask(self, head: ServedHead, image: bytes, timeout_s: float) -> Result:
        """What it answers about an encoded picture. Raises what the backbone and the head raise."""
        ...


class Spaces:
    """Embeds, and knows of each version of a head which space it embeds into."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[tuple[str, str, str], Embedding] = {}

    async def embed(self, head: str, image: bytes, timeout_s: float) -> Embedding:
        """Of an encoded picture. Raises WrongTaskError for a head that answers none, and what the head raises."""
        served = self._embedder.head(head)
        found = embedding_of(served.info, await self._embedder.ask(served, image, timeout_s))
        self._known.setdefault(_key(served.info), found)
        return found

    async def of(self, head: str, timeout_s: float) -> Embedding:
        """An embedding into the space of a head, of whatever picture. Raises as embed() does."""
        known = self._known.get(_key(self._embedder.head(head).info))
        return known or await self.embed(head, _gray(), timeout_s)

    async def name(self, head: str, timeout_s: float) -> str:
        """Id of that space; "" where it cannot be had now."""
        try:
            return (await self.of(head, timeout_s)).space
        except TrunklineError:
            return ""


def embedding_of(info: HeadInfo, result: Result) -> Embedding:
    """Raises WrongTaskError for what is none."""
    if not isinstance(result, Embedding):
        raise WrongTaskError(
            f"head {info.name!r} does {info.task} and answers no embedding: name a similarity head",
            head=info.name,
            task=info.task,
        )
    return result


def check_space(record: Record, embedding: Embedding) -> None:
    """Raises SpaceMismatchError where a vector is of another space than those of a gallery."""
    gallery = record.gallery
    if embedding.space != gallery.space:
        raise SpaceMismatchError(
            f"gallery {gallery.name!r} has vectors of space {gallery.space!r}, this is one of {embedding.space!r}: "
            f"re-embed the gallery (trunkline gallery reembed {gallery.name}), or go back to the version of head "
            f"{gallery.head!r} that made it",
            gallery=gallery.name,
            first_space=gallery.space,
            second_space=embedding.space,
        )


def _key(info: HeadInfo) -> tuple[str, str, str]:
    return info.name, info.version, info.digest


def _gray() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "PNG")
    return buffer.getvalue()
