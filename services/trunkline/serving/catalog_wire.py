"""Messages of the catalog to domain values, and back."""

from pydantic import ValidationError

from trunkline.api.catalog.v1 import catalog_service_pb2 as pb
from trunkline.core.errors import InvalidRequestError
from trunkline.core.evaluation import Evaluation
from trunkline.core.models import Canary, HeadCatalog, Model, ModelVersion

_SHOWN = 64  # characters of a name that came
_PLAIN = ("name", "version", "task", "mode", "digest", "backbone", "backbone_digest", "label_count", "terms")
_ORIGIN = ("source", "licence", "data", "fault")
_LONGEST = 4096  # characters of a text of a manifest, which its card has whole


def model_to_pb(model: Model) -> pb.Model:
    message = pb.Model(name=model.name, task=model.task, versions=model.versions, fault=model.fault)
    state = model.catalog
    if state is not None:
        message.default_version = state.default
        message.history.extend(state.history)
        message.aliases.update(state.aliases)
        message.revision = state.revision
        if state.canary is not None:
            message.canary.CopyFrom(pb.Canary(version=state.canary.version, share=state.canary.share))
    return message


def model_from_pb(message: pb.Model) -> Model:
    """Raises InvalidRequestError for a state that no head can have."""
    try:
        return Model(message.name, message.task, tuple(message.versions), _state_from_pb(message), message.fault)
    except ValidationError as error:
        raise InvalidRequestError(
            f"model {message.name[:_SHOWN]!r} has a state that is not valid: {error}"
        ) from error


def _state_from_pb(message: pb.Model) -> HeadCatalog | None:
    if not message.default_version:
        return None
    canary = message.canary if message.HasField("canary") else None
    return HeadCatalog(
        revision=message.revision,
        default=message.default_version,
        history=tuple(message.history),
        aliases=dict(message.aliases),
        canary=Canary(version=canary.version, share=canary.share) if canary is not None else None,
    )


def version_to_pb(version: ModelVersion) -> pb.ModelVersion:
    message = pb.ModelVersion(
        **{name: getattr(version, name) for name in _PLAIN},
        **{name: getattr(version, name)[:_LONGEST] for name in _ORIGIN},
        features=version.features,
        metrics=version.metrics,
    )
    if version.evaluation is not None:
        message.evaluation.CopyFrom(pb.Evaluation(**version.evaluation.model_dump()))
    return message


def version_from_pb(message: pb.ModelVersion) -> ModelVersion:
    """Raises InvalidRequestError for an evaluation that is none."""
    return ModelVersion(
        **{name: getattr(message, name) for name in (*_PLAIN, *_ORIGIN)},
        features=tuple(message.features),
        metrics=dict(message.metrics),
        evaluation=_evaluation_from_pb(message.evaluation) if message.HasField("evaluation") else None,
    )


def _evaluation_from_pb(found: pb.Evaluation) -> Evaluation:
    try:
        return Evaluation(data=found.data, split=found.split, count=found.count, digest=found.digest)
    except ValidationError as error:
        raise InvalidRequestError(f"an evaluation is not valid: {error}") from error
