"""How each server is asked and its answers are read: encoded bytes, so that the client costs the same for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from benchmarks import protos
from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as vision

Kind = Literal["trunkline", "handwritten", "mlserver"]
Input = Literal["jpeg", "tiny", "pixels"]
_ANALYZE = "/trunkline.api.vision.v1.VisionService/Analyze"
_CLASSIFY = "/trunkline.api.vision.v1.VisionService/Classify"
_HANDWRITTEN = "/handwritten.Vision/Classify"
_INFER = "/inference.GRPCInferenceService/ModelInfer"


class Call(NamedTuple):
    """One gRPC call: full method, encoded request."""

    method: str
    request: bytes


@dataclass(frozen=True)
class Target:
    """A server that listens, what it speaks, and which models are asked about each picture."""

    kind: Kind
    address: str
    heads: tuple[str, ...]
    given: Input = "jpeg"

    def calls(self, item: bytes) -> list[Call]:
        """All calls that make one complete answer about a picture."""
        if self.kind == "handwritten":
            return [_handwritten(head, item, self.given) for head in self.heads]
        if self.kind == "mlserver" or self.given == "pixels":
            name = "pixels" if self.kind == "trunkline" else "image"
            return [_open_inference(head, item, self.given, name) for head in self.heads]
        if len(self.heads) == 1:
            request = vision.ClassifyRequest(image=image_pb2.Image(data=item), head=self.heads[0])
            return [Call(_CLASSIFY, request.SerializeToString())]
        # Required, so that a head that fails is a failed call and not an answer.
        asks = [vision.HeadRequest(head=head, required=True) for head in self.heads]
        request = vision.AnalyzeRequest(image=image_pb2.Image(data=item), heads=asks)
        return [Call(_ANALYZE, request.SerializeToString())]

    def read(self, answers: Sequence[bytes]) -> list[str]:
        """The best label of each head, in order; "" where the answer holds none that this module knows."""
        if self.kind == "handwritten":
            response = protos.messages(protos.HANDWRITTEN)["handwritten.ClassifyResponse"]
            return [response.FromString(answer).labels[0].name for answer in answers]
        if self.kind == "mlserver" or self.given == "pixels":
            return [_best_label(answer) for answer in answers]
        if len(self.heads) == 1:
            outcomes = [vision.ClassifyResponse.FromString(answers[0]).outcome]
        else:
            outcomes = list(vision.AnalyzeResponse.FromString(answers[0]).outcomes)
        return [next((each.label for each in outcome.classification.labels), "") for outcome in outcomes]


def _handwritten(head: str, item: bytes, given: Input) -> Call:
    request = protos.messages(protos.HANDWRITTEN)["handwritten.ClassifyRequest"]
    message = request(model=head, pixels=item) if given == "pixels" else request(model=head, jpeg=item)
    return Call(_HANDWRITTEN, message.SerializeToString())


def _open_inference(head: str, item: bytes, given: Input, name: str) -> Call:
    request = protos.messages(protos.OPEN_INFERENCE)["inference.ModelInferRequest"](model_name=head)
    if given == "pixels":
        request.inputs.add(name=name, datatype="UINT8", shape=[1, 224, 224, 3])
        request.raw_input_contents.append(item)
        if name == "pixels":  # Trunkline's would answer a JSON document too, which the others do not make
            request.outputs.add(name="scores")
            request.outputs.add(name="labels")
    else:
        request.inputs.add(name=name, datatype="BYTES", shape=[1]).contents.bytes_contents.append(item)
    return Call(_INFER, request.SerializeToString())


def _best_label(answer: bytes) -> str:
    """From the output `labels`, BYTES, best first; raw contents have a length before each."""
    response = protos.messages(protos.OPEN_INFERENCE)["inference.ModelInferResponse"].FromString(answer)
    for index, output in enumerate(response.outputs):
        if output.datatype != "BYTES":
            continue
        if output.contents.bytes_contents:
            return str(output.contents.bytes_contents[0].decode())
        if index < len(response.raw_output_contents):
            raw = response.raw_output_contents[index]
            return raw[4 : 4 + int(np.frombuffer(raw[:4], "<u4")[0])].decode()
    return ""
