"""What each place of a map adds to what a head says of its mean.

For a linear head this is class activation mapping (Zhou et al., Learning Deep Features for Discriminative
Localization, 2016); for others HiResCAM (Draelos and Carin, Use HiResCAM instead of Grad-CAM, 2020), whose gradients
are differences here: the derivative of the answer in the direction of the vector of each place. So nothing but the
head's own model is needed, whatever is in it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from trunkline.core.errors import InvalidRequestError
from trunkline.core.explaining import MAP, PlacesAnswer
from trunkline.heads.loading import LoadedHead

_STEP = 0.02  # of a vector, for the difference on either side
_LINEAR = 1e-4  # how far from adding up a linear head may be, for its numbers are float32
_MOST_PLACES = 64 * 64
Strengths = Callable[[Mapping[str, np.ndarray], str, Sequence[float]], tuple[str, np.ndarray]]


def explained(
    head: LoadedHead, features: Mapping[str, np.ndarray], target: str, reference: Sequence[float]
) -> PlacesAnswer:
    """features: the vector (1, C) that the head takes, and its map (1, C, h, w) as NAME.map.

    Raises InvalidRequestError where the head takes something else, or has no such target.
    """
    name, map_ = _checked(head, features)
    strengths: Strengths = head.decoder.strengths  # type: ignore[attr-defined]
    vector, (height, width) = features[name], map_.shape[2:]  # (1, C)
    places = map_[0].reshape(map_.shape[1], -1).T  # (h * w, C)
    count = len(places)

    def said(vectors: np.ndarray, target: str) -> tuple[str, np.ndarray]:
        outputs = head.runs.run({name: np.ascontiguousarray(vectors, np.float32)})
        named, found = strengths(outputs, target, reference)
        return named, found.astype(np.float64)

    named, first = said(np.concatenate([vector, np.zeros_like(vector), places]), target)
    whole, nothing, each = first[0], first[1], first[2:]
    values = (each - nothing) / count  # (h * w,)
    adds_up = bool(abs(values.sum() - (whole - nothing)) <= _LINEAR * max(1.0, float(np.abs(each).max())))
    if not adds_up:
        _, sides = said(np.concatenate([vector + _STEP * places, vector - _STEP * places]), named)
        values = (sides[:count] - sides[count:]) / (2 * _STEP * count)
    return PlacesAnswer(
        head.info.version, named, float(whole), values.reshape(height, width).astype(np.float32), adds_up
    )


def _checked(head: LoadedHead, features: Mapping[str, np.ndarray]) -> tuple[str, np.ndarray]:
    """The name of the vector, and the map. Raises InvalidRequestError."""
    inputs = tuple(head.runs.inputs)
    if not hasattr(head.decoder, "strengths"):
        raise InvalidRequestError(f"a head of task {head.info.task} is explained by occlusion alone")
    if len(inputs) != 1:
        raise InvalidRequestError(
            f"head {head.info.name!r} takes several features: it is explained by occlusion alone"
        )
    vector, map_ = features.get(inputs[0]), features.get(f"{inputs[0]}{MAP}")
    if vector is None or map_ is None:
        raise InvalidRequestError(f"{inputs[0]} and {inputs[0]}{MAP} are needed to explain head {head.info.name!r}")
    if vector.ndim != 2 or map_.ndim != 4 or map_.shape[:2] != (1, vector.shape[1]) or len(vector) != 1:
        raise InvalidRequestError(f"{inputs[0]}{MAP} is no map of {inputs[0]}: their shapes do not go together")
    if not 0 < map_.shape[2] * map_.shape[3] <= _MOST_PLACES:
        raise InvalidRequestError(f"{inputs[0]}{MAP} has more than {_MOST_PLACES} places")
    return inputs[0], map_
