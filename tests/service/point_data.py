"""Drawn figures with known points, as a table, COCO's JSON or YOLO's texts.

A figure has a head (yellow), a foot (blue) and two hands of one colour, of which the left one is left in the picture:
only where a hand lies says which it is.
"""

import json
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("head", "left_hand", "right_hand", "foot")
LINES = (("head", "foot"), ("left_hand", "right_hand"))
_COLOURS = ("yellow", "lime", "lime", "blue")
_UP = ((0.0, -1.0), (-0.8, -0.1), (0.8, 0.1), (0.0, 1.0))  # in lengths of the body
_HALF = ("train", "train", "train", "val", "test")

Figure = tuple[Image.Image, np.ndarray]


def figure(number: int, size: tuple[int, int] = (120, 90)) -> Figure:
    """A picture, and its points float64 (4, 2) in pixels; another one for each number."""
    random = np.random.default_rng(number)
    length = random.uniform(0.28, 0.38) * min(size)
    middle = np.array(size) / 2 + random.uniform(-0.06, 0.06, 2) * size
    turn = math.radians(random.uniform(-15, 15))
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    points = middle + length * np.array(_UP) @ rotation.T  # (4, 2)
    pixels = random.integers(60, 110, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    index = {name: at for at, name in enumerate(NAMES)}
    for start, end in LINES:
        draw.line([tuple(points[index[start]]), tuple(points[index[end]])], "white", 3)
    for (x, y), colour in zip(points, _COLOURS, strict=True):
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)
    return picture, points


def figures(count: int) -> list[tuple[Figure, str]]:
    """With the split of each."""
    return [(figure(number), _HALF[number % len(_HALF)]) for number in range(count)]


def as_table(folder: Path, count: int) -> Path:
    header = ",".join(["file", "split", *(f"{name}_{axis}" for name in NAMES for axis in "xy")])
    rows = [header]
    for number, ((picture, points), split) in enumerate(figures(count)):
        picture.save(folder / f"{number}.png")
        rows.append(",".join([f"{number}.png", split, *(f"{value:.2f}" for value in points.ravel())]))
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "points.json").write_text(json.dumps({"skeleton": LINES, "distance": ["head", "foot"]}))
    return folder


def as_coco(folder: Path, count: int) -> Path:
    """Hands of every third figure are hidden."""
    index = {name: at + 1 for at, name in enumerate(NAMES)}
    category = {"id": 1, "name": "figure", "keypoints": NAMES, "skeleton": [[index[a], index[b]] for a, b in LINES]}
    for split in sorted(set(_HALF)):
        document = {"images": [], "annotations": [], "categories": [category]}
        (folder / "images" / split).mkdir(parents=True)
        for number, ((picture, points), own) in enumerate(figures(count)):
            if own != split:
                continue
            name = f"images/{split}/{number}.png"
            picture.save(folder / name)
            seen = [2, 1, 1, 2] if number % 3 == 0 else [2] * 4
            flat = [value for point, each in zip(points, seen, strict=True) for value in (*map(float, point), each)]
            low, high = points.min(axis=0) - 5, points.max(axis=0) + 5
            box = [*map(float, low), *map(float, high - low)]
            size = {"width": picture.width, "height": picture.height}
            document["images"].append({"id": number, "file_name": name, **size})
            document["annotations"].append(
                {"id": number, "image_id": number, "category_id": 1, "bbox": box, "keypoints": flat}
            )
        (folder / f"{split}.json").write_text(json.dumps(document))
    return folder


def as_yolo(folder: Path, count: int) -> Path:
    for number, ((picture, points), split) in enumerate(figures(count)):
        size = np.array(picture.size)
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"images/{split}/{number}.png")
        low, high = points.min(axis=0) - 5, points.max(axis=0) + 5
        words = ["0", *((low + high) / 2 / size), *((high - low) / size)]
        words += [value for point in points / size for value in (*point, 2)]
        (folder / f"labels/{split}/{number}.txt").write_text(" ".join(map(str, words)) + "\n")
    described = ["train: images/train", "val: images/val", "test: images/test", "names: [figure]"]
    described += ["kpt_shape: [4, 3]", "flip_idx: [0, 2, 1, 3]", f"kpt_names: [{', '.join(NAMES)}]"]
    (folder / "data.yaml").write_text("\n".join(described) + "\n")
    return folder
