"""What heads answer as messages, and back."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf import struct_pb2
from google.protobuf.message import Message

from trunkline.api.vision.v1 import results_pb2, vision_service_pb2
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import HeadAnswer, RemoteResult
from trunkline.core.results import (
    Box,
    Calibration,
    Classification,
    Comparison,
    Custom,
    Detection,
    Detections,
    Embedding,
    Quantity,
    Regression,
    Result,
    RunLengthMask,
    ScoredLabel,
    Segmentation,
    SegmentClass,
)
from trunkline.serving.wire import params_from_pb, params_to_pb


def put_result(outcome: vision_service_pb2.HeadOutcome, result: Result) -> None:
    """Set the field of the outcome that belongs to the type of the result."""
    if isinstance(result, Classification):  # most calls: filled in place, at half the cost
        _put_labels(outcome.classification, result)
        return
    name, to_pb, _ = _BY_TYPE[type(result)]
    getattr(outcome, name).CopyFrom(to_pb(result))


def outcome_to_pb(head: str, answer: HeadAnswer) -> vision_service_pb2.HeadOutcome:
    """The answer of a head, under the name that it was asked by; one of another process is handed on as it came."""
    result = answer.result
    if isinstance(result, RemoteResult):
        outcome: vision_service_pb2.HeadOutcome = result.message
        outcome.head, outcome.head_ms = head, answer.head_ms
        return outcome
    outcome = vision_service_pb2.HeadOutcome(
        head=head, model_version=answer.version, head_ms=answer.head_ms, queue_ms=answer.queue_ms
    )
    put_result(outcome, result)
    return outcome


def remote_answer(outcome: vision_service_pb2.HeadOutcome) -> HeadAnswer | None:
    """The answer that an outcome holds, its result unread; None where it has none that is known here."""
    if outcome.WhichOneof("result") in (None, "error"):
        return None
    result = RemoteResult(outcome, functools.partial(_read, outcome))
    return HeadAnswer(result, outcome.model_version, outcome.head_ms, outcome.queue_ms)


def _read(outcome: vision_service_pb2.HeadOutcome) -> Result:
    result = get_result(outcome)
    if result is None:
        raise InvalidRequestError("an outcome without a result")
    return result


def get_result(outcome: vision_service_pb2.HeadOutcome) -> Result | None:
    """The result of an outcome; None where it holds an error instead. Raises InvalidRequestError."""
    name = outcome.WhichOneof("result")
    if name is None or name == "error":
        return None
    from_pb = _FROM_PB[name]
    return from_pb(getattr(outcome, name))


def _label_to_pb(label: ScoredLabel) -> results_pb2.ScoredLabel:
    return results_pb2.ScoredLabel(index=label.index, label=label.label, score=label.score)


def _label_from_pb(label: results_pb2.ScoredLabel) -> ScoredLabel:
    return ScoredLabel(label.index, label.label, label.score)


def _mask_to_pb(mask: RunLengthMask | None) -> results_pb2.RunLengthMask | None:
    return None if mask is None else results_pb2.RunLengthMask(**vars(mask))


def _mask_from_pb(owner: Any) -> RunLengthMask | None:
    mask = owner.mask
    return RunLengthMask(mask.width, mask.height, mask.counts) if owner.HasField("mask") else None


def _classification_to_pb(result: Classification) -> results_pb2.Classification:
    message = results_pb2.Classification()
    _put_labels(message, result)
    return message


def _put_labels(message: results_pb2.Classification, result: Classification) -> None:
    message.SetInParent()  # without labels it is still the result
    for label in result.labels:
        message.labels.add(index=label.index, label=label.label, score=label.score)


def _classification_from_pb(result: results_pb2.Classification) -> Classification:
    return Classification(tuple(map(_label_from_pb, result.labels)))


def _regression_to_pb(result: Regression) -> results_pb2.Regression:
    return results_pb2.Regression(values=[results_pb2.Quantity(**vars(value)) for value in result.values])


def _regression_from_pb(result: results_pb2.Regression) -> Regression:
    return Regression(tuple(Quantity(value.name, value.value, value.unit) for value in result.values))


def _detections_to_pb(result: Detections) -> results_pb2.Detections:
    objects: Iterable[results_pb2.Detection] = (
        results_pb2.Detection(
            box=results_pb2.Box(**vars(found.box)),
            label=_label_to_pb(found.label),
            mask=_mask_to_pb(found.mask),
        )
        for found in result.objects
    )
    return results_pb2.Detections(objects=objects)


def _detections_from_pb(result: results_pb2.Detections) -> Detections:
    return Detections(
        tuple(
            Detection(
                Box(found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max),
                _label_from_pb(found.label),
                _mask_from_pb(found),
            )
            for found in result.objects
        )
    )


def _segmentation_to_pb(result: Segmentation) -> results_pb2.Segmentation:
    classes: Iterable[results_pb2.SegmentClass] = (
        results_pb2.SegmentClass(
            index=part.index,
            label=part.label,
            area=part.area,
            confidence=part.confidence,
            mask=_mask_to_pb(part.mask),
        )
        for part in result.classes
    )
    return results_pb2.Segmentation(
        label_map_png=result.label_map_png, classes=classes, confidence_map_png=result.confidence_map_png
    )


def _segmentation_from_pb(result: results_pb2.Segmentation) -> Segmentation:
    classes = (
        SegmentClass(part.index, part.label, part.area, part.confidence, _mask_from_pb(part))
        for part in result.classes
    )
    return Segmentation(result.label_map_png, tuple(classes), result.confidence_map_png)


def embedding_to_pb(result: Embedding) -> results_pb2.Embedding:
    calibration = results_pb2.EmbeddingCalibration(**vars(result.calibration)) if result.calibration else None
    return results_pb2.Embedding(space=result.space, values=result.values, calibration=calibration)


def embedding_from_pb(result: results_pb2.Embedding) -> Embedding:
    found = result.calibration
    calibration = Calibration(found.threshold, found.slope, found.offset) if result.HasField("calibration") else None
    return Embedding(result.space, tuple(result.values), calibration)


def comparison_to_pb(found: Comparison) -> results_pb2.Comparison:
    return results_pb2.Comparison(
        space=found.space,
        distance=found.distance,
        cosine_similarity=found.similarity,
        probability=found.probability,
        threshold=found.threshold,
        same=found.same,
    )


def comparison_from_pb(found: results_pb2.Comparison) -> Comparison:
    calibrated = found.HasField("probability")
    rest = (found.probability, found.threshold, found.same) if calibrated else (None, None, None)
    return Comparison(found.space, found.distance, found.cosine_similarity, *rest)


def _custom_to_pb(result: Custom) -> struct_pb2.Struct:
    return params_to_pb(result.fields)


def _custom_from_pb(result: struct_pb2.Struct) -> Custom:
    return Custom(params_from_pb(result))


_Converters = tuple[str, Callable[[Any], Message], Callable[[Any], Result]]
_BY_TYPE: Mapping[type, _Converters] = {
    Classification: ("classification", _classification_to_pb, _classification_from_pb),
    Regression: ("regression", _regression_to_pb, _regression_from_pb),
    Detections: ("detections", _detections_to_pb, _detections_from_pb),
    Segmentation: ("segmentation", _segmentation_to_pb, _segmentation_from_pb),
    Embedding: ("embedding", embedding_to_pb, embedding_from_pb),
    Custom: ("custom", _custom_to_pb, _custom_from_pb),
}
_FROM_PB = {name: from_pb for name, _, from_pb in _BY_TYPE.values()}
