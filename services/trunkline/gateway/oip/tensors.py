"""Tensors of the protocol to arrays and back; raw and typed contents both."""

import itertools
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.oip.model import MAX_BATCH, Port

BYTES = "BYTES"
MOST_TENSORS = 64  # inputs or outputs of a request; a model has a few
_MOST_AXES = 8
_SHOWN = 64  # characters of what came
_DTYPES: Mapping[str, np.dtype[Any]] = {"UINT8": np.dtype("u1"), "FP32": np.dtype("<f4")}
_FIELDS = {"UINT8": "uint_contents", "FP32": "fp32_contents", BYTES: "bytes_contents"}
_LENGTH = struct.Struct("<I")  # before each element of raw BYTES


def read_inputs(request: pb.ModelInferRequest, ports: Sequence[Port]) -> dict[str, np.ndarray]:
    """Arrays by name, all with the same batch axis; BYTES as (N,) of dtype object.

    Raises InvalidRequestError for a tensor that the model does not take, or whose contents do not fit its shape.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequestError(
            f"{len(request.inputs)} inputs came with {len(raw)} raw contents: send one for each"
        )
    if len(request.inputs) > MOST_TENSORS:
        raise InvalidRequestError(f"{len(request.inputs)} inputs came; at most {MOST_TENSORS} are allowed")
    known = {port.name: port for port in ports}
    arrays: dict[str, np.ndarray] = {}
    for place, tensor in enumerate(request.inputs):
        if tensor.name in arrays:
            raise InvalidRequestError(f"input {tensor.name!r} came twice")
        port = _port(tensor, known)
        arrays[tensor.name] = _array(tensor, raw[place] if raw else None, port)
    if not arrays:
        raise InvalidRequestError(f"no input came; inputs of this model: {', '.join(known)}")
    if len({len(array) for array in arrays.values()}) > 1:
        raise InvalidRequestError("the inputs have batch axes of different lengths")
    return arrays


def put_output(response: pb.ModelInferResponse, name: str, array: np.ndarray, *, raw: bool) -> None:
    """Add an output: (N, …) float32, or dtype object with bytes."""
    datatype = BYTES if array.dtype == object else "FP32"
    tensor = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
    flat = array.reshape(-1)
    if not raw:
        getattr(tensor.contents, _FIELDS[datatype]).extend(flat.tolist())
    elif datatype == BYTES:
        response.raw_output_contents.append(b"".join([_LENGTH.pack(len(each)) + each for each in flat.tolist()]))
    else:
        response.raw_output_contents.append(np.ascontiguousarray(flat, "<f4").tobytes())


def as_bytes(texts: Sequence[bytes]) -> np.ndarray:
    """(N,) of dtype object."""
    array = np.empty(len(texts), object)
    array[:] = texts
    return array


def _port(tensor: pb.ModelInferRequest.InferInputTensor, known: dict[str, Port]) -> Port:
    port = known.get(tensor.name)
    if port is None:
        name = tensor.name[:_SHOWN]
        raise InvalidRequestError(f"there is no input {name!r}; inputs of this model: {', '.join(known)}")
    if "shared_memory_region" in tensor.parameters:
        raise InvalidRequestError("shared memory is not supported: send the contents with the request")
    if len(tensor.shape) > _MOST_AXES:
        raise InvalidRequestError(
            f"input {tensor.name!r} has {len(tensor.shape)} axes; at most {_MOST_AXES} are allowed"
        )
    shape = tuple(tensor.shape)
    fits = _fits(shape, port.shape) or (port.datatype == BYTES and _fits(shape, (-1,)))
    if tensor.datatype != port.datatype or not fits:
        raise InvalidRequestError(
            f"input {tensor.name!r} is {port.datatype} {list(port.shape)}, "
            f"not {tensor.datatype[:_SHOWN]} {list(shape)}"
        )
    if not 1 <= shape[0] <= MAX_BATCH:
        raise InvalidRequestError(f"a batch has 1 to {MAX_BATCH} items, not {shape[0]}")
    return port


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        length == want or (want == -1 and length >= 0) for length, want in zip(shape, wanted, strict=True)
    )


def _array(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes | None, port: Port) -> np.ndarray:
    shape = tuple(tensor.shape)
    count = math.prod(shape)
    if port.datatype == BYTES:
        texts = tensor.contents.bytes_contents if raw is None else _elements(raw, count, tensor.name)
        return as_bytes(_counted(texts, count, tensor.name))
    numbers = _typed(tensor, port.datatype, count) if raw is None else _raw(raw, port.datatype, tensor.name)
    try:
        array = np.asarray(_counted(numbers, count, tensor.name)).reshape(shape)
    except ValueError as error:  # an axis of 0 beside one that no array has
        raise InvalidRequestError(f"input {tensor.name!r} has a shape that is not valid") from error
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidRequestError(f"input {tensor.name!r} has values that are not finite")
    return array


def _typed(tensor: pb.ModelInferRequest.InferInputTensor, datatype: str, count: int) -> np.ndarray:
    values: Any = _counted(getattr(tensor.contents, _FIELDS[datatype]), count, tensor.name)
    if datatype == "UINT8":
        wide = np.fromiter(values, np.int64, len(values))
        if wide.size and wide.max() > 255:
            raise InvalidRequestError(f"input {tensor.name!r} is UINT8, so its values are 0 to 255")
        return wide.astype(np.uint8)
    return np.fromiter(values, np.float32, len(values))


def _raw(raw: bytes, datatype: str, name: str) -> np.ndarray:
    dtype = _DTYPES[datatype]
    if len(raw) % dtype.itemsize:
        raise InvalidRequestError(f"the raw contents of {name!r} are not a whole number of {datatype} values")
    return np.frombuffer(raw, dtype)


def _elements(raw: bytes, count: int, name: str) -> list[bytes]:
    found = list(itertools.islice(_each_element(raw, name), count + 1))
    if len(found) > count:  # how many more is not counted, as a message has room for millions of empty ones
        raise InvalidRequestError(f"input {name!r} has more values than its shape, {count}")
    return found


def _each_element(raw: bytes, name: str) -> Iterator[bytes]:
    start = 0
    while start < len(raw):
        if start + _LENGTH.size > len(raw):
            raise InvalidRequestError(f"the raw contents of {name!r} end within a length")
        (length,) = _LENGTH.unpack_from(raw, start)
        start += _LENGTH.size
        if start + length > len(raw):
            raise InvalidRequestError(f"the raw contents of {name!r} end within an element")
        yield raw[start : start + length]
        start += length


def _counted(values: Any, count: int, name: str) -> Any:
    if len(values) != count:
        raise InvalidRequestError(f"input {name!r} has {len(values)} values; its shape says {count}")
    return values
