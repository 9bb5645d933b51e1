"""Explanations as messages, and back."""

from collections.abc import Mapping

import numpy as np

from trunkline.api.vision.v1 import image_pb2
from trunkline.api.vision.v1 import vision_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.core.explaining import DEFAULT_CELLS, ExplainQuestion, Explanation, HeatMap, Method

_METHODS: Mapping[Method, pb.ExplainMethod.ValueType] = {
    "activation": pb.EXPLAIN_METHOD_ACTIVATION,
    "occlusion": pb.EXPLAIN_METHOD_OCCLUSION,
}
_BY_NUMBER: Mapping[int, Method] = {number: name for name, number in _METHODS.items()}


def question_from_pb(request: pb.ExplainRequest) -> ExplainQuestion:
    """Raises InvalidRequestError for a method that is not known here."""
    method = request.method
    if method != pb.EXPLAIN_METHOD_UNSPECIFIED and method not in _BY_NUMBER:
        raise InvalidRequestError(f"method {method} is not known: give one of {', '.join(_METHODS)}, or none")
    return ExplainQuestion(
        request.image.data,
        request.head,
        request.target,
        _BY_NUMBER.get(method),
        request.cells if request.HasField("cells") else DEFAULT_CELLS,
        request.other_image.data if request.HasField("other_image") else None,
    )


def question_to_pb(question: ExplainQuestion) -> pb.ExplainRequest:
    request = pb.ExplainRequest(
        image=image_pb2.Image(data=question.image),
        head=question.head,
        target=question.target,
        method=_METHODS[question.method] if question.method else pb.EXPLAIN_METHOD_UNSPECIFIED,
        cells=question.cells,
    )
    if question.other is not None:
        request.other_image.data = question.other
        request.other_image.SetInParent()
    return request


def explanation_to_pb(found: Explanation) -> pb.ExplainResponse:
    rows, columns = found.map.values.shape
    width, height = found.image_size
    return pb.ExplainResponse(
        head=found.head,
        model_version=found.version,
        target=found.target,
        strength=found.strength,
        method=_METHODS[found.method],
        adds_up=found.adds_up,
        map=pb.HeatMap(
            rows=rows,
            columns=columns,
            values=found.map.values.ravel().tolist(),
            left=found.map.left,
            top=found.map.top,
            right=found.map.right,
            bottom=found.map.bottom,
        ),
        image_size=image_pb2.ImageSize(width=width, height=height),
        backbone_passes=found.passes,
        total_ms=found.total_ms,
    )


def explanation_from_pb(found: pb.ExplainResponse) -> Explanation:
    map_ = found.map
    values = np.array(map_.values, np.float32).reshape(map_.rows, map_.columns)  # (rows, columns)
    return Explanation(
        found.head,
        found.model_version,
        found.target,
        found.strength,
        _BY_NUMBER.get(found.method, "occlusion"),
        found.adds_up,
        HeatMap(values, map_.left, map_.top, map_.right, map_.bottom),
        (found.image_size.width, found.image_size.height),
        found.backbone_passes,
        found.total_ms,
    )
