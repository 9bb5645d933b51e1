"""Masks, heat maps, maps of a backbone, and what each place adds to a head that is not linear."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from trunkline.backbone.maps import with_maps
from trunkline.core.errors import InvalidRequestError
from trunkline.core.explaining import HeatMap, PixelMask
from trunkline.core.preprocess import Frame
from trunkline.heads.places import explained
from trunkline.serving.session import OnnxSession


def test_a_mask_hides_its_cell_and_nothing_far_from_it():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), np.uint8)
    hidden = PixelMask.hiding(2, 3, 4).applied(pixels)  # the lower of the middle
    mean = pixels.mean(axis=(0, 1, 2))
    assert np.abs(hidden[0, 48, 48].astype(float) - mean).max() <= 4  # half a pixel off the centre
    assert np.array_equal(hidden[0, :16, :16], pixels[0, :16, :16])
    assert np.array_equal(PixelMask(1, 1, b"\xff").applied(pixels), pixels)


@pytest.mark.parametrize(("rows", "columns", "shown"), [(0, 1, b""), (65, 1, b"x" * 65), (2, 2, b"abc")])
def test_a_mask_that_is_none_is_refused(rows, columns, shown):
    with pytest.raises(InvalidRequestError, match="mask"):
        PixelMask(rows, columns, shown)


def test_a_heat_map_lies_where_the_model_looked():
    frame = Frame(200, 100, 0.5, 50.0, 0.5, 0.0, 200, 200)  # the middle of the picture
    heat = HeatMap.of(np.array([[1.0, 0.0], [0.0, -1.0]]), frame)
    over = heat.over(200, 100)  # (H, W)
    assert (heat.left, heat.top, heat.right, heat.bottom) == (50, 0, 150, 100)
    assert over[:, :50].any() == over[:, 151:].any() == False  # noqa: E712
    assert over[10, 60] == pytest.approx(1)
    assert over[90, 140] == pytest.approx(-1)
    assert over[49:51, 99:101].mean() == pytest.approx(0, abs=0.02)


def pooling_file(*between: str) -> bytes:
    """An ONNX file: image (N, 3, H, W) -> vector (N, 3), the mean of its ReLU, after these operations."""
    nodes = [helper.make_node("Relu", ["image"], ["map"]), helper.make_node("GlobalAveragePool", ["map"], ["mean"])]
    last = "mean"
    for number, kind in enumerate((*between, "Flatten")):
        name = f"step{number}"
        nodes.append(helper.make_node(kind, [last], [name]))
        last = name
    nodes[-1].output[0] = "vector"
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])]
    outputs = [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["n", 3])]
    graph = helper.make_graph(nodes, "net", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def test_the_map_of_a_vector_becomes_an_output_and_nothing_else_changes():
    model = pooling_file("Identity")
    found, maps = with_maps(model, ["vector"])
    session = OnnxSession(found, "net")
    image = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32)
    answer = session.run({"image": image}, ["vector", maps["vector.map"]])
    assert answer[maps["vector.map"]].mean(axis=(2, 3)) == pytest.approx(answer["vector"], abs=1e-6)
    before = onnx.load_from_string(model)
    after = onnx.load_from_string(found)
    assert list(after.graph.node) == list(before.graph.node)
    assert len(after.graph.output) == 2


def test_a_vector_that_is_no_mean_has_no_map():
    assert with_maps(pooling_file("Relu"), ["vector"])[1] == {}
    assert with_maps(pooling_file(), ["another"])[1] == {}


def two_layers(net: nn.Sequential) -> bytes:
    """The ONNX file of a linear layer, tanh and a linear layer: pooled (N, C) -> logits (N, K)."""
    first, last = net[0], net[2]
    weights = {"w0": first.weight, "b0": first.bias, "w1": last.weight, "b1": last.bias}
    nodes = [
        helper.make_node("Gemm", ["pooled", "w0", "b0"], ["hidden"], transB=1),
        helper.make_node("Tanh", ["hidden"], ["bent"]),
        helper.make_node("Gemm", ["bent", "w1", "b1"], ["logits"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", first.in_features])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", last.out_features])]
    made = [numpy_helper.from_array(value.detach().numpy(), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "head", inputs, outputs, made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class Logits:
    """Explains class 2."""

    def strengths(self, outputs, target, reference):
        return "two", outputs["logits"][:, 2]


def test_hirescam_of_a_head_that_is_not_linear_is_that_of_gradients():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    map_ = torch.rand(1, 16, 5, 6, requires_grad=True)
    logit = net(map_.mean(dim=(2, 3)))[0, 2]
    logit.backward()
    expected = (map_.grad * map_).sum(dim=1)[0].detach().numpy()  # (5, 6); Draelos and Carin, equation 4
    info = SimpleNamespace(name="head", task="classification", version="1")
    head = SimpleNamespace(info=info, decoder=Logits(), runs=OnnxSession(two_layers(net), "head"))
    values = map_.detach().numpy()
    found = explained(head, {"pooled": values.mean(axis=(2, 3)), "pooled.map": values}, "", ())
    assert not found.adds_up
    assert found.strength == pytest.approx(logit.item(), abs=1e-5)
    assert found.values == pytest.approx(expected, abs=2e-3 * float(np.abs(expected).max()))
