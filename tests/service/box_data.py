"""A small data set with objects: bright discs and dark squares on crops of the sample photographs, as COCO's JSON."""

import io
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from tests.service.crops import crop

CLASSES = ("disc", "square")
SIDE = 128


def coco_folder(folder: Path, samples: Path, pictures: dict[str, int], *, outlines: bool = True) -> Path:
    """images/ and instances_<split>.json for each split. The first picture of a split has nothing in it."""
    rng = random.Random(7)
    (folder / "images").mkdir(parents=True)
    for split, count in pictures.items():
        found = [_picture(folder, samples, f"{split}{index}.jpg", rng, 1 + index % 3) for index in range(1, count)]
        found.insert(0, _picture(folder, samples, f"{split}0.jpg", rng, 0))
        (folder / f"instances_{split}.json").write_text(json.dumps(_coco(found, outlines=outlines)))
    return folder


def _picture(folder, samples, name, rng, count):
    """The file name and (label, bool mask) of each object."""
    photo = Image.open(io.BytesIO(crop(samples / f"{rng.choice(('coffee', 'chelsea'))}.jpg", rng)))
    picture = photo.convert("RGB").resize((SIDE, SIDE))
    objects = []
    for place in rng.sample(range(4), count):  # one in a quarter, so that none covers another
        label, side = rng.randrange(2), rng.randrange(28, 52)
        left, top = (SIDE // 2 * half + rng.randrange(SIDE // 2 - side + 1) for half in (place % 2, place // 2))
        mask = Image.new("1", (SIDE, SIDE))
        for canvas, fill in ((picture, ("white", "black")[label]), (mask, 1)):
            pen = ImageDraw.Draw(canvas)
            (pen.ellipse, pen.rectangle)[label]((left, top, left + side - 1, top + side - 1), fill=fill)
        objects.append((label, np.asarray(mask)))
    picture.save(folder / "images" / name, quality=95)
    return name, objects


def _coco(pictures, *, outlines):
    annotations = []
    for image, (_, objects) in enumerate(pictures, 1):
        for label, mask in objects:
            y, x = np.nonzero(mask)
            box = [int(x.min()), int(y.min()), int(np.ptp(x) + 1), int(np.ptp(y) + 1)]
            one = {"id": len(annotations) + 1, "image_id": image, "category_id": label + 1, "bbox": box, "iscrowd": 0}
            one["area"] = int(mask.sum())
            if outlines:
                one["segmentation"] = {"size": [SIDE, SIDE], "counts": _runs(mask)}
            annotations.append(one)
    return {
        "images": [
            {"id": image, "file_name": f"images/{name}", "width": SIDE, "height": SIDE}
            for image, (name, _) in enumerate(pictures, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES, 1)],
        "annotations": annotations,
    }


def _runs(mask):
    """COCO's counts: columns first, background first."""
    pixels = mask.ravel(order="F")
    edges = [0, *(np.flatnonzero(np.diff(pixels.astype(np.int8))) + 1).tolist(), pixels.size]
    runs = np.diff(edges).tolist()
    return [0, *runs] if pixels[0] else runs
