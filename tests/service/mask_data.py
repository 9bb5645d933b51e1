"""A small data set with masks: crops of the sample photographs, their bright pixels one class, dark ones another."""

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image

from tests.service.crops import crop

VOID = 7  # value of the pixels between bright and dark
CLASSES = "class_id,class_name\n0,dark\n1,bright\n7,void\n"


def mask_folders(folder: Path, samples: Path, pictures: dict[str, int]) -> Path:
    """Folders images/ and masks/ for each split."""
    rng = random.Random(3)
    (folder / "classes.csv").write_text(CLASSES)
    for split, count in pictures.items():
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            data = crop(samples / f"{('coffee', 'chelsea', 'camera')[index % 3]}.jpg", rng)
            (folder / split / "images" / f"{index}.jpg").write_bytes(data)
            Image.fromarray(brightness(data)).save(folder / split / "masks" / f"{index}.png")
    return folder


def brightness(data: bytes) -> np.ndarray:
    """uint8 (H, W): 0 for dark, 1 for bright, VOID in between."""
    gray = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    return np.select([gray < 100, gray > 130], [0, 1], VOID).astype(np.uint8)
