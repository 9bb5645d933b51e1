"""Whether the decode path changes answers. Command: `python -m benchmarks.agreement FOLDER [HEAD]`.

Asks a classifier about every picture of a folder twice: with the pixels of `trunkline.core.preprocess`, and with
those of Pillow's full decode and resize. A folder with labels is measured by `trunkline evaluate`.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.repository import MODELS
from trunkline.core import preprocess as path_of_pixels
from trunkline.core.cpu import available_cores
from trunkline.core.images import Area, EncodedImage
from trunkline.core.preprocess import preprocess
from trunkline.core.repository import Repository
from trunkline.serving.session import load_session

_ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}


def pillow(picture: Image.Image, size: tuple[int, int], kind: str, box: Area) -> Image.Image:
    """What `trunkline.core.resize` does, by Pillow."""
    return picture.resize(size, Image.Resampling[kind.upper()], box=box)


class FullDecode(EncodedImage):
    """A picture that is never decoded at a reduced scale."""

    def decode(self, least: tuple[int, int] | None = None) -> Image.Image:
        return super().decode(None)


class Compared:
    """Logits of one head from both kinds of pixels."""

    def __init__(self, head_name: str) -> None:
        repository = Repository(MODELS)
        head = repository.head(head_name)
        self._spec, self._features = head.manifest.preprocess, list(head.manifest.features)
        self._backbone = load_session(repository.backbone(head.manifest.backbone.name))
        self._head = load_session(head)

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """float32 (classes,)"""
        outputs = self._head.run(self._backbone.run({"image": pixels}, self._features))
        return np.asarray(next(iter(outputs.values())))[0]

    def pixels(self, files: list[Path], kind: type[EncodedImage]) -> list[np.ndarray]:
        """uint8 (1, H, W, 3) each."""
        with ThreadPoolExecutor(available_cores()) as pool:
            return list(pool.map(lambda file: preprocess(kind(file.read_bytes()), self._spec)[0], files))

    def answers(self, pixels: list[np.ndarray]) -> np.ndarray:
        """float32 (N, classes)"""
        with ThreadPoolExecutor(available_cores()) as pool:
            return np.stack(list(pool.map(self.logits, pixels)))


def main() -> None:
    folder, head_name = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "imagenet"
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _ENDINGS)
    compared, ours_resize = Compared(head_name), path_of_pixels.resize
    mine = compared.pixels(files, EncodedImage)
    path_of_pixels.resize = pillow  # type: ignore[assignment]
    theirs = compared.pixels(files, FullDecode)
    path_of_pixels.resize = ours_resize
    ours, full = compared.answers(mine), compared.answers(theirs)  # (N, classes)
    off = np.array([np.abs(a.astype(int) - b).mean() for a, b in zip(mine, theirs, strict=True)])
    differ = ours.argmax(1) != full.argmax(1)
    best = np.sort(full, axis=1)
    print(f"{len(files)} pictures, head {head_name}: mean difference {off.mean():.3f} of 255 levels")
    print(f"top-1 differs in {int(differ.sum())}; two best logits of those apart by", end=" ")
    print(np.round(best[differ, -1] - best[differ, -2], 3).tolist())


if __name__ == "__main__":
    main()
