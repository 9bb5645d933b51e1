"""The calls that ask one head of one task, such as Classify: parameters as fields of their requests, and back.

The contract has one for each task with a `call`. Its request has `image`, `head` and the parameters of the task, its
response `outcome`, `image_size` and `timings`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message

from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.core.tasks import AnyTask

_METHODS = pb.DESCRIPTOR.services_by_name["VisionService"].methods_by_name
_NO_PARAMETERS = frozenset({"image", "head"})


def method_of(task: AnyTask) -> MethodDescriptor | None:
    """None where heads of the task are asked by Analyze alone."""
    return None if task.call is None else _METHODS.get(task.call.name)


def request_of(method: MethodDescriptor, image: bytes, head: str | None, params: Mapping[str, Any]) -> Any:
    """A request with the parameters that are not None.

    Raises TypeError for one that does not exist or is a text in place of a list, ValueError for a word that is none
    of its.
    """
    known = method.input_type.fields_by_name
    given = {name: value for name, value in params.items() if value is not None}
    unknown = (given.keys() & _NO_PARAMETERS) | (given.keys() - known.keys())
    if unknown:
        names = ", ".join(name for name in known if name not in _NO_PARAMETERS)
        raise TypeError(f"{method.name} knows no {min(unknown)!r}; it knows {names or 'no parameters'}")
    values = {name: _to_field(known[name], value) for name, value in given.items()}
    return _class_of(method.input_type.name)(image={"data": image}, head=head or "", **values)


def reader_of(method: MethodDescriptor) -> Callable[[Message], dict[str, Any]]:
    """What gives the parameters that a request sets. It raises InvalidRequestError for a number that no enum has."""
    fields = [field for field in method.input_type.fields if field.name not in _NO_PARAMETERS]
    optional = [field.name for field in fields if field.has_presence]
    others = [field for field in fields if not field.has_presence]

    def read(request: Message) -> dict[str, Any]:
        found = {name: getattr(request, name) for name in optional if request.HasField(name)}
        for field in others:
            if value := getattr(request, field.name):
                found[field.name] = _from_field(field, value)
        return found

    return read


def response_class(method: MethodDescriptor) -> type[Message]:
    return _class_of(method.output_type.name)


@cache
def _class_of(name: str) -> type[Message]:
    found: type[Message] = getattr(pb, name)
    return found


def _to_field(field: FieldDescriptor, value: Any) -> Any:
    if field.is_repeated and isinstance(value, str):
        raise TypeError(f"{field.name} is a list of names: write [{value!r}]")
    if field.enum_type is None:
        return value
    found = field.enum_type.values_by_name.get(_prefix(field.enum_type) + str(value).upper())
    if found is None:
        raise ValueError(f"{value!r} is no {field.enum_type.name}")
    return found.number


def _from_field(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is None:
        return list(value) if field.is_repeated else value
    found = field.enum_type.values_by_number.get(value)
    if found is None:
        raise InvalidRequestError(f"{value} is no {field.enum_type.name}")
    return found.name.removeprefix(_prefix(field.enum_type)).lower()


def _prefix(kind: EnumDescriptor) -> str:
    """What all values of an enum begin with: MASK_FORMAT_ for MaskFormat."""
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in kind.name).lstrip("_").upper() + "_"
