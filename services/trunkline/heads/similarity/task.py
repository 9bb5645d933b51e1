"""What similarity is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trunkline.core.results import Calibration, Embedding
from trunkline.core.task import BaseTask, Call, Column, Metric, Part, Tensor, Training, named, named_part

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 8  # values of a vector that people see


class Task(BaseTask[Embedding]):
    """A vector that stands for a picture."""

    result = Embedding
    field = "embedding"
    call = Call(
        "Embed",
        "Embed images: one vector each; --json has all values.",
        "The unit vector that stands for a picture, the id of its space, and what distances in it mean.",
    )
    tensors = (Tensor("embedding", "FP32", (-1,)),)
    columns = (Column("space"), Column("values", right=True), Column("the first of them", text=True))
    metrics: ClassVar = (
        Metric("auc", decides=True),
        Metric("eer", higher_is_better=False),
        *named(("verification_accuracy", "recall_at_1", "few_shot_accuracy", "five_shot_accuracy")),
        *named(("mean_embedding_accuracy", "one_shot_runs_accuracy")),
    )
    training = Training(
        losses=("contrastive", "triplet", "arcface", "proxy_anchor", "prototypical"),
        nets=("conv4", "cnn", "lenet5"),
    )
    learns_likeness = True

    def fill(self, message: Any, result: Embedding) -> None:
        message.space = result.space
        message.values.extend(result.values)
        if result.calibration is not None:
            made, found = message.calibration, result.calibration
            made.threshold, made.slope, made.offset = found.threshold, found.slope, found.offset
            made.SetInParent()  # zeros too

    def read(self, message: Any) -> Embedding:
        found = message.calibration
        known = message.HasField("calibration")
        calibration = Calibration(found.threshold, found.slope, found.offset) if known else None
        return Embedding(message.space, tuple(message.values), calibration)

    def tensors_of(self, result: Embedding) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        return {"embedding": np.array(result.values, np.float32)}  # (D,)

    def fields_of(self, result: Embedding) -> dict[str, Any]:
        document = self.document(result)
        return {"space": document["space"], "embedding": document["values"], "calibration": document["calibration"]}

    def rows(self, result: Embedding) -> Sequence[tuple[str, ...]]:
        shown = " ".join(f"{value:.3f}" for value in result.values[:_SHOWN])
        return [(result.space, str(len(result.values)), shown)]

    def summary(self, result: Embedding) -> Sequence[tuple[str, str]]:
        return [(f"{len(result.values)} values in space {result.space}", "")]

    def panel(self, result: Embedding) -> Sequence[str]:
        return [text for text, _ in self.summary(result)]

    def part_of(self, result: Embedding, target: str, other: Embedding | None = None) -> Part[Embedding]:
        """The cosine with the vector of another picture, or with that of the whole one."""
        name = named_part("part", target, ["vector" if other is None else "similarity"])
        known = result if other is None else other

        def strength(answer: Embedding) -> float:
            return sum(one * two for one, two in zip(answer.values, known.values, strict=True))

        return Part(name, strength)
