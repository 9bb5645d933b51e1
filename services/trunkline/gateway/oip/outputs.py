"""Results of heads as tensors."""

from collections.abc import Sequence

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message

from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.exchange import HeadAnswer
from trunkline.core.tasks import task_of, task_of_result
from trunkline.gateway.oip.model import RESULT, Port
from trunkline.gateway.oip.tensors import BYTES, as_bytes
from trunkline.serving import wire_results

JSON_PORT = Port(RESULT, BYTES, (1,))


def ports_of(task: str) -> tuple[Port, ...]:
    """Outputs of a head of this task; the JSON document is there for every one."""
    ports = (Port(tensor.name, tensor.datatype, tensor.dims) for tensor in task_of(task).tensors)
    return (*ports, JSON_PORT)


def outputs_of(head: str, answer: HeadAnswer, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    """The outputs that are wanted, without a batch axis: what the task gives, and result (1,)."""
    result = answer.read()
    found = task_of_result(result).tensors_of(result)
    arrays = {
        name: as_bytes([text.encode() for text in each]) if isinstance(each, list) else each
        for name, each in found.items()
    }
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
