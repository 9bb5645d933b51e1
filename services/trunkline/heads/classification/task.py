"""What classification is."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.task import BaseTask, Call, Column, Metric, Part, Row, Tensor, Training, Truth, named, named_part

if TYPE_CHECKING:
    import numpy as np

MANY = "many"  # setting and option `labels` where a picture has several
_SHOWN = 10  # labels below a picture
_MOST = 1000  # classes in an answer
_UNKNOWN = "unknown"  # of a picture like none that was learned, or without any label, as a gallery may answer
HALF = 0.5  # below this probability of being known
MOST_LEVELS = 8  # of parents above the classes


class ClassifyParams(Params):
    """A head with fewer classes than top_k answers all of them."""

    top_k: Annotated[
        int | None,
        Option(
            "Number of classes in the answer: 5, or with several labels all that are present.",
            low=1,
            high=_MOST,
            metavar="K",
        ),
    ] = None
    threshold: Annotated[
        float | None,
        Option(
            "Least score of a class; with several labels instead of the head's own thresholds.",
            low=0,
            high=1,
            metavar="S",
        ),
    ] = None


class ClassifyOptions(Params):
    labels: Annotated[Literal["one", "many"], Option("Whether an image shows one of the classes or many.")] = "one"
    hierarchy: Annotated[
        str | None,
        Option(
            "Parents of the classes, such as species above breeds: a CSV file class,parent in the data's folder, or "
            "a column of the data's own CSV file.",
            metavar="FILE",
        ),
    ] = None


def level_metric(level: int) -> str:
    """Name of the accuracy at a level of parents; 1 is that right above the classes."""
    return f"level_{level}_accuracy"


class Task(BaseTask[Classification]):
    """The most probable classes of a picture."""

    result = Classification
    field = "classification"
    params = ClassifyParams
    call = Call(
        "Classify",
        "Classify images: the most probable classes, and the time of each stage.",
        "The `top_k` most probable classes, best first.",
    )
    tensors = (Tensor("scores", "FP32", (-1,)), Tensor("labels", "BYTES", (-1,)))
    columns = (Column("label"), Column("probability", right=True))
    metrics: ClassVar = (
        Metric("accuracy", decides=True),
        Metric("map", decides=True),
        *named(("mean_class_accuracy", "top5_accuracy", "f1", "exact_accuracy")),
        *named(level_metric(level) for level in range(1, MOST_LEVELS + 1)),
    )
    training = Training(options=ClassifyOptions)

    def fill(self, message: Any, result: Classification) -> None:
        add = message.labels.add
        for label in result.labels:
            add(index=label.index, label=label.label, score=label.score)
        if result.known is not None:
            message.known = result.known
        for parent in result.parents:
            message.parents.add(index=parent.index, label=parent.label, score=parent.score)

    def read(self, message: Any) -> Classification:
        labels = tuple([ScoredLabel(each.index, each.label, each.score) for each in message.labels])
        known = message.known if message.HasField("known") else None
        parents = tuple([ScoredLabel(each.index, each.label, each.score) for each in message.parents])
        return Classification(labels, known, parents)

    def document(self, result: Classification) -> dict[str, Any]:
        """Without what the head cannot tell."""
        found = super().document(result)
        if result.known is None:
            del found["known"]
        if not result.parents:
            del found["parents"]
        return found

    def tensors_of(self, result: Classification) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        scores = np.array([label.score for label in result.labels], np.float32)  # (K,)
        return {"scores": scores, "labels": [label.label for label in result.labels]}

    def rows(self, result: Classification) -> Sequence[tuple[str, str]]:
        found = [(label.label, percent(label.score)) for label in result.labels] or [(_UNKNOWN, "")]
        found += [(_above(each), percent(each.score)) for each in result.parents]
        if result.known is None:
            return found
        return [*([(_UNKNOWN, "")] if result.known < HALF else []), *found, ("known image", percent(result.known))]

    def panel(self, result: Classification) -> Sequence[Row]:
        found: Sequence[Row] = result.labels[:_SHOWN] or [_UNKNOWN]
        if result.known is not None and result.known < HALF:
            found = [_UNKNOWN, *found]
        if result.parents:
            found = [*found, *(replace(each, label=_above(each)) for each in result.parents)]
        return found

    def truth_of(self, options: Mapping[str, Any]) -> Truth:
        return "labels" if options.get("labels") == MANY else "classes"

    def to_be_explained(self, params: Mapping[str, Any]) -> dict[str, Any]:
        return {"top_k": _MOST, "threshold": 0.0}

    def part_of(
        self, result: Classification, target: str, other: Classification | None = None
    ) -> Part[Classification]:
        """A class, by its probability."""
        names = [label.label for label in result.labels]
        name = named_part("class", target, names)

        def strength(answer: Classification) -> float:
            return next((label.score for label in answer.labels if label.label == name), 0.0)

        return Part(name, strength)


def _above(parent: ScoredLabel) -> str:
    return f"parent: {parent.label}"
