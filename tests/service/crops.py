"""Small data sets for training: crops of the sample photographs."""

import io
import random
from pathlib import Path

from PIL import Image

CLASSES = ("camera", "chelsea", "coffee")
PICTURES = {"train": 8, "test": 4}


def class_folders(folder: Path, samples: Path, pictures: dict[str, int] = PICTURES) -> Path:
    """A folder for each split and class. The split "" has none of its own."""
    rng = random.Random(5)
    for split, count in pictures.items():
        for name in CLASSES:
            (folder / split / name).mkdir(parents=True)
            for index in range(count):
                (folder / split / name / f"{index}.jpg").write_bytes(crop(samples / f"{name}.jpg", rng))
    return folder


def crop(photo: Path, rng: random.Random) -> bytes:
    with Image.open(photo) as picture:
        side = int(min(picture.size) * rng.uniform(0.6, 0.9))
        left, top = (rng.randrange(length - side) for length in picture.size)
        buffer = io.BytesIO()
        picture.convert("RGB").crop((left, top, left + side, top + side)).save(buffer, "JPEG")
    return buffer.getvalue()


def linked(folder: Path, models: Path) -> Path:
    """A model folder of its own with the shipped backbones."""
    folder.mkdir()
    (folder / "backbones").symlink_to(models / "backbones")
    return folder
