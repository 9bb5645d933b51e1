"""What a task is, in one object: `heads/<task>/task.py` defines a class `Task` below BaseTask.

Gateway, HTTP port, Open Inference Protocol, client, command line, load test, evaluation and the promotion gate know
no task: they loop over those that are there (`core/tasks.py`) and ask them. So nothing heavy is imported with a task:
its module needs no numpy, no message and no runtime before a method is called.
"""

import base64
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

from trunkline.core.params import Params
from trunkline.core.results import Custom, Quantity, Result, ScoredLabel
from trunkline.core.text import unknown_name

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

R = TypeVar("R", bound=Result)
# labels: several classes of a picture. points: named ones of an object. flaws: good pictures, and where others are
# not, which are measured on alone.
Truth = Literal["classes", "labels", "numbers", "objects", "masks", "points", "flaws"]
LIGHT = "light"  # decoder and size of a net where nothing else is asked for
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Call:
    """How a head of the task is asked alone.

    name: of the call of VisionService where the contract has one, such as Classify; `trunkline classify` and
    `client.classify` are called after it. Without one in the contract, Analyze is asked. help: of the command.
    about: of the method of the client.
    """

    name: str
    help: str
    about: str = ""

    @property
    def command(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Tensor:
    """An output in the Open Inference Protocol, without the batch axis; -1 in dims for any length.

    datatype: "FP32", or "BYTES" for texts.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Column:
    """Of the table that people see. right: of numbers. text: of texts that may go over several lines."""

    name: str
    right: bool = False
    text: bool = False


@dataclass(frozen=True)
class Metric:
    """A number that heads of a task are measured by.

    decides: whether the promotion gate looks at it; of several, the first that both versions have. relative: a
    margin is a share of the incumbent's value, for metrics in a unit of their own; otherwise it is a difference, for
    metrics from 0 to 1.
    """

    name: str
    higher_is_better: bool = True
    relative: bool = False
    decides: bool = False

    def no_worse(self, candidate: float, incumbent: float, margin: float) -> bool:
        """Whether the candidate is worse than the incumbent by no more than `margin`; never for NaN."""
        allowed = (abs(incumbent) * margin if self.relative else margin) + _ROUNDING
        if self.higher_is_better:
            return candidate >= incumbent - allowed
        return candidate <= incumbent + allowed

    def points_lost(self, main: float, other: float) -> float:
        """By how much `other` is worse than `main`: hundredths of the whole, or of `main` where `relative`.

        Below 0 where it is better.
        """
        lost = main - other if self.higher_is_better else other - main
        if self.relative:
            lost = lost / abs(main) if main else (0.0 if lost <= 0 else math.inf)
        return 100 * lost


_ROUNDING = 1e-9  # a margin is written in decimals, which floats meet only nearly


@dataclass(frozen=True)
class Weights:
    """A file that a net of the task begins in: of which mode and size, and a sentence that says so."""

    mode: str
    size: str
    about: str


@dataclass(frozen=True)
class Training:
    """What of a request to train is the task's own matter; empty where it has no such choice.

    losses, nets, decoders, sizes: names. nets are those of mode scratch, or of every mode where `chooses_net`.
    teachable: whether the answers of another head can be learned from.
    options: further ones; each is an option of `trunkline train` too.
    """

    losses: tuple[str, ...] = ()
    nets: tuple[str, ...] = ("cnn", "lenet5")
    chooses_net: bool = False
    decoders: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    weights: Weights | None = None
    teachable: bool = False
    options: type[Params] = Params


class Swatch(NamedTuple):
    """A line of a legend: the colour of a class in the picture above, its name, and how much of it there is."""

    colour: tuple[int, int, int]
    text: str
    amount: str


Row = str | ScoredLabel | Quantity | Swatch


@dataclass
class Canvas:
    """An RGB picture to draw an answer on. scale: (x, y), pixels of it for each one of the caller's picture.

    taken: where labels stand already, of other heads too.
    """

    picture: "Image.Image"
    scale: tuple[float, float]
    taken: list[Rectangle] = field(default_factory=list)


class BaseTask(Generic[R]):
    """A task whose answers are JSON values, unless it says more. `name` is that of its folder.

    result: type of its answers, a frozen dataclass. field: of a HeadOutcome, which has the message of its answers;
    "custom" where the contract has none: then the fields of the result travel as JSON values.
    params: of its requests. call: None where it is asked by Analyze alone.
    tensors: outputs in the Open Inference Protocol. is_long: whether an answer as JSON is so long that it is written
    beside the event loop.
    columns: of the table of an answer. covers: whether what is drawn covers the picture, so that it goes below what
    others draw, and only once.
    saved, suffix: what `--save` writes, such as "label maps", and what its files end in.
    metrics: what its heads are measured by. training: its part of a request to train. truth: what is known of a
    picture that it learns from. learns_likeness: whether it is measured on classes that it never saw.
    merges_classes: whether several classes of a head can be taken for one.
    """

    result: type[R]
    field: ClassVar[str] = "custom"
    params: ClassVar[type[Params]] = Params
    call: ClassVar[Call | None] = None
    tensors: ClassVar[tuple[Tensor, ...]] = ()
    is_long: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (Column("name"), Column("value", text=True))
    covers: ClassVar[bool] = False
    saved: ClassVar[str] = ""
    suffix: ClassVar[str] = ""
    metrics: ClassVar[tuple[Metric, ...]] = ()
    training: ClassVar[Training] = Training()
    truth: ClassVar[Truth] = "classes"
    learns_likeness: ClassVar[bool] = False
    merges_classes: ClassVar[bool] = False

    def __init__(self, name: str) -> None:
        """Raises TypeError where it lacks a method that what it says of itself needs."""
        self.name = name
        needed = ["fill", "read"] * (self.field != BaseTask.field) + ["file_of"] * bool(self.saved)
        for method in needed:
            if getattr(type(self), method) is getattr(BaseTask, method):
                raise TypeError(f"task {name!r} needs the method {method} in its task.py")

    # On the wire.

    def fill(self, message: Any, result: R) -> None:
        """Put a result into an empty message of `field`."""
        raise NotImplementedError("of a task that has a message")

    def read(self, message: Any) -> R:
        """The result that a message of `field` holds."""
        raise NotImplementedError("of a task that has a message")

    def values_of(self, result: R) -> Mapping[str, Any]:
        """A result as JSON values, for a task without a message."""
        return result.fields if isinstance(result, Custom) else _plain(dataclasses.asdict(result))  # type: ignore[call-overload]

    def from_values(self, values: Mapping[str, Any]) -> R:
        """The other way round. Raises ValueError for values that are none of this task."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.result).validate_python(dict(values))

    def tensors_of(self, result: R) -> dict[str, "np.ndarray | list[str]"]:
        """Each of `tensors`, by name; texts as a list."""
        return {}

    # For people.

    def document(self, result: R) -> dict[str, Any]:
        """JSON of a result; bytes as base64."""
        return dict(result.fields) if isinstance(result, Custom) else _plain(dataclasses.asdict(result))  # type: ignore[call-overload]

    def fields_of(self, result: R) -> dict[str, Any]:
        """What the document of a call for this task alone has of a result."""
        return self.document(result)

    def rows(self, result: R) -> Sequence[Sequence[str]]:
        """A row of `columns` for each part of a result."""
        return [(name, str(value)) for name, value in self.document(result).items()]

    def summary(self, result: R) -> Sequence[tuple[str, str]]:
        """A few words and a value for each part of a result, beside those of other heads."""
        return [(row[0], row[1]) for row in self.rows(result)]

    def panel(self, result: R) -> Sequence[Row]:
        """Lines below a picture on which the result is drawn."""
        return [f"{name}: {value}" for name, value in self.summary(result)]

    def paint(self, canvas: Canvas, result: R) -> None:
        """Draw on the picture what of the result has a place in it."""

    def to_be_drawn(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of an answer that is to be drawn or saved, from those that were asked for."""
        return dict(params)

    def file_of(self, result: R) -> bytes:
        """What `--save` writes of a result."""
        raise NotImplementedError("of a task that says what is `saved`")

    # Learned, measured and compared.

    def truth_of(self, options: Mapping[str, Any]) -> Truth:
        """What is known of a picture that it learns from; options: of `training.options`, or a head's settings."""
        return self.truth

    def renamed(self, result: R, labels: Sequence[tuple[int, str]]) -> R:
        """A result with other classes where `merges_classes`; labels: index and name of each class of the head."""
        return result

    def to_be_explained(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of answers whose parts are explained, from those that were asked for."""
        return dict(params)

    def part_of(self, result: R, target: str, other: R | None = None) -> "Part[R]":
        """The part of an answer that is explained: the one called `target`, the best or largest where that is empty.

        other: the answer about another picture, for a task that compares. Raises ValueError for a part that is not
        there, and for a task whose answers are not explained.
        """
        raise ValueError(f"answers of task {self.name} are not explained")

    def targets_of(self, result: R) -> Sequence[tuple[str, str]]:
        """Name and unit of each number of a result, where the truth is numbers."""
        return ()


class Part(NamedTuple, Generic[R]):
    """A part of an answer. strength: how strongly an answer about the same picture, partly hidden, says it."""

    name: str
    strength: Callable[[R], float]


def named_part(kind: str, target: str, names: Sequence[str]) -> str:
    """The part of an answer that is meant by `target`, the first of `names` where that is empty.

    Raises ValueError for one that is not there.
    """
    if not names or (target and target not in names):
        raise ValueError(unknown_name(kind, target, names))
    return target or names[0]


def _plain(values: Any) -> Any:
    if isinstance(values, bytes):
        return base64.b64encode(values).decode()
    if isinstance(values, Mapping):
        return {name: _plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values


def named(metrics: Iterable[str]) -> tuple[Metric, ...]:
    """Metrics that inform and do not decide."""
    return tuple(Metric(name) for name in metrics)
