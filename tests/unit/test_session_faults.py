"""A model that cannot compute with what it was given says so in one line."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from trunkline.core.errors import ModelInvalidError
from trunkline.serving.session import OnnxSession


def sum_of_two() -> bytes:
    maps = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, f"h_{name}", 3]) for name in ("a", "b")]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["out"])], "sum", maps, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.ModelProto.SerializeToString(model)


def test_maps_that_do_not_go_together_are_refused_without_the_words_of_the_runtime(caplog):
    session = OnnxSession(sum_of_two(), "sum/1")
    whole = np.ones((1, 2, 4, 3), np.float32)
    assert session.run({"a": whole, "b": whole})["out"].sum() == 48
    with pytest.raises(ModelInvalidError, match="sum/1 cannot compute with these inputs") as refused:
        session.run({"a": whole, "b": np.ones((1, 2, 7, 3), np.float32)})
    assert "broadcast" not in refused.value.message
    assert "sum/1 could not compute" in caplog.text
