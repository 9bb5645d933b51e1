"""XML of a data set, in the encodings that people's tools write, without anything that it declares."""

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree
from xml.parsers.expat import ErrorString

from trunkline.core.errors import DataInvalidError
from trunkline.training.data.reading import LARGEST_XML, open_data, reason_of
from trunkline.training.data.remarks import Kind, Remarks
from trunkline.training.data.texts import require_encoding

_DECLARATIONS: Final = ("<!DOCTYPE", "<!ENTITY")
_START: Final = 200  # bytes in which a declaration stands
_ENCODING: Final = re.compile(rb"""\s*(?:\xef\xbb\xbf)?<\?xml[^>]{0,80}encoding\s*=\s*["']([A-Za-z0-9_.:-]{1,40})""")
_DECLARED: Final = re.compile(r"<\?xml[^>]{0,200}\?>")
_OWN: Final = ("", "utf-8", "utf8", "utf-16", "utf-16le", "utf-16be", "ascii", "us-ascii")
_CHINESE: Final = ("gb2312", "gbk", "gb_2312-80", "cp936", "gb18030")


def parse(path: Path, where: str, remarks: Remarks) -> ElementTree.Element:
    """The root of the file. Raises DataInvalidError without its name."""
    try:
        return ElementTree.fromstring(read_xml(path, LARGEST_XML, where, remarks))
    except ElementTree.ParseError as error:
        raise no_xml(error) from error


def no_xml(error: ElementTree.ParseError) -> DataInvalidError:
    """What is wrong with a text; never what stands there."""
    line, column = error.position
    return DataInvalidError(f"not XML: {ErrorString(error.code)}, line {line}, column {column}")


def read_xml(path: Path, most: int, where: str, remarks: Remarks) -> str:
    """The text of the file, of `most` bytes at most. Raises DataInvalidError without its name."""
    try:
        with open_data(path, most) as file:
            data = file.read(most)
    except OSError as error:
        raise DataInvalidError(f"it cannot be read: {reason_of(error)}") from error
    if not data.strip():
        raise DataInvalidError("the file is empty")
    try:
        return _plain(data, where, remarks)
    except (ValueError, LookupError) as error:
        raise DataInvalidError("not XML that can be read: its encoding is not known") from error


def _plain(data: bytes, where: str, remarks: Remarks) -> str:
    """The text without its declaration: the parser knows few encodings, and what is declared is not always true."""
    declared = _ENCODING.match(data[:_START])
    name = declared[1].decode("ascii").lower() if declared else ""
    if name in _OWN or data[:1] not in b"<\xef \t\r\n":
        name = require_encoding(data, where, remarks)
    elif name in _CHINESE:
        name = "gb18030"
    try:
        text = data.decode(name)
    except UnicodeDecodeError:
        text = data.decode(require_encoding(data, where, remarks))
    else:
        if not name.startswith("utf-"):
            remarks.read(Kind.ENCODING, where, "the text is not UTF-8 and is read as its declaration says")
    if any(word in text for word in _DECLARATIONS):
        raise DataInvalidError("it declares a document type or entities, which no file of a data set does")
    return _DECLARED.sub("", text.lstrip("\ufeff \t\r\n"), count=1)
