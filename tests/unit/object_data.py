"""Small data sets with objects, made for the tests in COCO's, VOC's and YOLO's layouts from real photographs."""

import json
from pathlib import Path

from PIL import Image

from tests.unit.pictures import encode, turned

SAMPLE = Path(__file__).parents[1] / "samples/chelsea.jpg"
SIZE = (64, 48)


def put(path: Path, number: int = 0, orientation: int = 1) -> Path:
    """A real JPEG of 64x48 pixels, another part of a photograph for each number."""
    with Image.open(SAMPLE) as photo:
        part = photo.convert("RGB").crop((8 * number, 8, 8 * number + SIZE[0], 8 + SIZE[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(part, "JPEG") if orientation == 1 else turned(part, orientation, "JPEG"))
    return path


def image(number: int, name: str, size: tuple[int, int] = SIZE, **more) -> dict:
    return {"id": number, "file_name": name, "width": size[0], "height": size[1], **more}


def annotation(number: int, image_id: int, bbox=(10, 10, 20, 16), category: int = 7, **more) -> dict:
    return {"id": number, "image_id": image_id, "category_id": category, "bbox": list(bbox), "iscrowd": 0, **more}


CATEGORIES = [{"id": 9, "name": "dog"}, {"id": 7, "name": "cat"}]


def write_coco(path: Path, images: list[dict], annotations: list[dict], categories=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lists = {"images": images, "annotations": annotations, "categories": categories or CATEGORIES}
    path.write_text(json.dumps(lists))
    return path


def coco(root: Path, *annotations: dict, images=None, **more) -> Path:
    """Pictures 1 and 2 in train.json, with these annotations or one of either class."""
    for number in (1, 2):
        put(root / f"images/{number}.jpg", number)
    given = list(annotations) or [annotation(1, 1), annotation(2, 2, category=9)]
    write_coco(root / "train.json", images or [image(n, f"images/{n}.jpg") for n in (1, 2)], given, **more)
    return root


def voc_object(name: str, sides: tuple[float, ...], difficult: int = 0) -> str:
    box = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(("xmin", "ymin", "xmax", "ymax"), sides, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{box}</bndbox></object>"


def write_voc(path: Path, filename: str, *objects: str, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    declared = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    path.write_text(f"<annotation><filename>{filename}</filename>{declared}{''.join(objects)}</annotation>")
    return path


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path
