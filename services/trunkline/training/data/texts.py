"""Texts of a data set in the encodings that people's tools write."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import LARGEST_LIST, line_at, read_annotations
from trunkline.training.data.remarks import Kind, Remarks

_MARKS: Final = (  # the longer ones first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAID: Final = {"utf-32": "UTF-32", "utf-16": "UTF-16", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16"}
_CHINESE: Final = "gb18030"  # holds GB2312
_CHUNK: Final = 1 << 20


def encoding_of(data: bytes, *, whole: bool = True) -> str | None:
    """The name of the encoding, or None where there is doubt. whole: whether the text ends where the bytes do.

    UTF-8, or what a byte order mark says; UTF-16 without one by the zeros in it; GB2312 where all that is no ASCII
    are pairs of bytes that it knows, which texts in the encodings of the West are not.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name if _decodes(data, name, whole) else None
    start = data[:_CHUNK]
    if b"\0" in start:
        odd, even = start[1::2].count(0), start[::2].count(0)
        name = "utf-16-le" if odd > 4 * even else "utf-16-be" if even > 4 * odd else "utf-8"
        return name if _decodes(data, name, whole) else None
    if _decodes(data, "utf-8", whole):
        return "utf-8"
    return _CHINESE if _decodes(data, "gb2312", whole) else None


def _decodes(data: bytes, encoding: str, whole: bool) -> bool:
    """In pieces, so that it takes no memory."""
    decoder, view = codecs.getincrementaldecoder(encoding)(), memoryview(data)
    try:
        for start in range(0, len(view), _CHUNK):
            decoder.decode(view[start : start + _CHUNK])
        decoder.decode(b"", whole)
    except UnicodeDecodeError:
        return False
    return True


def decoded(data: bytes, where: str, remarks: Remarks) -> str:
    """The text. Raises DataInvalidError without the name of the file."""
    encoding = require_encoding(data, where, remarks)
    return data.decode(encoding)


def require_encoding(data: bytes, where: str, remarks: Remarks, *, whole: bool = True) -> str:
    """That of a text, with a remark where it is not UTF-8. Raises DataInvalidError without the name of the file."""
    encoding = encoding_of(data, whole=whole)
    if encoding is None:
        raise DataInvalidError("the text is not UTF-8: save it as UTF-8")
    if not encoding.startswith("utf-8"):
        remarks.read(Kind.ENCODING, where, f"the text is not UTF-8 and is read as {_SAID.get(encoding, 'GB 18030')}")
    return encoding


def read_text(path: Path, where: str, remarks: Remarks, most: int | None = LARGEST_LIST) -> str:
    """Raises DataInvalidError that names the file, with the line where it stops being text."""
    data = read_annotations(path, most)
    try:
        return decoded(data, where, remarks)
    except DataInvalidError as error:
        raise DataInvalidError.at(path, error.message, bad_line(data)) from error


def bad_line(data: bytes) -> int | None:
    """The line, counted from 1, of the first byte that is not UTF-8."""
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return line_at(data, error)
    return None


def lines_of_text(text: str) -> Iterator[str]:
    """Lines that end in \\n, \\r\\n or \\r. Not str.splitlines: names may hold what else that takes for an end."""
    return iter(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def one_line(name: str) -> str:
    """A name with a blank for each line break that str.splitlines knows."""
    return " ".join(part.strip() for part in name.splitlines() if part.strip())
