"""The limit of each field of a request: from its option in the proto, or from here where the proto is not ours."""

from collections.abc import Iterator, Mapping

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from trunkline.api.limits.v1 import limits_pb2
from trunkline.api.limits.v1.limits_pb2 import Limits

STRUCT, DURATION = "google.protobuf.Struct", "google.protobuf.Duration"
# Of these, and of times that only answers hold, nothing is looked into.
_WHOLE = frozenset({STRUCT, DURATION, "google.protobuf.Timestamp"})

_NAME, _MESSAGE = Limits(max_length=255), Limits(bytes_setting="TRUNKLINE_MAX_MESSAGE_BYTES")
_PARAMETERS = Limits(max_items=64, max_key_length=255)
_SHAPE = Limits(max_items=16)
# More numbers than these come raw: as a list of a message each is looked at one by one.
_NUMBERS = Limits(max_items=1024 * 1024)
_TENSORS = Limits(max_items=64)
_PICTURES = Limits(max_items=64, bytes_setting="TRUNKLINE_MAX_IMAGE_BYTES")

# The Open Inference Protocol and health checks, whose protos never change here; by full name of the field.
OF_OTHERS: Mapping[str, Limits] = {
    "grpc.health.v1.HealthCheckRequest.service": _NAME,
    "inference.ModelReadyRequest.name": _NAME,
    "inference.ModelReadyRequest.version": _NAME,
    "inference.ModelMetadataRequest.name": _NAME,
    "inference.ModelMetadataRequest.version": _NAME,
    "inference.ModelConfigRequest.name": _NAME,
    "inference.ModelConfigRequest.version": _NAME,
    "inference.ModelStatisticsRequest.name": _NAME,
    "inference.ModelStatisticsRequest.version": _NAME,
    "inference.RepositoryIndexRequest.repository_name": _NAME,
    "inference.RepositoryModelLoadRequest.repository_name": _NAME,
    "inference.RepositoryModelLoadRequest.model_name": _NAME,
    "inference.RepositoryModelLoadRequest.parameters": _PARAMETERS,
    "inference.RepositoryModelUnloadRequest.repository_name": _NAME,
    "inference.RepositoryModelUnloadRequest.model_name": _NAME,
    "inference.RepositoryModelUnloadRequest.parameters": _PARAMETERS,
    "inference.ModelRepositoryParameter.string_param": Limits(max_length=4096),
    "inference.ModelRepositoryParameter.bytes_param": Limits(max_bytes=4096),
    "inference.ModelInferRequest.model_name": _NAME,
    "inference.ModelInferRequest.model_version": _NAME,
    "inference.ModelInferRequest.id": _NAME,
    "inference.ModelInferRequest.parameters": _PARAMETERS,
    "inference.ModelInferRequest.inputs": _TENSORS,
    "inference.ModelInferRequest.outputs": _TENSORS,
    "inference.ModelInferRequest.raw_input_contents": Limits(max_items=64, bytes_setting=_MESSAGE.bytes_setting),
    "inference.ModelInferRequest.InferInputTensor.name": _NAME,
    "inference.ModelInferRequest.InferInputTensor.datatype": _NAME,
    "inference.ModelInferRequest.InferInputTensor.shape": _SHAPE,
    "inference.ModelInferRequest.InferInputTensor.parameters": _PARAMETERS,
    "inference.ModelInferRequest.InferRequestedOutputTensor.name": _NAME,
    "inference.ModelInferRequest.InferRequestedOutputTensor.parameters": _PARAMETERS,
    # 64 names of heads with commas between them.
    "inference.InferParameter.string_param": Limits(max_length=16_384),
    "inference.InferTensorContents.bool_contents": _NUMBERS,
    "inference.InferTensorContents.int_contents": _NUMBERS,
    "inference.InferTensorContents.int64_contents": _NUMBERS,
    "inference.InferTensorContents.uint_contents": _NUMBERS,
    "inference.InferTensorContents.uint64_contents": _NUMBERS,
    "inference.InferTensorContents.fp32_contents": _NUMBERS,
    "inference.InferTensorContents.fp64_contents": _NUMBERS,
    "inference.InferTensorContents.bytes_contents": _PICTURES,
}


def limits_of(field: FieldDescriptor) -> Limits:
    """Empty where the field has none."""
    found = OF_OTHERS.get(field.full_name)
    if found is not None:
        return found
    options = field.GetOptions()
    return options.Extensions[limits_pb2.limits] if options.HasExtension(limits_pb2.limits) else Limits()


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def map_key(field: FieldDescriptor) -> FieldDescriptor:
    """The keys of a map."""
    return field.message_type.fields_by_name["key"]  # type: ignore[union-attr]


def map_value(field: FieldDescriptor) -> FieldDescriptor:
    """The values of a map."""
    return field.message_type.fields_by_name["value"]  # type: ignore[union-attr]


def fields_below(message: Descriptor) -> Iterator[FieldDescriptor]:
    """The fields of a message and of all that can lie in it, each once, in the order of the proto."""
    yield from _fields(message, set())


def missing(field: FieldDescriptor) -> list[str]:
    """The limits that a field must have and has not; empty where it has all."""
    found, wanted = limits_of(field), []
    if field.is_repeated:
        wanted.append("max_items")
    value = map_value(field) if is_map(field) else field
    if is_map(field) and map_key(field).type == FieldDescriptor.TYPE_STRING:
        wanted.append("max_key_length")
    if value.type == FieldDescriptor.TYPE_STRING:
        wanted.append("max_length")
    name = value.message_type.full_name if value.message_type is not None else ""
    wanted += {STRUCT: ["max_values", "max_depth", "max_length"], DURATION: ["max_seconds"]}.get(name, [])
    lacking = [limit for limit in wanted if not getattr(found, limit)]
    if value.type == FieldDescriptor.TYPE_BYTES and not (found.max_bytes or found.bytes_setting):
        lacking.append("max_bytes or bytes_setting")
    return lacking


def _fields(message: Descriptor, seen: set[str]) -> Iterator[FieldDescriptor]:
    if message.full_name in seen or message.full_name in _WHOLE:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field
        inner = map_value(field).message_type if is_map(field) else field.message_type
        if inner is not None:
            yield from _fields(inner, seen)
