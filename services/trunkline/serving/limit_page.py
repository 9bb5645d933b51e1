"""The page docs/reference/limits.md, from the descriptors; `python -m trunkline.serving.limit_page` prints it."""

from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor import FieldDescriptor, FileDescriptor, ServiceDescriptor

from trunkline.api.catalog.v1 import catalog_service_pb2
from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2
from trunkline.api.oip.v2 import inference_service_pb2
from trunkline.api.training.v1 import training_service_pb2
from trunkline.api.vision.v1 import gallery_service_pb2, vision_service_pb2
from trunkline.serving.limit_table import fields_below, limits_of

_FILES: Mapping[str, tuple[FileDescriptor, ...]] = {
    "Calls of clients": tuple(
        module.DESCRIPTOR
        for module in (vision_service_pb2, gallery_service_pb2, catalog_service_pb2, training_service_pb2)
    ),
    "The Open Inference Protocol": (inference_service_pb2.DESCRIPTOR,),
    "Between services": (backbone_service_pb2.DESCRIPTOR, head_service_pb2.DESCRIPTOR),
}
_WORDS = (
    ("max_items", "{:,} items"),
    ("max_key_length", "keys of {:,} characters"),
    ("max_length", "{:,} characters"),
    ("max_bytes", "{:,} bytes"),
    ("bytes_setting", "bytes: `{}`"),
    ("max_values", "{:,} values"),
    ("max_depth", "{} deep"),
    ("max_seconds", "{:,} seconds"),
)
_INTRODUCTION = """\
# Limits of requests

Made by `python -m trunkline.serving.limit_page` from the protos: the option `trunkline.api.limits.v1.limits` of a
field holds its limits. A field that is not listed is a number, a truth value or a message.

A request that exceeds a limit is refused with INVALID_ARGUMENT, reason INVALID_REQUEST, before anything is done. The
error names the field, how much it holds and the limit, never what was sent. An item of a stream is refused alone: its
answer is that error. Where services are apart, each checks what it is asked.

- Characters are code points. A list of texts has both limits: how many, and how long each is.
- Values of parameters count in a request as a whole, in all of its heads together; lists, objects and what is in them
  all count. "Deep" says how far lists and objects may lie in each other.
- Numbers with a fraction must be finite, also where no limit is listed. The numbers of vectors and tensors are looked
  at where they are used.
- `page_size` is cut at 1,000. A page may hold fewer items than that: go on while there is a `next_page_token`.
- What an image or a message may hold is a [setting](settings.md). A higher one costs memory: about three times the
  bytes of a request while it is received and read.
"""


def page() -> str:
    """The page, Markdown."""
    return "\n".join([_INTRODUCTION, *(_section(title, files) for title, files in _FILES.items())])


def request_fields(service: ServiceDescriptor) -> Iterator[FieldDescriptor]:
    """The fields that requests of a service can hold, each once."""
    seen = set()
    for method in service.methods:
        for field in fields_below(method.input_type):
            if field.full_name not in seen:
                seen.add(field.full_name)
                yield field


def services() -> Iterator[ServiceDescriptor]:
    """Those whose requests have limits."""
    for files in _FILES.values():
        for file in files:
            yield from file.services_by_name.values()


def _section(title: str, files: Iterable[FileDescriptor]) -> str:
    lines, seen = [f"## {title}", "", "| field | at most |", "| --- | --- |"], set()
    for file in files:
        for service in file.services_by_name.values():
            for field in request_fields(service):
                text = _limits_text(field)
                if text and field.full_name not in seen:
                    seen.add(field.full_name)
                    lines.append(f"| `{_short(field)}` | {text} |")
    return "\n".join([*lines, ""])


def _limits_text(field: FieldDescriptor) -> str:
    found = limits_of(field)
    return ", ".join(words.format(value) for name, words in _WORDS if (value := getattr(found, name)))


def _short(field: FieldDescriptor) -> str:
    """Without the package."""
    message = field.containing_type
    package = message.file.package if message is not None else ""
    return field.full_name.removeprefix(f"{package}.")


if __name__ == "__main__":
    print(page(), end="")
