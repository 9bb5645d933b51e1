"""Results of heads as tensors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.exchange import HeadAnswer
from trunkline.core.results import Classification, Detections, Embedding, Regression
from trunkline.gateway.oip.model import RESULT, Port
from trunkline.gateway.oip.tensors import BYTES, as_bytes
from trunkline.serving import wire_results

JSON_PORT = Port(RESULT, BYTES, (1,))
_PORTS: Mapping[str, tuple[Port, ...]] = {
    "classification": (Port("scores", "FP32", (-1,)), Port("labels", BYTES, (-1,))),
    "regression": (Port("values", "FP32", (-1,)),),
    "detection": (Port("boxes", "FP32", (-1, 4)), Port("scores", "FP32", (-1,)), Port("labels", BYTES, (-1,))),
    "similarity": (Port("embedding", "FP32", (-1,)),),
}


def ports_of(task: str) -> tuple[Port, ...]:
    """Outputs of a head of this task; the JSON document is there for every one."""
    return (*_PORTS.get(task, ()), JSON_PORT)


def outputs_of(head: str, answer: HeadAnswer, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The outputs that are wanted, without a batch axis: scores and labels (K,), values (T,), embedding (D,),
    boxes (M, 4) with scores and labels (M,), result (1,).
    """
    arrays: dict[str, np.ndarray] = {}
    result = answer.read()
    for kind, convert in _CONVERTERS:
        if isinstance(result, kind):
            arrays = convert(result)
    if RESULT in wanted:
        outcome = vision_service_pb2.HeadOutcome(head=head, model_version=answer.version, head_ms=answer.head_ms)
        wire_results.put_result(outcome, result)
        arrays[RESULT] = document(outcome)
    return {name: arrays[name] for name in wanted}


def stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The outputs (M, …) of a batch as one array (N, M, …).

    Where pictures have different numbers of objects, M is the largest, and the rows behind those of a picture are 0,
    or empty texts: no object has a score of 0.
    """
    if len(arrays) == 1:
        return arrays[0][None]
    most = max(map(len, arrays))
    if all(len(array) == most for array in arrays):
        return np.stack(arrays)
    batch = np.full(
        (len(arrays), most, *arrays[0].shape[1:]), b"" if arrays[0].dtype == object else 0, arrays[0].dtype
    )
    for place, array in enumerate(arrays):
        batch[place, : len(array)] = array
    return batch


def document(message: Message) -> np.ndarray:
    """A message as JSON with the field names of the contract, (1,) of dtype object."""
    text = json_format.MessageToJson(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )
    return as_bytes([text.encode()])


def _classification(result: Classification) -> dict[str, np.ndarray]:
    return {
        "scores": np.array([label.score for label in result.labels], np.float32),  # (K,)
        "labels": as_bytes([label.label.encode() for label in result.labels]),  # (K,)
    }


def _regression(result: Regression) -> dict[str, np.ndarray]:
    return {"values": np.array([value.value for value in result.values], np.float32)}  # (T,)


def _detections(result: Detections) -> dict[str, np.ndarray]:
    boxes = [(found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max) for found in result.objects]
    return {
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),  # (M, 4)
        "scores": np.array([found.label.score for found in result.objects], np.float32),  # (M,)
        "labels": as_bytes([found.label.label.encode() for found in result.objects]),  # (M,)
    }


def _embedding(result: Embedding) -> dict[str, np.ndarray]:
    return {"embedding": np.array(result.values, np.float32)}  # (D,)


_CONVERTERS: tuple[tuple[type, Callable[[Any], dict[str, np.ndarray]]], ...] = (
    (Classification, _classification),
    (Regression, _regression),
    (Detections, _detections),
    (Embedding, _embedding),
)
