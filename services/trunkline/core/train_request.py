"""What a training run is asked for: a value that is checked, stored with a job, and repeated from a card.

No torch here: the command line and the service read it before a worker is started.
"""

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from trunkline.core.bundle import NAME_PATTERN, Name
from trunkline.core.errors import InvalidRequestError
from trunkline.core.params import parameters_of, parse_params
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.task import LIGHT, Training, Weights
from trunkline.core.tasks import known, task_of
from trunkline.core.terms import Terms
from trunkline.core.train_choices import Augmentation

# As in request.proto, where these limits are for callers to read.
_SHORT, _LONG = 255, 4096  # characters
_MANY, _FEW = 256, 64  # items of a list
_SHOWN = 200  # characters of what was sent, in an error
Text = Annotated[str, Field(max_length=_SHORT)]
PathText = Annotated[str, Field(min_length=1, max_length=_LONG)]
Texts = Annotated[tuple[Text, ...], Field(max_length=_MANY)]
Mode = Literal["pretrained", "features", "transfer", "finetune", "scratch"]


class FitOptions(BaseModel):
    """How a net is fitted. What is None takes the default of the mode, which needs no tuning.

    epochs: at most, in each stage; with validation data it ends early, when a quarter of them brought nothing better.
    balance: weigh classes by the inverse of their frequency.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    batch: Annotated[int, Field(ge=2, le=4096)] | None = None
    rate: Annotated[float, Field(gt=0, le=10)] | None = None
    weight_decay: Annotated[float, Field(ge=0, le=100)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    balance: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class TrainRequest(BaseModel):
    """A head to train.

    data: folder or CSV file of the data set, as the process that trains sees it.
    target: columns to learn, for regression; all columns of numbers where empty.
    angle: those of the targets that are angles, in degrees. unit: the unit of each target, by name.
    like: a head whose spec and backbone are taken, so that both share a pass.
    features, spec, views: None takes the default of the mode. views: how many times each picture is seen, the
    first as it is, the others augmented; with `pasted` fewer, as most pictures are new ones then.
    augmentation: what the other views are; None takes what keeps the truth of the task true.
    source: of mode `pretrained`, the classifier that is used as it is.
    net: of mode `scratch`, or of any where the task says so; None takes what suits the task. decoder, size, loss: for
    tasks that have a choice (`Training` in core/task.py). task_options: further ones of the task, by name.
    weights: a file that a net of the task begins in, as torchvision has it.
    tail: feature at which the private tail of mode `finetune` begins.
    teacher: a head whose answers are learned from beside the labels. taught: which of its classes is which class of
    the data, by name, where the names differ. unlabelled: a folder of further pictures, of which is known what the
    teacher answers.
    train_splits are learned from; validation_split, where the data has it and it is neither learned from nor
    evaluated on, picks the best epoch; evaluation is on test_split.
    licence: of the data, for the card. terms: what the head may be used for; None takes what the licence says.
    strict: whether a remark on the data is a fault, so that nothing is learned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    data: PathText
    task: Name = "classification"
    mode: Mode = "features"
    target: Texts = ()
    angle: Texts = ()
    unit: Annotated[Mapping[Text, Text], Field(max_length=_MANY)] = {}
    backbone: Name = "efficientnet-lite0"
    features: Annotated[tuple[Text, ...], Field(max_length=_FEW)] | None = None
    spec: PreprocessSpec | None = None
    like: Name | None = None
    views: Annotated[int, Field(ge=1, le=1000)] | None = None
    augmentation: Augmentation | None = None
    source: Name = "imagenet"
    net: Text | None = None
    decoder: Text = LIGHT
    size: Text = LIGHT
    loss: Text | None = None
    weights: PathText | None = None
    tail: Name = "c4"
    teacher: Name | None = None
    taught: Annotated[Mapping[Text, Text], Field(max_length=_MANY)] = {}
    unlabelled: PathText | None = None
    train_splits: Annotated[tuple[Text, ...], Field(min_length=1, max_length=_FEW)] = ("train",)
    validation_split: Text = "val"
    test_split: Text = "test"
    options: FitOptions = FitOptions()
    licence: Annotated[str, Field(max_length=_LONG)] = "not stated"
    strict: bool = False
    terms: Terms | None = None
    task_options: Annotated[Mapping[Text, Text], Field(max_length=_FEW)] = {}

    @field_validator("net", "decoder", "size")
    @classmethod
    def _of_some_task(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Which task has which is for the task to say, that knows the mode."""
        names = {"net": NETS, "decoder": DECODERS, "size": SIZES}[info.field_name or ""]()
        if value is not None and value not in names:
            raise PydanticCustomError("choice", f"no task has {value[:_SHOWN]!r}; there are: {', '.join(names)}")
        return value

    @field_validator("weights")
    @classmethod
    def _weights_fit_a_net(cls, weights: str | None, info: ValidationInfo) -> str | None:
        asked = {name: info.data.get(name) for name in ("task", "mode", "size")}
        known_ones = {name: task.training.weights for name, task in known().by_name.items() if task.training.weights}
        if weights is not None and not any(_fits(asked, name, each) for name, each in known_ones.items()):
            raise PydanticCustomError("net", "; ".join(each.about for each in known_ones.values()))
        return weights

    @model_validator(mode="after")
    def _choices_are_of_the_task(self) -> Self:
        training = self._training
        if self.loss is not None and self.loss not in training.losses:
            losses = ", ".join(training.losses) or "none"
            raise ValueError(f"loss {self.loss!r} is none of task {self.task}; its losses: {losses}")
        try:
            parse_params(training.options, self.task_options)
        except InvalidRequestError as error:
            raise ValueError(error.message) from error
        return self

    @model_validator(mode="after")
    def _like_is_a_spec(self) -> Self:
        if self.like is not None and self.spec is not None:
            raise ValueError("like takes the spec of another head: leave spec, its width and the like, out")
        if self.like is not None and self.mode == "pretrained" and self.task == "classification":
            raise ValueError("mode pretrained takes the spec of its source: leave like out")
        return self

    @model_validator(mode="after")
    def _teacher_is_of_the_task(self) -> Self:
        if self.teacher is not None and not self._training.teachable:
            names = ", ".join(name for name, task in known().by_name.items() if task.training.teachable)
            raise ValueError(f"a teacher is for task {names}: leave teacher out")
        if self.teacher is None and (self.taught or self.unlabelled):
            raise ValueError("taught and unlabelled need a teacher")
        return self

    @property
    def _training(self) -> Training:
        return task_of(self.task).training

    def command(self) -> str:
        """The command line that repeats this run, with the name of the data alone, no folder."""
        words = ["trunkline", "train", "--task", self.task, "--mode", self.mode]
        words += ["--data", PurePath(self.data).name, "--name", self.name, "--backbone", self.backbone]
        words += _repeated("--target", self.target) + _repeated("--angle", self.angle)
        words += _repeated("--unit", [f"{name}={unit}" for name, unit in self.unit.items()])
        words += _repeated("--feature", self.features or ()) + _repeated("--split", self.train_splits)
        words += ["--test-split", self.test_split]
        if self.spec is not None:
            words += ["--width", str(self.spec.width), "--height", str(self.spec.height)]
            words += ["--resize", self.spec.resize, "--colour", self.spec.colour]
            words += ["--crop-share", str(self.spec.crop_share)] if self.spec.crop_share < 1 else []
            bicubic = self.spec.interpolation == "bicubic"
            words += [] if bicubic else ["--interpolation", self.spec.interpolation]
        words += ["--like", self.like] if self.like else []
        words += ["--views", str(self.views)] if self.views is not None else []
        words += ["--augmentation", self.augmentation] if self.augmentation is not None else []
        words += ["--source", self.source] if self.mode == "pretrained" else []
        training = self._training
        words += ["--net", self.net] if self.net and (self.mode == "scratch" or training.chooses_net) else []
        words += ["--size", self.size] if training.sizes else []
        words += ["--decoder", self.decoder] if training.decoders and self.mode != "scratch" else []
        words += ["--loss", self.loss] if self.loss else []
        flags = {each.name: each.flag for each in parameters_of(training.options)}
        words += [word for name, value in self.task_options.items() for word in (flags[name], value)]
        words += ["--weights", PurePath(self.weights).name] if self.weights else []
        words += ["--tail", self.tail] if self.mode == "finetune" else []
        words += ["--terms", self.terms] if self.terms else []
        words += ["--teacher", self.teacher] if self.teacher else []
        words += _repeated("--taught", [f"{theirs}={ours}" for theirs, ours in self.taught.items()])
        words += ["--unlabelled", PurePath(self.unlabelled).name] if self.unlabelled else []
        words += ["--strict"] if self.strict else []
        words += _options(self.options)
        return shlex.join(words)


def _names(choice: Callable[[Training], tuple[str, ...]]) -> tuple[str, ...]:
    """Of all tasks, each once."""
    return tuple(dict.fromkeys(name for task in known().by_name.values() for name in choice(task.training)))


NETS = partial(_names, lambda training: training.nets)
DECODERS = partial(_names, lambda training: training.decoders)
SIZES = partial(_names, lambda training: training.sizes)


def _fits(asked: Mapping[str, str | None], task: str, weights: Weights) -> bool:
    return asked == {"task": task, "mode": weights.mode, "size": weights.size}


def parse_request(fields: Mapping[str, Any]) -> TrainRequest:
    """A request from values that came from outside. Raises InvalidRequestError that names the field."""
    try:
        return TrainRequest.model_validate(dict(fields))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))[:_SHOWN] or "the request"
        if where == "name" and fault["type"] == "string_pattern_mismatch":
            raise InvalidRequestError(
                f"name {fault['input'][:_SHOWN]!r}: "
                "names are 1 to 63 of a-z 0-9 . _ - and start with a letter or digit",
                pattern=NAME_PATTERN,
            ) from error
        raise InvalidRequestError(f"{where}: {fault['msg']}") from error


def stored_request(fields: Mapping[str, Any]) -> TrainRequest:
    """A request as it was stored; what is longer than the limits, from before there were any, is cut.

    Raises ValueError where it is none.
    """
    try:
        return TrainRequest.model_validate(fields)
    except ValidationError:
        return TrainRequest.model_validate({name: _cut(name, value) for name, value in fields.items()})


def _cut(name: str, value: Any) -> Any:
    longest = _LONG if name in ("data", "weights", "unlabelled", "licence") else _SHORT
    most = _FEW if name in ("features", "train_splits") else _MANY
    if isinstance(value, str):
        return value[:longest]
    if isinstance(value, list):
        return [_cut(name, each) for each in value[:most]]
    if name in ("unit", "taught", "task_options") and isinstance(value, Mapping):
        return {key[:longest]: _cut(name, value[key]) for key in list(value)[:most]}
    return value


def _repeated(option: str, values: Any) -> list[str]:
    return [word for value in values for word in (option, value)]


def _options(options: FitOptions) -> list[str]:
    words = []
    for name, value in options.model_dump(exclude_none=True, exclude={"balance"}).items():
        words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return [*words, *(["--balance"] if options.balance else [])]
