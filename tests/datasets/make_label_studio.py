"""Makes label-studio/ and label-studio-min/ beside this file, by Label Studio's own converter and packing of brushes.

    python -m venv V; V/bin/pip install label-studio-sdk==2.1.2; V/bin/python make_label_studio.py

Pictures and shapes are generated. truth/ beside each export has the painted areas as they were packed.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image

HERE = Path(__file__).parent
SIZE = WIDTH, HEIGHT = 61, 43
CONFIG = """
<View>
  <Image name="image" value="$image"/>
  <Choices name="weather" toName="image"><Choice value="dry"/><Choice value="wet"/></Choices>
  <BrushLabels name="brush" toName="image"><Label value="leaf"/><Label value="stem"/></BrushLabels>
  <RectangleLabels name="label" toName="image"><Label value="leaf"/><Label value="stem"/></RectangleLabels>
  <PolygonLabels name="polygon" toName="image"><Label value="leaf"/></PolygonLabels>
  <EllipseLabels name="ellipse" toName="image"><Label value="stem"/></EllipseLabels>
</View>
"""


def region(number: int, control: str, kind: str, value: dict) -> dict:
    return {"id": f"r{number}", "from_name": control, "to_name": "image", "type": kind, "origin": "manual",
            "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "value": value}  # fmt: skip


def painted(number: int) -> np.ndarray:
    """uint8 (H, W): 0 or 255; a disc, a ring, and noise that does not pack well."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(rows - 20, columns - 25)
    noise = np.random.default_rng(number).random((HEIGHT, WIDTH)) < 0.5
    chosen = (distance < 15, (distance < 18) & (distance > 9), noise & (columns > 30))[number]
    return (chosen * 255).astype(np.uint8)


def task(number: int, truth: Path) -> dict:
    area = painted(number)
    Image.fromarray(area).save(truth / f"{number}.png")
    brush = {"format": "rle", "rle": mask2rle(area), "brushlabels": [("leaf", "stem")[number % 2]]}
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    ellipse = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 30, "rotation": 0}
    results = [
        region(1, "brush", "brushlabels", brush),
        region(2, "label", "rectanglelabels", box | {"rectanglelabels": ["stem"]}),
        region(3, "polygon", "polygonlabels", {"points": [[5, 5], [50, 5], [5, 50]], "polygonlabels": ["leaf"]}),
        region(4, "ellipse", "ellipselabels", ellipse | {"ellipselabels": ["stem"]}),
        {"id": "c", "from_name": "weather", "to_name": "image", "type": "choices",
         "value": {"choices": [("dry", "wet", "dry")[number]]}},
    ]  # fmt: skip
    annotation = {"id": 10 + number, "result": results, "was_cancelled": False, "completed_by": 1, "lead_time": 9.5,
                  "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    picture = f"/data/upload/1/0a1b2c3d-{number}.png"
    return {"id": number + 1, "data": {"image": picture, "note": "by hand"}, "annotations": [annotation],
            "predictions": [], "file_upload": f"0a1b2c3d-{number}.png"}  # fmt: skip


def main() -> None:
    for name in ("label-studio", "label-studio-min"):
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("data/images", "truth"):
            (folder / part).mkdir(parents=True)
        tasks = [task(number, folder / "truth") for number in range(3)]
        for number in range(3):
            colours = np.random.default_rng(number).integers(0, 256, (4, 6, 3), np.uint8)
            Image.fromarray(colours).resize(SIZE).save(folder / f"data/images/{number}.png")
        if name == "label-studio":
            (folder / "data/project-1.json").write_text(json.dumps(tasks))
            continue
        with tempfile.TemporaryDirectory() as work:
            source = Path(work) / "tasks.json"
            source.write_text(json.dumps(tasks))
            Converter(CONFIG, work).convert_to_json_min(str(source), work, is_dir=False)
            (folder / "data/result.json").write_bytes((Path(work) / "result.json").read_bytes())


if __name__ == "__main__":
    main()
