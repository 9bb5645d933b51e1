"""Answers about huge pictures take little memory, whatever is asked. Each is made in a process of its own."""

import subprocess
import sys

import pytest

_BEGIN = """
import numpy as np
from pathlib import Path
from types import SimpleNamespace
from trunkline.core.preprocess import Frame, PreprocessSpec
from trunkline.heads.detection.head import Head as Detector
from trunkline.heads.segmentation.head import Head as Segmenter

def memory_kib(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))

def made(kind, labels, golden):
    manifest = SimpleNamespace(name="made", settings={"nms_iou": 1.0}, preprocess=PreprocessSpec(resize="squash"))
    labels = [str(index) for index in range(labels)]
    return kind(SimpleNamespace(labels=labels, path="made", manifest=manifest, read_golden=lambda: ({}, golden)))

def framed(width, height):
    return Frame(width, height, width / 480, 0.0, height / 352, 0.0, 480, 352)

rng = np.random.default_rng(0)
"""
_SEGMENT = """
coarse = rng.normal(size=(1, 12, 22, 30)).astype(np.float32)
outputs = {"logits": coarse.repeat(4, axis=2).repeat(4, axis=3) * 3}
head, params = made(Segmenter, 12, outputs), {"format": "both", "confidence_map": True}
"""
_DETECT = """
count = 100
boxes = np.tile(np.array([[0, 0, 480, 352]], np.float32), (count, 1))[None]
outputs = {"boxes": boxes, "scores": np.full((1, count, 1), 0.9, np.float32)}
outputs["masks"] = rng.random((1, count, 28, 28)).astype(np.float32)
head, params = made(Detector, 1, outputs), {"max_detections": 60}
"""
_END = """
head.decode(outputs, framed(64, 48), params)
before = memory_kib("VmRSS")
head.decode(outputs, framed({width}, {height}), params)
print((memory_kib("VmHWM") - before) // 1024)
"""


@pytest.mark.parametrize("size", [(7000, 7000), (760, 65_000), (65_000, 760)])
@pytest.mark.parametrize(("head", "limit_mib"), [(_SEGMENT, 150), (_DETECT, 150)])
def test_the_memory_of_an_answer_about_49_megapixels_is_bounded(size, head, limit_mib):
    code = _BEGIN + head + _END.format(width=size[0], height=size[1])
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    print(ran.stdout)
    assert int(ran.stdout) < limit_mib
