"""The 71 awkward files of the data set, decoded or refused as its manifest expects.

Where we answer "either" in one way, and where we expect more or less than the manifest, it is said here.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trunkline.core.errors import ImageTooLargeError, InvalidImageError
from trunkline.core.images import EncodedImage, decode_image

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

FOLDER = Path(os.environ.get("TRUNKLINE_DATASETS") or "/nowhere") / "awkward"
TOLERANCE = 6

# "either" leaves it to the documented formats and the decoder. What ours does:
EITHER = {
    "photo.avif": "decode",  # AVIF is documented
    "rotated_irot1_imir0.avif": "decode",  # its rotation and mirror boxes are applied
    "photo.heif": "reject",  # HEIF is not documented: its decoder is under the LGPL, its codec under patents
    "pngsuite_xcsn0g01.png": "decode",  # only the checksum of the pixels is wrong; Pillow does not check it
    "bit_flips.jpg": "decode",  # visibly damaged but whole
    "unknown_compression_method.png": "reject",  # Pillow reads no PNG whose profile it cannot unpack
}
# ICC profiles are not applied: models are trained on pictures without colour management, and it would take longer
# than the decode. So xyb_icc_required.jpg comes out in false colours (its manifest has no colours to expect) and
# display_p3.png in its stored numbers.


def entries() -> list:
    if not (FOLDER / "manifest.json").is_file():
        reason = "needs real data: set TRUNKLINE_DATASETS to the folder of data sets that has awkward/"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="awkward")]
    files = json.loads((FOLDER / "manifest.json").read_text())["files"]
    return [pytest.param(entry, id=Path(entry["file"]).name) for entry in files]


ENTRIES = entries()
needs_files = pytest.mark.skipif(len(ENTRIES) == 1, reason="set TRUNKLINE_DATASETS to the folder of data sets")


@needs_files
def test_the_set_is_whole_and_every_either_is_decided():
    expected = {entry.id: entry.values[0]["expect"]["action"] for entry in ENTRIES}
    assert len(expected) == 71
    assert {name for name, action in expected.items() if action == "either"} == set(EITHER)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_awkward_file_is_handled_as_expected(entry):
    path, expect = FOLDER / entry["file"], entry["expect"]
    action = EITHER.get(path.name, expect["action"])
    if action == "decode":
        assert_decodes(path.read_bytes(), expect)
    else:
        with pytest.raises(ImageTooLargeError if action == "too_large" else InvalidImageError) as caught:
            decode_image(path.read_bytes())
        assert "\n" not in caught.value.message


def assert_decodes(data: bytes, expect: dict) -> None:
    image = EncodedImage(data)
    size = expect.get("width", image.width), expect.get("height", image.height)
    assert (image.width, image.height) == size
    picture = image.decode()
    assert picture.mode == "RGB"
    assert picture.size == size
    if "mean_rgb" in expect:
        assert np.abs(mean(picture) - expect["mean_rgb"]).max() <= TOLERANCE
    if "quadrant_mean_rgb" in expect:
        assert np.abs(quadrant_means(picture) - expect["quadrant_mean_rgb"]).max() <= TOLERANCE


def mean(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).mean(axis=(0, 1), dtype=np.float64)


def quadrant_means(picture: Image.Image) -> np.ndarray:
    (w, h), (x, y) = picture.size, (max(1, picture.width // 2), max(1, picture.height // 2))
    left, right, top, bottom = (0, x), (min(x, w - 1), w), (0, y), (min(y, h - 1), h)
    boxes = [(a[0], b[0], a[1], b[1]) for b in (top, bottom) for a in (left, right)]
    return np.array([mean(picture.crop(box)) for box in boxes])


MEASURE = """
import resource, sys, time
from pathlib import Path
from trunkline.core.errors import InvalidRequestError
from trunkline.core.images import decode_image
decode_image(Path(sys.argv[1]).read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began_at = time.process_time()
for path in sys.argv[2:]:
    try:
        decode_image(Path(path).read_bytes())
    except InvalidRequestError:
        continue
    sys.exit(f"{path} was decoded")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time() - began_at)
"""


@needs_files
def test_refusing_takes_neither_memory_nor_time(samples):
    refused = [
        FOLDER / entry.values[0]["file"]
        for entry in ENTRIES
        if EITHER.get(entry.id, entry.values[0]["expect"]["action"]) in ("reject", "too_large")
    ]
    command = [sys.executable, "-c", MEASURE, samples / "coffee.jpg", *refused]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    kib, seconds = map(float, done.stdout.split())
    assert kib < 16 * 1024
    assert seconds < 2
