"""The images of `trunkline demo`, and for each the heads that have something to say about it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from trunkline.client import GalleryClient, GalleryImage

GALLERY = "samples"
_GALLERY_HEAD = "pets"
_PARTS = ((0, 0, 9, 9), (1, 0, 10, 9), (0, 1, 9, 10), (1, 1, 10, 10))  # of a picture, in tenths of its sides
_FOR_PHOTOGRAPHS = ("imagenet", "coco")


@dataclass(frozen=True)
class Scene:
    """An image, the heads to ask about it in one call, and the question in words.

    apart: several of the heads draw on the image, so each gets a copy of its own.
    """

    picture: Path
    heads: tuple[str, ...]
    about: str
    apart: bool = False


_STREET = "street.jpg"
_SAMPLES = (
    ("coffee.jpg", ("imagenet",), "a cup of coffee: which of 1,000 classes?"),
    ("flower.webp", ("flowers102", "imagenet"), "a flower: two classifiers, one pass"),
    ("chelsea.jpg", ("imagenet", f"gallery:{GALLERY}"), "a cat: its class, and the nearest class of a gallery"),
    ("digit.png", ("digit-angle",), "a digit: by how many degrees is it turned?"),
    (_STREET, ("coco", "camvid", "pennfudan"), "a street: things, the class of each pixel, people"),
)


def sample_scenes(folder: Path) -> list[Scene]:
    """Scenes of the sample pictures that are in the folder."""
    scenes = [Scene(folder / name, heads, about, name == _STREET) for name, heads, about in _SAMPLES]
    return [scene for scene in scenes if scene.picture.is_file()]


def scene_of(photo: Path) -> Scene:
    """The scene of a photograph of which nothing is known."""
    return Scene(photo, _FOR_PHOTOGRAPHS, "what is it, and what is in it?")


def with_heads(scenes: Sequence[Scene], served: Collection[str]) -> list[Scene]:
    """Scenes with those of their heads that are served; without the scenes that have none left."""
    kept = [replace(scene, heads=tuple(head for head in scene.heads if head in served)) for scene in scenes]
    return [scene for scene in kept if scene.heads]


def make_gallery(galleries: GalleryClient, scenes: Sequence[Scene]) -> str:
    """A gallery of parts of the photographs, one class for each. Returns its name as a head. Raises ServiceError."""
    with galleries:
        galleries.create(GALLERY, head=_GALLERY_HEAD)
        for answer in galleries.add(GALLERY, _parts(scenes)):
            if answer.error is not None:
                raise answer.error
    return f"gallery:{GALLERY}"


def _parts(scenes: Sequence[Scene]) -> list[GalleryImage]:
    parts = []
    for path in (scene.picture for scene in scenes if scene.picture.suffix != ".png"):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for place in _PARTS:
            box = [round(tenths * side / 10) for tenths, side in zip(place, picture.size * 2, strict=True)]
            part = picture.crop((box[0], box[1], box[2], box[3]))
            parts.append(GalleryImage(part, label=path.stem))
    return parts
