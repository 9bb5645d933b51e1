"""What classification is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from trunkline.core.figures import percent
from trunkline.core.params import Option, Params
from trunkline.core.results import Classification, ScoredLabel
from trunkline.core.task import BaseTask, Call, Column, Metric, Row, Tensor, named

if TYPE_CHECKING:
    import numpy as np

DEFAULT_TOP_K = 5
_SHOWN = 10  # labels below a picture
_UNKNOWN = "unknown"  # what a classifier says that may give no label, such as a gallery


class ClassifyParams(Params):
    """A head with fewer classes than top_k answers all of them."""

    top_k: Annotated[int, Option("Number of classes in the answer.", low=1, high=1000, metavar="K")] = DEFAULT_TOP_K


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
        *named(("mean_class_accuracy", "top5_accuracy")),
    )

    def fill(self, message: Any, result: Classification) -> None:
        add = message.labels.add
        for label in result.labels:
            add(index=label.index, label=label.label, score=label.score)

    def read(self, message: Any) -> Classification:
        return Classification(tuple([ScoredLabel(each.index, each.label, each.score) for each in message.labels]))

    def tensors_of(self, result: Classification) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        scores = np.array([label.score for label in result.labels], np.float32)  # (K,)
        return {"scores": scores, "labels": [label.label for label in result.labels]}

    def rows(self, result: Classification) -> Sequence[tuple[str, str]]:
        return [(label.label, percent(label.score)) for label in result.labels] or [(_UNKNOWN, "")]

    def panel(self, result: Classification) -> Sequence[Row]:
        return result.labels[:_SHOWN] or [_UNKNOWN]
