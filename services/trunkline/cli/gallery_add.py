"""Which pictures `trunkline gallery add` means, by which ids and classes, and the way of each to its answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trunkline.cli.interrupts import on_interrupt
from trunkline.cli.picture_bar import PictureBar
from trunkline.cli.pictures import find_pictures
from trunkline.client import AddAnswer, GalleryClient, GalleryImage, ServiceError

_PASSING = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
_TRIES = 3
_NO_TEXT = ServiceError(
    "INVALID_ARGUMENT", "INVALID_REQUEST", "the name is not UTF-8, so it can be no id and no class: rename it"
)


class Picture(NamedTuple):
    """A picture to add. key: its id; label: its class, "" for none."""

    path: Path
    key: str
    label: str


def pictures_of(named: list[Path], label: str | None) -> list[Picture]:
    """Of files and folders. Raises as find_pictures does."""
    return list(dict.fromkeys(picture for each in named for picture in _below(each, label)))


def add_all(
    client: GalleryClient, gallery: str, named: list[Path], label: str | None
) -> list[tuple[Path, AddAnswer]]:
    """Add pictures with a progress bar; what fails for a reason that may pass is tried again.

    One whose id or class is no text is left out, with an error as its answer.
    """
    found = pictures_of(named, label)
    answered = {each: AddAnswer(-1, each.key, error=_NO_TEXT) for each in found if not _is_text(each)}
    left = [each for each in found if each not in answered]

    def how_far() -> str:
        there = sum(answer.error is None for answer in answered.values())
        return f"stopped: {there} of {len(found)} pictures are in the gallery; the same command adds the rest"

    with on_interrupt(how_far), PictureBar(len(found), len(answered)) as bar:
        for attempt in range(1, _TRIES + 1):
            sent = left
            for answer in client.add(gallery, _images(sent)):
                passes = answer.error is not None and answer.error.code in _PASSING and attempt < _TRIES
                answered[sent[answer.index]] = answer
                if not passes:
                    bar.step(failed=answer.error is not None)
            left = [each for each in sent if (error := answered[each].error) and error.code in _PASSING]
            if not left:
                break
    return [(picture.path, answer) for picture, answer in answered.items()]


def _is_text(picture: Picture) -> bool:
    try:
        f"{picture.key}{picture.label}".encode()
    except UnicodeEncodeError:
        return False
    return True


def _images(pictures: list[Picture]) -> Iterator[GalleryImage]:
    for picture in pictures:
        yield GalleryImage(picture.path, picture.label, picture.key)


def _below(named: Path, label: str | None) -> Iterator[Picture]:
    if not named.is_dir():
        yield Picture(named, named.name, label or "")
        return
    for path in find_pictures([named]):
        below = path.relative_to(named)
        folder = below.parts[0] if len(below.parts) > 1 else ""
        yield Picture(path, below.as_posix(), folder if label is None else label)
