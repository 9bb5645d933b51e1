"""A damaged TIFF costs one line of the log, and nothing on standard error."""

import contextlib
import logging
import random

import pytest
from PIL import Image

from tests.unit.pictures import encode
from trunkline.core.errors import InvalidImageError
from trunkline.core.images import EncodedImage


def damaged_fax(form: str, hits: int = 3000) -> bytes:
    rng = random.Random(7)
    data = bytearray(encode(Image.effect_noise((800, 4000), 90).convert("1"), "TIFF", compression=form))
    for _ in range(hits):
        data[rng.randrange(len(data) // 4, len(data) * 3 // 4)] = rng.randrange(256)
    return bytes(data)


def read(data: bytes) -> None:
    with contextlib.suppress(InvalidImageError):
        EncodedImage(data).decode()


@pytest.mark.parametrize("form", ["group3", "group4"])
def test_a_damaged_fax_is_one_line_of_the_log(form, capfd, caplog):
    with caplog.at_level(logging.INFO):
        read(damaged_fax(form))
    assert capfd.readouterr().err == ""
    (line,) = caplog.messages
    assert line.startswith("libtiff about a picture: Fax")
    assert len(line) < 300


def test_a_whole_one_is_none(capfd, caplog):
    with caplog.at_level(logging.INFO):
        read(encode(Image.new("1", (500, 500)), "TIFF", compression="group4"))
    assert capfd.readouterr().err == ""
    assert not caplog.messages
