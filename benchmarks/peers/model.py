"""A whole classifier, backbone and head in one ONNX file, used as most people use one: Pillow and ONNX Runtime.

The folder of a model holds `model.onnx`, `labels.txt` and `spec.json` (preprocessing). Knows nothing of Trunkline:
the other servers run it in environments of their own.
"""

import io
import json
import os
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when onnxruntime is imported

import numpy as np
import onnxruntime as ort
from PIL import Image


class FullModel:
    """One session with one thread for each call: calls come from as many threads as there are cores."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        self._labels = (folder / "labels.txt").read_text(encoding="utf-8").splitlines()
        self._spec = json.loads((folder / "spec.json").read_text())

    def classify_jpeg(self, data: bytes) -> list[tuple[str, float]]:
        """The five best labels with their scores. Raises what Pillow raises for a picture that it cannot read."""
        return self.classify_pixels(full_decode(data, self._spec))

    def classify_pixels(self, pixels: np.ndarray) -> list[tuple[str, float]]:
        """uint8 (1, H, W, 3) -> the five best labels with their scores."""
        logits = self._session.run(None, {"image": pixels})[0][0]  # (classes,)
        exponentials = np.exp(logits - logits.max())
        scores = exponentials / exponentials.sum()
        return [(self._labels[index], float(scores[index])) for index in np.argsort(-scores)[:5]]


def full_decode(data: bytes, spec: dict[str, object]) -> np.ndarray:
    """Pillow's full decode, resize of the shorter side, centre crop: uint8 (1, H, W, 3)."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = int(str(spec["width"])), int(str(spec["height"]))
    if spec["resize"] == "squash":
        return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))[None]
    side = round(height / float(str(spec["crop_share"])))
    scale = side / min(picture.size)
    picture = picture.resize([round(length * scale) for length in picture.size], Image.Resampling.BICUBIC)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)))[None]
