"""A linear map toward what a head knows: it finds one that is there, harms nothing where there is none to find, and
becomes part of the head's own net.
"""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnx")

from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.serving.session import OnnxSession
from trunkline.training.variants.adapt import LinearMap, fit_map, with_map

WIDTH = 12


def vectors(count, seed):
    """float64 (count, WIDTH), with directions that vary much and little."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)) * np.geomspace(3, 0.1, WIDTH)


def true_map():
    rng = np.random.default_rng(5)
    return LinearMap(np.eye(WIDTH) + rng.normal(0, 0.2, (WIDTH, WIDTH)), rng.normal(size=WIDTH), 0.0, 0)


def test_a_map_that_is_there_is_found():
    seen, true = vectors(400, 1), true_map()
    noise = np.random.default_rng(2).normal(0, 0.01, (400, WIDTH))
    found = fit_map(seen, true(seen) + noise)
    fresh = vectors(200, 3)
    assert np.abs(found(fresh) - true(fresh)).max() < 0.1
    assert np.abs(fresh - true(fresh)).max() > 1


def test_of_noise_little_is_learned():
    seen = vectors(64, 1)
    found = fit_map(seen, seen + np.random.default_rng(2).normal(0, 1, (64, WIDTH)))
    fresh = vectors(200, 3)
    away = np.linalg.norm(found(fresh) - fresh, axis=1).mean()
    noise = np.sqrt(WIDTH)
    assert away < 0.4 * noise


def test_too_few_pictures_are_refused():
    with pytest.raises(InvalidRequestError, match="31 pictures are too few to adapt on: give 32 or more"):
        fit_map(vectors(31, 0), vectors(31, 0))


def linear(transposed):
    rng = np.random.default_rng(7)
    weight = rng.normal(size=(5, WIDTH)).astype(np.float32)
    stored = [
        numpy_helper.from_array(weight if transposed else np.ascontiguousarray(weight.T), "weight"),
        numpy_helper.from_array(rng.normal(size=5).astype(np.float32), "bias"),
    ]
    node = helper.make_node("Gemm", ["pooled", "weight", "bias"], ["logits"], transB=int(transposed))
    return model_of([node], stored, "logits", 5)


def scaled():
    """As the nets of heads on vectors as they are: centred and scaled."""
    stored = [
        numpy_helper.from_array(np.full(WIDTH, value, np.float32), name) for name, value in (("m", 1), ("s", 2))
    ]
    nodes = [helper.make_node("Sub", ["pooled", "m"], ["x"]), helper.make_node("Div", ["x", "s"], ["embedding"])]
    return model_of(nodes, stored, "embedding", WIDTH)


def model_of(nodes, stored, output, width):
    given = helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["n", WIDTH])
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n", width])
    graph = helper.make_graph(nodes, "head", [given], [answer], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()


@pytest.mark.parametrize(("model", "nodes"), [(linear(True), 1), (linear(False), 1), (scaled(), 3)])
def test_the_net_computes_what_it_did_with_the_map_before_it(model, nodes):
    learned, pooled = true_map(), vectors(6, 4)
    changed = with_map(model, "pooled", learned)
    assert len(onnx.load_from_string(changed).graph.node) == nodes  # a linear layer takes the map in
    before = OnnxSession(model, "before").run({"pooled": learned(pooled).astype(np.float32)})
    after = OnnxSession(changed, "after").run({"pooled": pooled.astype(np.float32)})
    assert list(before) == list(after)
    for name in before:
        assert np.allclose(before[name], after[name], rtol=1e-4, atol=1e-4)


def test_a_net_that_sees_more_is_refused():
    with pytest.raises(ModelInvalidError, match="only a head on 'c5' alone"):
        with_map(linear(True), "c5", true_map())
