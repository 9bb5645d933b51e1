"""Columns of numbers to quantities with units."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.errors import InvalidRequestError, ModelInvalidError
from trunkline.core.head import Arrays
from trunkline.core.params import Params, parse_params
from trunkline.core.preprocess import Frame
from trunkline.core.results import Quantity, Regression
from trunkline.core.text import shown, unknown_name
from trunkline.heads.regression.settings import Target, read_targets

OUTPUT = "values"


class Head:
    """An estimator. Its model has one output, `values` float32 (N, columns), in the order of settings.targets.

    A number is its column as it is, outside of the range of the training data too. An angle is the direction of
    its two columns (cos, sin), whatever their length, in degrees.
    """

    task: ClassVar[str] = "regression"

    def __init__(self, bundle: Bundle[HeadManifest]) -> None:
        """Raises ModelInvalidError where settings.targets is wrong or golden.npz has another number of columns."""
        self._name = bundle.manifest.name
        self._targets = read_targets(bundle.manifest.settings, bundle.path)
        _, golden = bundle.read_golden()
        if OUTPUT not in golden:
            raise ModelInvalidError(f"{bundle.path}: a regression head needs the output {OUTPUT!r} in golden.npz")
        self._check_width(golden[OUTPUT])

    def decode(self, outputs: Arrays, frame: Frame, params: Mapping[str, Any]) -> Regression:
        """values (1, columns) -> one quantity for each target.

        Raises InvalidRequestError for any parameter, ModelInvalidError where an estimate is no number.
        """
        parse_params(Params, params)
        self._check_width(outputs[OUTPUT])
        values = iter(outputs[OUTPUT][0].tolist())  # float64, so that nothing is lost on the way
        return Regression(tuple(self._quantity(target, values) for target in self._targets))

    def _quantity(self, target: Target, values: Iterator[float]) -> Quantity:
        columns = [next(values) for _ in range(target.columns)]
        if not all(map(math.isfinite, columns)):
            raise ModelInvalidError(f"head {self._name!r} gave no finite number for {target.name!r}", head=self._name)
        if target.kind == "number":
            return Quantity(target.name, columns[0], target.unit)
        if not any(columns):
            raise ModelInvalidError(f"head {self._name!r} gave no direction for {target.name!r}", head=self._name)
        return Quantity(target.name, angle(columns[0], columns[1], target.low, target.high), target.unit)

    def strengths(self, outputs: Arrays, target: str, reference: Sequence[float]) -> tuple[str, np.ndarray]:
        """values (N, columns) -> the target that is meant, the first one where `target` is empty, and float32 (N,):
        its values; of an angle how far each goes in the direction of the first. Raises InvalidRequestError.
        """
        names = [each.name for each in self._targets]
        if target and target not in names:
            raise InvalidRequestError(unknown_name("target", target, names), target=shown(target))
        place = names.index(target) if target else 0
        start = sum(each.columns for each in self._targets[:place])
        values = outputs[OUTPUT][:, start : start + self._targets[place].columns]  # (N, 1) or (N, 2)
        if self._targets[place].kind == "number":
            return names[place], values[:, 0]
        return names[place], values @ (values[0] / max(float(np.linalg.norm(values[0])), 1e-12))

    def _check_width(self, values: np.ndarray) -> None:
        columns = sum(target.columns for target in self._targets)
        if values.ndim != 2 or values.shape[1] != columns:
            raise ModelInvalidError(
                f"head {self._name!r}: settings.targets take {columns} column(s), "
                f"but the output {OUTPUT!r} has shape {list(values.shape)}",
                head=self._name,
            )


def angle(cos: float, sin: float, low: float, high: float) -> float:
    """Degrees, shifted by full turns to be nearest to the middle of [low, high]: above it by at most 180."""
    degrees, latest = math.degrees(math.atan2(sin, cos)), low / 2 + high / 2 + 180
    return degrees + 360 * math.floor((latest - degrees) / 360)
