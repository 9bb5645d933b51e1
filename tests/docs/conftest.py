"""One service for all pages, and a folder with the files that their commands name."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT, free_port, start_server


@dataclass(frozen=True)
class Documented:
    """The service that the pages speak of. folder: where their commands run."""

    target: str
    http: str
    folder: Path


@pytest.fixture(scope="session")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Documented]:
    base = tmp_path_factory.mktemp("docs")
    http = f"127.0.0.1:{free_port()}"
    environment = {"TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{base}/galleries.db"}
    with start_server(base / "log", "--http", http, **environment) as server:
        yield Documented(server.address, http, workspace(base / "work"))


def workspace(folder: Path) -> Path:
    """A folder like a clone, with the images that the pages name."""
    folder.mkdir()
    for name in ("models", "tests", "deploy"):
        (folder / name).symlink_to(ROOT / name)
    samples = ROOT / "tests/samples"
    for label, sample in (("espresso", "coffee"), ("tabby", "chelsea")):
        (folder / "photos" / label).mkdir(parents=True)
        with Image.open(samples / f"{sample}.jpg") as image:
            for place in range(12):
                part = image.crop((place * 5, place * 4, image.width - place * 3, image.height - place * 2))
                part.save(folder / f"photos/{label}/{place}.jpg")
    with Image.open(samples / "camera.jpg") as image:
        for name in ("photo.jpg", "smear.jpg", "digit.png", "one.png", "other.png"):
            image.resize((256, 256)).save(folder / name)
    return folder
