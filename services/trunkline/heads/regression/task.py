"""What regression is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from trunkline.core.figures import measure, number
from trunkline.core.results import Quantity, Regression
from trunkline.core.task import BaseTask, Call, Column, Metric, Part, Row, Tensor, named, named_part

if TYPE_CHECKING:
    import numpy as np

_ANGLES = ("deg", "degree", "degrees", "°")


class Task(BaseTask[Regression]):
    """Quantities that are estimated from a picture."""

    result = Regression
    field = "regression"
    call = Call(
        "Regress",
        "Estimate quantities from images, with units and the time of each stage.",
        "One estimate with its unit for each target of a regression head, in their order.\n\n"
        "An estimate may lie outside of the range that the head was trained on.",
    )
    tensors = (Tensor("values", "FP32", (-1,)),)
    columns = (Column("quantity"), Column("value", right=True), Column("unit"))
    metrics: ClassVar = (
        Metric("rmse", higher_is_better=False, relative=True, decides=True),
        Metric("mae", higher_is_better=False, relative=True, decides=True),
        *named(("r2",)),
    )
    truth = "numbers"

    def fill(self, message: Any, result: Regression) -> None:
        for value in result.values:
            message.values.add(name=value.name, value=value.value, unit=value.unit)

    def read(self, message: Any) -> Regression:
        return Regression(tuple([Quantity(value.name, value.value, value.unit) for value in message.values]))

    def tensors_of(self, result: Regression) -> dict[str, "np.ndarray | list[str]"]:
        import numpy as np

        return {"values": np.array([value.value for value in result.values], np.float32)}  # (T,)

    def rows(self, result: Regression) -> Sequence[tuple[str, str, str]]:
        return [(value.name, number(value.value), value.unit) for value in result.values]

    def summary(self, result: Regression) -> Sequence[tuple[str, str]]:
        return [(value.name, measure(value.value, value.unit)) for value in result.values]

    def panel(self, result: Regression) -> Sequence[Row]:
        return result.values

    def targets_of(self, result: Regression) -> Sequence[tuple[str, str]]:
        return [(value.name, value.unit) for value in result.values]

    def part_of(self, result: Regression, target: str, other: Regression | None = None) -> Part[Regression]:
        """An estimate, by how near another one comes to it: 0 where it is the same, less elsewhere."""
        names = [quantity.name for quantity in result.values]
        place = names.index(named_part("target", target, names))
        known = result.values[place]

        def strength(answer: Regression) -> float:
            off = abs(answer.values[place].value - known.value)
            return -min(off % 360, -off % 360) if known.unit in _ANGLES else -off

        return Part(names[place], strength)
