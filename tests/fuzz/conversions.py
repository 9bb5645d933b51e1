"""Messages of other processes as values, and texts with structure: whatever comes, an error of ours or a value."""

from collections.abc import Callable
from random import Random
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError, Message

from tests.fuzz import messages
from tests.fuzz.case import Case, unpack
from tests.fuzz.child import Child
from tests.fuzz.loop import Fault
from tests.fuzz.values import mutated
from trunkline.api.catalog.v1 import catalog_service_pb2 as catalog_pb
from trunkline.api.inference.v1 import backbone_service_pb2 as backbone_pb
from trunkline.api.inference.v1 import head_service_pb2 as head_pb
from trunkline.api.inference.v1 import preprocess_pb2, tensor_pb2
from trunkline.api.oip.v2 import inference_service_pb2 as oip_pb
from trunkline.api.training.v1 import request_pb2
from trunkline.api.training.v1 import training_service_pb2 as training_pb
from trunkline.api.vision.v1 import gallery_service_pb2 as gallery_pb
from trunkline.api.vision.v1 import results_pb2, vision_service_pb2
from trunkline.core.errors import TrunklineError
from trunkline.core.masks import decode_mask
from trunkline.core.results import RunLengthMask
from trunkline.gateway.oip import params as oip_params
from trunkline.gateway.oip.model import Port
from trunkline.gateway.oip.tensors import read_inputs
from trunkline.gateway.rest.limits import BodyLimit
from trunkline.gateway.rest.tensors import read_request
from trunkline.heads.checks import checked_features, checked_frame
from trunkline.serving import catalog_wire, wire, wire_galleries, wire_results, wire_training

_PIXELS = 50_000_000
_BODY = BodyLimit(1 << 20, values=10_000)
_PORTS = (Port("image", "BYTES", (1,)), Port("pooled", "FP32", (1280,)), Port("pixels", "UINT8", (8, 8, 3)))
_BODIES = (
    b'{"id":"1","parameters":{"top_k":3},"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["x"]}]}',
    b'{"inputs":[{"name":"pooled","shape":[1,2],"datatype":"FP32","data":[[1.5,2]]}],"outputs":[{"name":"scores"}]}',
    b'{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":7}}]}\x03\0\0\0abc',
)


def _mask(message: results_pb2.RunLengthMask) -> object:
    return decode_mask(RunLengthMask(message.width, message.height, message.counts))


def _infer(message: oip_pb.ModelInferRequest) -> object:
    oip_params.check_outputs(message)
    oip_params.timeout_s(message)
    return read_inputs(message, _PORTS), oip_params.for_the_model(message)


READERS: dict[type[Message], Callable[[Any], object]] = {
    tensor_pb2.Tensor: lambda message: checked_features({"x": wire.tensor_from_pb(message)}),
    preprocess_pb2.PreprocessSpec: wire.spec_from_pb,
    backbone_pb.Frame: lambda message: checked_frame(wire.frame_from_pb(message), _PIXELS).shows_all,
    backbone_pb.DescribeBackboneResponse: wire.backbones_from_pb,
    head_pb.ServedHead: wire.served_head_from_pb,
    struct_pb2.Struct: wire.params_from_pb,
    vision_service_pb2.HeadOutcome: wire_results.get_result,
    results_pb2.Comparison: wire_results.comparison_from_pb,
    results_pb2.RunLengthMask: _mask,
    gallery_pb.Gallery: wire_galleries.gallery_from_pb,
    gallery_pb.SearchGalleryRequest: lambda message: wire_galleries.by_from_pb(message.by),
    gallery_pb.SearchGalleryResponse: wire_galleries.search_from_pb,
    gallery_pb.AddImagesResponse: lambda message: wire_galleries.status_from_pb(message.status),
    catalog_pb.Model: catalog_wire.model_from_pb,
    catalog_pb.ModelVersion: catalog_wire.version_from_pb,
    training_pb.TrainingJob: wire_training.job_from_pb,
    training_pb.WatchTrainingJobResponse: wire_training.event_from_pb,
    request_pb2.TrainingRequest: wire_training.request_from_pb,
    oip_pb.ModelInferRequest: _infer,
}
_TYPES = {kind.DESCRIPTOR.full_name: kind for kind in READERS}
_INFER_BODY = "body of /v2 infer"


class Conversions:
    def __init__(self) -> None:
        self._child = Child("tests.fuzz.conversions:convert")

    def make(self, dice: Random) -> bytes:
        name = dice.choice([*sorted(_TYPES), _INFER_BODY])
        if name == _INFER_BODY:
            body = mutated(dice, dice.choice(_BODIES))
            return Case({"type": name, "length": dice.choice((None, 0, 1, 50, 98, 104, 99_999))}, [body]).pack()
        message = messages.made(dice, _TYPES[name].DESCRIPTOR, most=5000)
        if isinstance(message, tensor_pb2.Tensor) and dice.random() < 0.5:
            _make_fit(dice, message)
        data = message.SerializePartialToString()
        return Case({"type": name}, [mutated(dice, data) if dice.random() < 0.2 else data]).pack()

    def check(self, data: bytes) -> Fault | None:
        return self._child.check(data)

    def finish(self) -> Fault | None:
        self._child.close()
        return None


def convert(data: bytes) -> None:
    case = unpack(data)
    name = case.header["type"]
    try:
        if name == _INFER_BODY:
            read_request(case.parts[0], case.header["length"], _BODY)
            return
        kind = _TYPES[name]
        READERS[kind](kind.FromString(case.parts[0]))
    except (DecodeError, TrunklineError):
        return


def _make_fit(dice: Random, tensor: tensor_pb2.Tensor) -> None:
    """As many bytes as the shape says, or as it says where 64 bits overflow."""
    tensor.ClearField("shared")
    del tensor.shape[:]
    tensor.shape.extend(dice.choice(([1, 8], [], [0, 5], [1 << 32, 1 << 32], [0, 1 << 62, 1 << 62], [1] * 100)))
    tensor.data = bytes(dice.choice((0, 8, 32, 40)))
