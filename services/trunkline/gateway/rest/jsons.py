"""JSON texts as documents and as messages."""

import binascii
import json
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from trunkline.core.errors import InvalidRequestError
from trunkline.core.text import shown
from trunkline.gateway.rest.limits import picture_fields

# Pictures are longer and are taken out before; protobuf looks at each character of the rest.
_LONGEST_TEXT = 64 * 1024
_SLICE = 1024 * 1024


def load(body: bytes) -> Any:
    """The document. Raises InvalidRequestError for what is no JSON."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise InvalidRequestError("the body is not UTF-8: send JSON as UTF-8") from error
    except RecursionError as error:
        raise InvalidRequestError("the JSON of the body is nested too deeply") from error
    except ValueError as error:
        raise InvalidRequestError(f"the body is not JSON: {shown(error)}") from error


def load_object(body: bytes) -> dict[str, Any]:
    """The same for an object; an empty body is an empty one."""
    document = load(body or b"{}")
    if not isinstance(document, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return document


def fill(message: Message, body: bytes) -> dict[str, bytes]:
    """Read protobuf's JSON, but for its pictures, which are returned by their fields.

    Raises InvalidRequestError for what does not fit.
    """
    document = load_object(body)
    pictures = dict(_take_pictures(document, message.DESCRIPTOR))
    _check_texts(document)
    try:
        json_format.ParseDict(document, message)
    except RecursionError as error:
        raise InvalidRequestError("the body is nested too deeply") from error
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError(
            f"the body is not the JSON of a {message.DESCRIPTOR.name}: {shown(error)}"
        ) from error
    return pictures


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return found


def _take_pictures(document: dict[str, Any], request: Any) -> Iterable[tuple[str, bytes]]:
    """The bytes of each picture by its field. What is no text stays, for protobuf to refuse."""
    for name in picture_fields(request):
        for key in (name, request.fields_by_name[name].json_name):
            picture = document.get(key)
            if isinstance(picture, dict) and isinstance(picture.get("data"), str):
                yield name, _from_base64(picture.pop("data"), name)


def _from_base64(text: str, name: str) -> bytes:
    """Both alphabets, with and without padding, as protobuf takes it."""
    if text[:5].lower() == "data:":
        raise InvalidRequestError(f"{name}.data is a data: URI: send only what follows its comma")
    if "-" in text or "_" in text:
        text = text.replace("-", "+").replace("_", "/")
    try:
        return _sliced(text)
    except ValueError as error:
        raise InvalidRequestError(f"{name}.data is not base64") from error


def _sliced(text: str) -> bytes:
    """The GIL is held for a slice at a time, unless there are line breaks or the like."""
    if len(text) <= _SLICE:
        return binascii.a2b_base64(text + "==")
    slices = [binascii.a2b_base64(text[start : start + _SLICE] + "==") for start in range(0, len(text), _SLICE)]
    if any(len(each) != _SLICE // 4 * 3 for each in slices[:-1]):
        return binascii.a2b_base64(text + "==")
    return b"".join(slices)


def _check_texts(document: Any) -> None:
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise InvalidRequestError(f"a text has {len(value)} characters; the limit is {_LONGEST_TEXT}")
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
