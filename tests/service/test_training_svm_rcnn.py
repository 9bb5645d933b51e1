"""A small R-CNN job from pictures to answers, through the serving path, in both forms."""

import io
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.service.crops import crop
from trunkline.client.aio import AsyncClient
from trunkline.core.bundle import HeadManifest, read_bundle
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.progress import Watcher
from trunkline.core.train_request import TrainRequest
from trunkline.testing import serve, serve_split
from trunkline.training.run import Places, train_head

_COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}


@pytest.fixture(scope="module")
def data(samples, tmp_path_factory) -> Path:
    """COCO's layout: crops of photographs with coloured discs."""
    folder, rng = tmp_path_factory.mktemp("discs"), random.Random(5)
    (folder / "images").mkdir()
    for split, count in {"train": 20, "val": 6, "test": 6}.items():
        pictures, objects = [], []
        for index in range(count):
            photo = samples / f"{('coffee', 'chelsea', 'camera')[index % 3]}.jpg"
            picture = Image.open(io.BytesIO(crop(photo, rng))).convert("RGB").resize((192, 160))
            name = f"images/{split}{index}.png"
            for label in range(index % 3):
                side = rng.randint(36, 60)
                x, y = rng.randint(0, 90 - side // 2) + 96 * (label % 2), rng.randint(0, 159 - side)
                x = min(x, 191 - side)
                colour = list(_COLOURS.values())[label]
                ImageDraw.Draw(picture).ellipse((x, y, x + side - 1, y + side - 1), fill=colour)
                objects.append(
                    {
                        "id": len(objects) + 1,
                        "image_id": index + 1,
                        "category_id": label + 1,
                        "bbox": [x, y, side, side],
                        "area": side * side,
                        "iscrowd": 0,
                    }
                )
            picture.save(folder / name)
            pictures.append({"id": index + 1, "file_name": name, "width": 192, "height": 160})
        categories = [{"id": number + 1, "name": colour} for number, colour in enumerate(_COLOURS)]
        document = {"images": pictures, "annotations": objects, "categories": categories}
        (folder / f"instances_{split}.json").write_text(json.dumps(document))
    return folder


async def test_a_small_job_is_trained_served_and_measured(models, data, tmp_path):
    repository = tmp_path / "models"
    (repository / "heads").mkdir(parents=True)
    (repository / "backbones").symlink_to((models / "backbones").resolve())
    request = TrainRequest(
        name="discs",
        data=str(data),
        task="detection",
        mode="features",
        net="svm-rcnn",
        spec=PreprocessSpec(resize="squash", width=192, height=160),
    )
    places = Places(repository, tmp_path / "cache", tmp_path / "work")
    folder = train_head(request, places, Watcher(lambda *words: None, lambda epoch: None))
    manifest = read_bundle(folder).manifest
    assert isinstance(manifest, HeadManifest)
    assert manifest.metrics["ap50"] > 0.5
    assert manifest.settings["net"] == "svm-rcnn"
    assert manifest.settings["windows"] <= 2000
    card = (folder / "CARD.md").read_text()
    assert "Trained on train" in card
    assert "--net svm-rcnn" in card
    picture = (data / "images/test2.png").read_bytes()
    answers = []
    for form in (serve, serve_split):
        async with form(models=repository) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            answers.append((await client.detect(picture, "discs")).result)
    assert answers[0] == answers[1]
    assert answers[0].objects
    scores = [each.label.score for each in answers[0].objects]
    assert np.isfinite(scores).all()
    _serves_without_scikit_learn(folder)


def _serves_without_scikit_learn(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.modules['sklearn'] = sys.modules['torch'] = None;"
        "from trunkline.core.bundle import read_bundle; from trunkline.heads.loading import LoadedHead, load_head;"
        f"sys.exit(not isinstance(load_head(read_bundle(Path({str(folder)!r})), None), LoadedHead))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
