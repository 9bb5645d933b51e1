"""Tensors of the Open Inference Protocol: raw and typed contents, and whatever else may come in."""

import random

import numpy as np
import pytest

from trunkline.api.oip.v2 import inference_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.gateway.oip.model import Port
from trunkline.gateway.oip.tensors import as_bytes, put_output, read_inputs
from trunkline.gateway.rest.limits import BodyLimit
from trunkline.gateway.rest.tensors import read_request

IMAGE = Port("image", "BYTES", (1,))
POOLED = Port("pooled", "FP32", (3,))
PIXELS = Port("pixels", "UINT8", (2, 2))


def request(name, datatype, shape, raw=None, **contents) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest()
    made.inputs.add(name=name, datatype=datatype, shape=shape, contents=pb.InferTensorContents(**contents))
    if raw is not None:
        made.raw_input_contents.append(raw)
    return made


def raw_bytes(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def test_raw_and_typed_contents_are_the_same():
    texts = [b"", b"abc", b"\x00" * 9]
    typed = read_inputs(request("image", "BYTES", [3], bytes_contents=texts), [IMAGE])["image"]
    raw = read_inputs(request("image", "BYTES", [3, 1], raw_bytes(*texts)), [IMAGE])["image"]
    assert list(typed) == list(raw) == texts
    numbers = np.arange(6, dtype=np.float32)
    typed = read_inputs(request("pooled", "FP32", [2, 3], fp32_contents=numbers), [POOLED])["pooled"]
    raw = read_inputs(request("pooled", "FP32", [2, 3], numbers.tobytes()), [POOLED])["pooled"]
    assert typed.tolist() == raw.tolist() == numbers.reshape(2, 3).tolist()
    typed = read_inputs(request("pixels", "UINT8", [1, 2, 2], uint_contents=[0, 1, 2, 255]), [PIXELS])["pixels"]
    assert (typed.dtype, typed.tolist()) == (np.uint8, [[[0, 1], [2, 255]]])


@pytest.mark.parametrize("raw", [True, False])
def test_outputs_come_back_as_they_went(raw):
    scores = np.array([[0.5, 0.25], [1.0, 0.0]], np.float32)
    labels = np.stack([as_bytes([b"a", b""]), as_bytes([b"\xff", b"long" * 99])])
    response = pb.ModelInferResponse()
    put_output(response, "scores", scores, raw=raw)
    put_output(response, "labels", labels, raw=raw)
    assert len(response.raw_output_contents) == (2 if raw else 0)
    back = pb.ModelInferRequest(raw_input_contents=response.raw_output_contents)
    for output in response.outputs:
        back.inputs.add(name=output.name, datatype=output.datatype, shape=output.shape, contents=output.contents)
    # BYTES come in as pictures, one for each row; here each row is read by itself.
    ports = [Port("scores", "FP32", (2,)), Port("labels", "BYTES", (2,))]
    del back.inputs[1:], back.raw_input_contents[1:]
    assert read_inputs(back, ports[:1])["scores"].tolist() == scores.tolist()
    if raw:
        assert response.raw_output_contents[1] == raw_bytes(b"a", b"", b"\xff", b"long" * 99)
    else:
        assert list(response.outputs[1].contents.bytes_contents) == [b"a", b"", b"\xff", b"long" * 99]


BAD = [
    (request("image", "BYTES", [1], b"\x01"), "end within a length"),
    (request("image", "BYTES", [1], b"\x05\x00\x00\x00abc"), "end within an element"),
    (request("image", "BYTES", [2], raw_bytes(b"abc")), "has 1 values; its shape says 2"),
    (request("image", "BYTES", [1], raw_bytes(b"a", b"b")), "has more values than its shape, 1"),
    (request("image", "BYTES", [0]), "1 to 64 items, not 0"),
    (request("image", "BYTES", [-1]), "1 to 64 items, not -1"),
    (request("image", "BYTES", []), "is BYTES"),
    (request("image", "BYTES", [2**62, 1]), "1 to 64 items"),
    (request("pooled", "FP32", [1, 3], b"\x00" * 11), "not a whole number of FP32 values"),
    (request("pooled", "FP32", [1, 3], b"\x00" * 8), "has 2 values; its shape says 3"),
    (request("pooled", "FP32", [1, 3], np.array([1, np.inf, 2], np.float32).tobytes()), "not finite"),
    (request("pixels", "UINT8", [1, 2, 2], uint_contents=[1, 2, 3, 256]), "0 to 255"),
    (request("image", "BYTES", [1], bytes(4) * 1_000_000), "has more values than its shape, 1"),
    (request("image", "BYTES", [1] * 1000, b""), "1000 axes; at most 8 are allowed"),
    (request("pooled", "x" * 9000, [1, 3]), r"not x{64} \[1, 3\]$"),
    (request("y" * 9000, "FP32", [1, 3]), r"no input 'y{64}'; inputs"),
    (pb.ModelInferRequest(inputs=[pb.ModelInferRequest.InferInputTensor(name="image")] * 65), "65 inputs came"),
    (pb.ModelInferRequest(raw_input_contents=[b"x"]), "0 inputs came with 1 raw contents"),
]


@pytest.mark.parametrize(("message", "text"), BAD)
def test_contents_that_do_not_fit_are_refused(message, text):
    with pytest.raises(InvalidRequestError, match=text):
        read_inputs(message, [IMAGE, POOLED, PIXELS])


def test_inputs_of_different_batches_or_the_same_name_are_refused():
    two = request("image", "BYTES", [1], bytes_contents=[b"a"])
    two.inputs.add(name="pooled", datatype="FP32", shape=[2, 3]).contents.fp32_contents.extend([0] * 6)
    with pytest.raises(InvalidRequestError, match="different lengths"):
        read_inputs(two, [IMAGE, POOLED])
    two.inputs.append(two.inputs[0])
    with pytest.raises(InvalidRequestError, match="came twice"):
        read_inputs(two, [IMAGE, POOLED])


def test_damaged_raw_bytes_are_read_or_refused_and_nothing_else():
    dice = random.Random(7)
    whole = raw_bytes(b"abc", b"", b"x" * 40)
    for _ in range(2000):
        damaged = bytearray(whole[: dice.randrange(len(whole) + 1)])
        if damaged:
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            found = read_inputs(request("image", "BYTES", [3], bytes(damaged)), [IMAGE])["image"]
        except InvalidRequestError:
            continue
        assert raw_bytes(*found) == damaged


LIMIT = BodyLimit(1024 * 1024)


def test_damaged_http_bodies_are_read_or_refused_and_nothing_else():
    dice = random.Random(8)
    head = b'{"id":"1","parameters":{"a":1.5},"inputs":[{"name":"image","shape":[1],"datatype":"BYTES",'
    head += b'"parameters":{"binary_data_size":7}}],"outputs":[{"name":"labels"}]}'
    whole = head + raw_bytes(b"abc")
    assert [bytes(each) for each in read_request(whole, len(head), LIMIT)[1]] == [raw_bytes(b"abc")]
    refused = 0
    for _ in range(3000):
        damaged = bytearray(whole)
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            read_request(bytes(damaged), len(head), LIMIT)
        except InvalidRequestError:
            refused += 1
    assert refused > 1000
