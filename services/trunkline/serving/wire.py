"""The only place, with the other wire modules beside it, where messages become domain values and back."""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from google.protobuf import duration_pb2, json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message
from pydantic import ValidationError

from trunkline.api.inference.v1 import backbone_service_pb2, head_service_pb2, preprocess_pb2, tensor_pb2
from trunkline.api.vision.v1 import vision_service_pb2
from trunkline.core.bundle import FeatureSpec
from trunkline.core.errors import FeaturesGoneError, InvalidRequestError
from trunkline.core.exchange import BackboneInfo, Feature, HeadInfo, HeadQuestion, Held, RemoteFeature, Routes
from trunkline.core.explaining import PixelMask, PlacesAnswer
from trunkline.core.preprocess import Frame, PreprocessSpec, parse_spec, shared_spec
from trunkline.core.terms import terms_of
from trunkline.serving.shared.layout import Region
from trunkline.serving.shared.reader import ArenaReader

_DTYPES: Mapping[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
}
_LONGEST_S = 1e9
_MOST_AXES = 8
_FRAME_FIELDS = tuple(field.name for field in backbone_service_pb2.Frame.DESCRIPTOR.fields)
_DTYPE_IDS = {dtype: number for number, dtype in _DTYPES.items()}


# Tensors ---------------------------------------------------------------------------------------------------


def tensor_to_pb(array: np.ndarray) -> tensor_pb2.Tensor:
    """With the numbers inline. Raises TypeError for a dtype that the wire does not know."""
    tensor = shape_to_pb(array)
    tensor.data = array.tobytes()
    return tensor


def shape_to_pb(array: np.ndarray) -> tensor_pb2.Tensor:
    """Dtype and shape without the numbers. Raises TypeError for a dtype that the wire does not know."""
    number = _DTYPE_IDS.get(array.dtype)
    if number is None:
        raise TypeError(f"no wire type for {array.dtype}; known: {[str(dtype) for dtype in _DTYPE_IDS]}")
    return tensor_pb2.Tensor(dtype=number, shape=array.shape)  # type: ignore[arg-type]


def tensor_from_pb(tensor: tensor_pb2.Tensor, reader: ArenaReader | None = None) -> np.ndarray:
    """A read-only array over the message's bytes, or over the shared memory that it names.

    Raises InvalidRequestError where they do not fit the shape, FeaturesGoneError where they cannot be read.
    """
    if len(tensor.shape) > _MOST_AXES:
        raise InvalidRequestError(f"a tensor has {len(tensor.shape)} axes; {_MOST_AXES} are the most")
    dtype, shape = _DTYPES.get(tensor.dtype), tuple(tensor.shape)
    if dtype is None or any(length < 0 for length in shape):
        raise InvalidRequestError(f"a tensor has dtype {tensor.dtype} and shape {shape}, which is not valid")
    want = dtype.itemsize * math.prod(shape)  # as Python counts: a product of int64 can overflow
    data = _shared_data(region_of(tensor), reader) if tensor.HasField("shared") else tensor.data
    if len(data) != want:
        raise InvalidRequestError(f"a tensor of shape {shape} needs {want} bytes, not {len(data)}")
    try:
        return np.frombuffer(data, dtype).reshape(shape)
    except ValueError as error:  # empty, and yet with axes that are longer than numpy counts
        raise InvalidRequestError(f"a tensor has shape {shape}, which is not valid") from error


def region_of(tensor: tensor_pb2.Tensor) -> Region:
    """Where a shared tensor's numbers are said to be."""
    shared = tensor.shared
    return Region(shared.arena, shared.generation, shared.offset, shared.length)


def _shared_data(region: Region, reader: ArenaReader | None) -> np.ndarray:
    if reader is None:
        raise FeaturesGoneError("this process reads no shared features", arena=region.arena)
    return reader.view(region)


def tensors_to_pb(arrays: Mapping[str, np.ndarray]) -> dict[str, tensor_pb2.Tensor]:
    return {name: tensor_to_pb(array) for name, array in arrays.items()}


def tensors_from_pb(
    tensors: Mapping[str, tensor_pb2.Tensor], reader: ArenaReader | None = None
) -> dict[str, np.ndarray]:
    return {name: tensor_from_pb(tensor, reader) for name, tensor in tensors.items()}


# Features that pass through. Serialised messages can be laid behind each other, and are then read as one: so the
# part of a PredictRequest that holds a feature is made once, and each head that needs it costs one copy, no parsing.
# In a PredictAllRequest features have the same number.


def remote_feature(name: str, tensor: tensor_pb2.Tensor, held: Held | None = None) -> RemoteFeature:
    """The feature `name` as it is handed on to heads."""
    return RemoteFeature(head_service_pb2.PredictRequest(features={name: tensor}).SerializeToString(), held)


def predict_request(question: HeadQuestion) -> bytes:
    """The serialised message."""
    message = head_service_pb2.PredictRequest(
        head=question.head,
        frame=frame_to_pb(question.frame),
        backbone_digest=question.backbone_digest,
        params=params_to_pb(question.params) if question.params else None,
        version=question.version,
        optional=not question.required,
        variant=question.variant,
    )
    return _with_features(message, question.features)


def predict_all_request(questions: Sequence[HeadQuestion]) -> bytes:
    """The serialised message for several questions about one pass; each feature is in it once."""
    first = questions[0]
    message = head_service_pb2.PredictAllRequest(
        frame=frame_to_pb(first.frame),
        backbone_digest=first.backbone_digest,
        questions=[
            head_service_pb2.HeadQuestion(
                head=each.head,
                version=each.version,
                features=each.features,
                params=params_to_pb(each.params) if each.params else None,
                optional=not each.required,
                variant=each.variant,
            )
            for each in questions
        ],
    )
    return _with_features(message, {name: value for each in questions for name, value in each.features.items()})


def _with_features(message: Message, features: Mapping[str, Feature]) -> bytes:
    parts = (
        value if isinstance(value, RemoteFeature) else remote_feature(name, tensor_to_pb(value))
        for name, value in features.items()
    )
    return b"".join([message.SerializeToString(), *(part.message for part in parts)])


def array_of(feature: Feature) -> np.ndarray:
    """The numbers of a feature, for who asked for it without naming arenas.

    Raises FeaturesGoneError where they are in shared memory.
    """
    if isinstance(feature, np.ndarray):
        return feature
    (tensor,) = head_service_pb2.PredictRequest.FromString(feature.message).features.values()
    return tensor_from_pb(tensor)


def mask_to_pb(mask: PixelMask) -> backbone_service_pb2.PixelMask:
    return backbone_service_pb2.PixelMask(rows=mask.rows, columns=mask.columns, shown=mask.shown)


def mask_from_pb(mask: backbone_service_pb2.PixelMask) -> PixelMask:
    """Raises InvalidRequestError where it is none."""
    return PixelMask(mask.rows, mask.columns, mask.shown)


def places_to_pb(found: PlacesAnswer) -> head_service_pb2.ExplainHeadResponse:
    rows, columns = found.values.shape
    return head_service_pb2.ExplainHeadResponse(
        model_version=found.version,
        target=found.target,
        strength=found.strength,
        adds_up=found.adds_up,
        rows=rows,
        columns=columns,
        values=found.values.ravel().tolist(),
    )


def places_from_pb(found: head_service_pb2.ExplainHeadResponse) -> PlacesAnswer:
    """Raises InvalidRequestError where there are not as many values as places."""
    if found.rows < 0 or found.columns < 0 or len(found.values) != found.rows * found.columns:
        raise InvalidRequestError(f"{len(found.values)} values for {found.rows}x{found.columns} places")
    values = np.array(found.values, np.float32).reshape(found.rows, found.columns)  # (h, w)
    return PlacesAnswer(found.model_version, found.target, found.strength, values, found.adds_up)


# Specs, frames, descriptions -------------------------------------------------------------------------------


def spec_to_pb(spec: PreprocessSpec) -> preprocess_pb2.PreprocessSpec:
    return preprocess_pb2.PreprocessSpec(**spec.model_dump())


def spec_from_pb(spec: preprocess_pb2.PreprocessSpec) -> PreprocessSpec:
    """Raises InvalidRequestError for a spec that is not legal."""
    return _spec_of(spec.SerializeToString(deterministic=True))


@functools.lru_cache(maxsize=256)
def _spec_of(message: bytes) -> PreprocessSpec:
    """The same few specs come with every request, and to check one takes longer than all else in a message."""
    spec = preprocess_pb2.PreprocessSpec.FromString(message)
    return shared_spec(parse_spec({field.name: getattr(spec, field.name) for field in spec.DESCRIPTOR.fields}))


def frame_to_pb(frame: Frame) -> backbone_service_pb2.Frame:
    return backbone_service_pb2.Frame(**vars(frame))


def frame_from_pb(frame: backbone_service_pb2.Frame) -> Frame:
    return Frame(**{name: getattr(frame, name) for name in _FRAME_FIELDS})


def backbones_to_pb(infos: Sequence[BackboneInfo]) -> backbone_service_pb2.DescribeBackboneResponse:
    served = list(map(_backbone_to_pb, infos))
    if not served:
        return backbone_service_pb2.DescribeBackboneResponse()
    first = served[0]
    return backbone_service_pb2.DescribeBackboneResponse(
        name=first.name, version=first.version, digest=first.digest, features=first.features, backbones=served
    )


def backbones_from_pb(served: backbone_service_pb2.DescribeBackboneResponse) -> list[BackboneInfo]:
    """Raises InvalidRequestError for a feature that none can be."""
    if served.backbones:
        return list(map(_backbone_from_pb, served.backbones))
    return [_backbone_from_pb(served)] if served.digest else []


def _backbone_to_pb(info: BackboneInfo) -> backbone_service_pb2.ServedBackbone:
    features = [backbone_service_pb2.FeatureSpec(**feature.model_dump()) for feature in info.features]
    return backbone_service_pb2.ServedBackbone(
        name=info.name, version=info.version, digest=info.digest, features=features
    )


def _backbone_from_pb(
    info: backbone_service_pb2.ServedBackbone | backbone_service_pb2.DescribeBackboneResponse,
) -> BackboneInfo:
    try:
        features = [FeatureSpec(name=f.name, channels=f.channels, stride=f.stride) for f in info.features]
    except ValidationError as error:
        raise InvalidRequestError(f"a backbone is described with a feature that is not valid: {error}") from error
    return BackboneInfo(info.name, info.version, info.digest, tuple(features))


def head_to_pb(head: HeadInfo) -> vision_service_pb2.Head:
    return vision_service_pb2.Head(
        name=head.name,
        version=head.version,
        task=head.task,
        digest=head.digest,
        backbone=head.backbone,
        backbone_digest=head.backbone_digest,
        features=head.features,
        preprocess_fingerprint=head.spec.fingerprint,
        labels=head.labels,
        mode=head.mode,
        ready=not head.fault,
        fault=head.fault,
        other_versions=[other.version for other in head.routes.others],
        aliases=head.routes.aliases,
        canary_version=head.routes.canary,
        canary_share=head.routes.canary_share,
        warning=head.routes.warning,
        terms=head.terms or "",
        barred=head.barred,
        variants=map(_variant_to_pb, head.variants),
    )


def _variant_to_pb(variant: HeadInfo) -> vision_service_pb2.HeadVariant:
    return vision_service_pb2.HeadVariant(
        preprocess_fingerprint=variant.variant,
        spec=variant.spec.words,
        points_lost=variant.points_lost,
        digest=variant.digest,
    )


def served_head_to_pb(head: HeadInfo) -> head_service_pb2.ServedHead:
    """The default version of a head with all that its routes lead to."""
    others = [
        head_service_pb2.ServedVersion(
            head=head_to_pb(other), preprocess=spec_to_pb(other.spec), variants=_specs_of_variants(other)
        )
        for other in head.routes.others
    ]
    return head_service_pb2.ServedHead(
        head=head_to_pb(head),
        preprocess=spec_to_pb(head.spec),
        others=others,
        variants=_specs_of_variants(head),
    )


def _specs_of_variants(head: HeadInfo) -> list[preprocess_pb2.PreprocessSpec]:
    return [spec_to_pb(variant.spec) for variant in head.variants]


def served_head_from_pb(served: head_service_pb2.ServedHead) -> HeadInfo:
    head = served.head
    routes = Routes(
        others=tuple(_version_from_pb(other) for other in served.others),
        canary=head.canary_version,
        canary_share=head.canary_share,
        aliases=dict(head.aliases),
        warning=head.warning,
    )
    return replace(_version_from_pb(served), routes=routes)


def _version_from_pb(served: head_service_pb2.ServedHead | head_service_pb2.ServedVersion) -> HeadInfo:
    """With those of its variants whose spec came with them."""
    info = head_from_pb(served.head, spec_from_pb(served.preprocess))
    variants = zip(served.head.variants, served.variants, strict=False)
    return replace(info, variants=tuple(_variant_from_pb(info, *each) for each in variants))


def _variant_from_pb(
    info: HeadInfo, variant: vision_service_pb2.HeadVariant, spec: preprocess_pb2.PreprocessSpec
) -> HeadInfo:
    return replace(
        info,
        digest=variant.digest,
        spec=spec_from_pb(spec),
        variant=variant.preprocess_fingerprint,
        points_lost=variant.points_lost,
    )


def head_from_pb(head: vision_service_pb2.Head, spec: PreprocessSpec) -> HeadInfo:
    return HeadInfo(
        name=head.name,
        version=head.version,
        task=head.task,
        digest=head.digest,
        backbone=head.backbone,
        backbone_digest=head.backbone_digest,
        features=tuple(head.features),
        spec=spec,
        mode=head.mode,
        labels=tuple(head.labels),
        fault=head.fault,
        terms=terms_of(head.terms),
        barred=head.barred,
    )


# Parameters ------------------------------------------------------------------------------------------------


def params_to_pb(params: Mapping[str, Any]) -> struct_pb2.Struct:
    """Raises InvalidRequestError for values that JSON does not have."""
    struct = struct_pb2.Struct()
    try:
        struct.update(dict(params))
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(f"parameters are JSON values: {error}") from error
    return struct


def params_from_pb(params: struct_pb2.Struct) -> dict[str, Any]:
    """Raises InvalidRequestError for a number that is not finite, which JSON does not have."""
    try:
        return json_format.MessageToDict(params) if params.fields else {}
    except (json_format.Error, ValueError) as error:
        raise InvalidRequestError("parameters are JSON values, so their numbers are finite") from error


def time_from_pb(stamp: timestamp_pb2.Timestamp) -> datetime:
    """In UTC. Raises InvalidRequestError for what is no time."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"{stamp.seconds} s and {stamp.nanos} ns are no time") from error


def seconds_from_pb(duration: duration_pb2.Duration) -> float:
    return float(duration.seconds + duration.nanos / 1e9)


def seconds_to_pb(seconds: float) -> duration_pb2.Duration:
    """Raises InvalidRequestError for what is no time above 0 that a message can hold."""
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidRequestError(f"{seconds:g} is no time: give seconds above 0")
    whole = int(seconds)
    return duration_pb2.Duration(seconds=whole, nanos=max(int(not whole), int((seconds - whole) * 1e9)))
