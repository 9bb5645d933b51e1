"""What the names of pictures end in: the one list for training, the command line and load tests."""

from typing import Final

PICTURE_SUFFIXES: Final = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".bmp", ".dib", ".gif", ".tif", ".tiff")
)
