"""What a co-training is asked for. No torch here."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trunkline.core.bundle import Name
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.tasks import known, task_of
from trunkline.core.train_request import FitOptions, PathText, TrainRequest

_MODES = ("features", "transfer", "pretrained")
_OF_A_REQUEST = frozenset(TrainRequest.model_fields) - {"name", "backbone", "spec", "options"}
_OF_ITS_FIT = frozenset(FitOptions.model_fields) - {"seed"}
HEAD_KEYS = _OF_A_REQUEST | _OF_ITS_FIT | {"share", "weight"}  # of a head in a plan
_MOST_HEADS = 32
Weight = Annotated[float, Field(gt=0, le=100)]
Pictures = Annotated[int, Field(ge=2, le=512)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptHead(_Value):
    """A classifier of the backbone that is to answer on the trunk as it did before.

    data: data sets beside those of the heads, whose pictures are learned from, without any label; their test pictures
    measure. share: pictures of a step. weight: of its loss beside the others.
    """

    data: Annotated[tuple[PathText, ...], Field(max_length=16)] = ()
    share: Pictures = 16
    weight: Weight = 1.0

    @field_validator("data", mode="before")
    @classmethod
    def _one_or_more(cls, data: Any) -> Any:
        return (data,) if isinstance(data, str) else data


class PlannedHead(_Value):
    """A head to be learned: `request` has what `trunkline train` has as options.

    share: pictures of a step. weight: of its loss beside the others. teacher: a head of the same task and classes
    whose answers are learned from beside the labels; where the task has a teacher in its request, that has it.
    """

    request: TrainRequest
    teacher: Name | None = None
    share: Pictures | None = None
    weight: Weight = 1.0

    @model_validator(mode="after")
    def _on_features(self) -> Self:
        if self.request.mode not in _MODES:
            raise ValueError(f"mode {self.request.mode} shares no trunk: choose one of {', '.join(_MODES)}")
        if self.request.mode == "pretrained" and not task_of(self.request.task).learns_likeness:
            raise ValueError("mode pretrained is for similarity here: a classifier of the backbone belongs into keep")
        return self


class Plan(_Value):
    """A trunk to be made.

    trunk: its name. backbone: what it is a copy of at first, NAME for the highest version. trained_after: the feature
    up to which it stays as it is; all after it is trained. spec: the preprocessing of all heads; or like: that of
    this head. keep: classifiers of the backbone, held by distillation. heads: by name.
    rounds: steps; each has a batch of every head. alone: share of them in which the heads learn and the trunk waits.
    rate: learning rate of the trunk. checkpoint_minutes: between two checkpoints. validations: how often the heads
    are measured on validation pictures on the way.
    """

    trunk: Name
    backbone: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}(/[1-9][0-9]{0,8})?$")] = "efficientnet-lite0"
    trained_after: Name = "c3"
    spec: PreprocessSpec | None = None
    like: Name | None = None
    keep: Annotated[Mapping[Name, KeptHead], Field(max_length=_MOST_HEADS)] = {}
    heads: Annotated[Mapping[Name, PlannedHead], Field(max_length=_MOST_HEADS)] = {}
    rounds: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    alone: Annotated[float, Field(ge=0, lt=1)] = 0.1
    rate: Annotated[float, Field(gt=0, le=1)] = 2e-4
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    checkpoint_minutes: Annotated[float, Field(gt=0, le=1440)] = 5.0
    validations: Annotated[int, Field(ge=1, le=1000)] = 8
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0

    @model_validator(mode="before")
    @classmethod
    def _requests_of_heads(cls, fields: Any) -> Any:
        if not isinstance(fields, Mapping):
            raise ValueError("a plan is a mapping: trunk, backbone, spec or like, heads")
        heads = fields.get("heads")
        if not isinstance(heads, Mapping):
            return fields
        seed = fields.get("seed", 0)
        made = {name: _split(name, head, fields.get("trunk"), seed) for name, head in heads.items()}
        return {**fields, "heads": made}

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.spec is None) == (self.like is None):
            raise ValueError(
                "give spec, such as {width: 480, height: 352, resize: pad}, or like with the name of a head"
            )
        if self.spec is not None and self.spec.colour != "RGB":
            raise ValueError("a trunk takes RGB: leave colour out of spec")
        if not self.heads:
            raise ValueError("there is no head to learn: name one or more in heads")
        both = sorted(self.keep.keys() & self.heads.keys())
        if both:
            raise ValueError(f"{both[0]} is in keep and in heads: leave it out of one")
        return self

    @property
    def source(self) -> tuple[str, int | None]:
        """Name and version of the backbone; None for the highest."""
        name, slash, version = self.backbone.partition("/")
        return name, int(version) if slash else None


def plan_text(plan: Plan) -> str:
    """The plan as YAML, without what is the default; data by the name of its folder alone."""
    fields = plan.model_dump(mode="json", exclude_defaults=True, exclude={"heads", "keep"})
    fields["trunk"] = plan.trunk
    if plan.keep:
        fields["keep"] = {name: _kept_fields(head) for name, head in plan.keep.items()}
    fields["heads"] = {name: _head_fields(head) for name, head in plan.heads.items()}
    text: str = yaml.safe_dump(fields, sort_keys=False)
    return text


def _kept_fields(head: KeptHead) -> dict[str, Any]:
    fields = head.model_dump(mode="json", exclude_defaults=True)
    return fields | ({"data": [PurePath(each).name for each in head.data]} if head.data else {})


def _head_fields(head: PlannedHead) -> dict[str, Any]:
    request = head.request.model_dump(mode="json", exclude_defaults=True, exclude={"name", "backbone", "options"})
    fit = head.request.options.model_dump(mode="json", exclude_defaults=True, exclude={"seed"})
    own = head.model_dump(mode="json", exclude_defaults=True, exclude={"request"})
    named = {key: PurePath(request[key]).name for key in ("data", "unlabelled") if key in request}
    return request | named | fit | own


def _split(name: Any, head: Any, trunk: Any, seed: Any) -> Any:
    """The keys of a head, which stand side by side in a plan, as those of PlannedHead."""
    if not isinstance(head, Mapping) or not isinstance(name, str):
        return head
    fit = {key: value for key, value in head.items() if key in _OF_ITS_FIT}
    task = known().by_name.get(head.get("task") or "classification")
    teachable = task is not None and task.training.teachable
    of_a_request = _OF_A_REQUEST if teachable else _OF_A_REQUEST - {"teacher"}
    request = {key: value for key, value in head.items() if key in of_a_request}
    rest = {key: value for key, value in head.items() if key not in _OF_ITS_FIT | of_a_request}
    named = {"name": name, "backbone": trunk if isinstance(trunk, str) else "trunk"}
    return {**rest, "request": {**request, **named, "options": {**fit, "seed": seed}}}
