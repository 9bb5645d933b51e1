"""Places with a toy similarity head for tests of galleries, and pictures of a few classes."""

from pathlib import Path
from typing import Any

from PIL import Image, ImageEnhance

from tests.service.bundles import linked_repository
from tests.service.embedders import CALIBRATED, add_embedding_head
from tests.service.embedding_head import add_task, add_version
from trunkline.client import GalleryImage


def class_crops(folder: Path, photos: list[Path]) -> Path:
    """Folders of five pictures for each photograph: a class each."""
    for photo in photos:
        (folder / photo.stem).mkdir()
        with Image.open(photo) as picture:
            for number in range(5):
                left = 10 + 6 * number
                crop = picture.convert("RGB").crop((left, left, picture.width - left, picture.height - 10))
                ImageEnhance.Brightness(crop).enhance(0.9 + 0.05 * number).save(folder / photo.stem / f"{number}.jpg")
    return folder


def images_of(crops: Path, names: list[str]) -> list[GalleryImage]:
    """Those of classes, as NAME/NUMBER."""
    return [
        GalleryImage(crops / name / f"{number}.jpg", name, f"{name}/{number}")
        for name in names
        for number in range(5)
    ]


def shades(photo: Path, count: int) -> list[GalleryImage]:
    """So many small pictures of one class, all different."""
    with Image.open(photo) as picture:
        small = picture.convert("RGB").resize((64, 64))
    return [
        GalleryImage(ImageEnhance.Brightness(small).enhance(0.2 + number / count), "thing", f"{number}")
        for number in range(count)
    ]


def make_place(folder: Path, models: Path) -> dict[str, Any]:
    """Settings of a place with two heads, one of them of a task of its own; its repository is below `folder`."""
    repository = linked_repository(models, folder)
    add_version(repository)
    add_embedding_head(repository, "calibrated", 3, CALIBRATED)
    return {
        "models": repository,
        "heads_path": (add_task(folder / "tasks"),),
        "gallery_database": f"sqlite:///{folder}/galleries/galleries.db",
        "gallery_index": folder / "index",
    }


def environment_of(folder: Path, models: Path) -> dict[str, str]:
    """The same for a process."""
    settings = make_place(folder, models)
    return {
        "TRUNKLINE_MODELS": str(settings["models"]),
        "TRUNKLINE_HEADS_PATH": settings["heads_path"][0],
        "TRUNKLINE_GALLERY_DATABASE": settings["gallery_database"],
        "TRUNKLINE_GALLERY_INDEX": str(settings["gallery_index"]),
    }
