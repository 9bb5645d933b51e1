"""The maps whose means are the vectors of a backbone, for explanations: outputs that its file computes and keeps.

They come from a second session of the same file, made when the first one is asked for, so that a pass is what it was.
"""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trunkline.core.bundle import BackboneManifest, Bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.exchange import IMAGE
from trunkline.core.explaining import MAP
from trunkline.core.preprocess import Pixels
from trunkline.serving.execution import Execution
from trunkline.serving.onnx_file import parse_model
from trunkline.serving.session import OnnxSession

_MEANS = frozenset({"ReduceMean", "GlobalAveragePool"})
_SHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Identity"})


class PooledMaps:
    """Passes of a backbone that give out maps as well as features."""

    def __init__(self, bundle: Bundle[BackboneManifest], execution: Execution) -> None:
        self._bundle, self._execution = bundle, execution
        self._vectors = [feature.name for feature in bundle.manifest.features if not feature.stride]
        self._making = threading.Lock()
        self._made: tuple[OnnxSession, Mapping[str, str]] | None = None

    def run(self, pixels: Pixels, wanted: Sequence[str]) -> dict[str, np.ndarray]:
        """uint8 (1, H, W, 3) -> features by name, and NAME.map float32 (1, C, h, w) for a vector NAME.

        Raises InvalidRequestError for a vector that is no mean of a map.
        """
        session, maps = self._session()
        missing = [name for name in wanted if name.endswith(MAP) and name not in maps]
        if missing:
            raise InvalidRequestError(
                f"backbone {self._bundle.manifest.name} has no {missing[0]!r}: "
                f"{missing[0].removesuffix(MAP)!r} is no mean of a map there",
                feature=missing[0],
            )
        found = session.run({IMAGE: pixels}, [maps.get(name, name) for name in wanted])
        return {name: found[maps.get(name, name)] for name in wanted}

    def _session(self) -> tuple[OnnxSession, Mapping[str, str]]:
        with self._making:
            if self._made is None:
                model, maps = with_maps(self._bundle.read_model(), self._vectors)
                manifest = self._bundle.manifest
                self._made = OnnxSession(model, f"{manifest.name}/{manifest.version}", self._execution), maps
        return self._made


def with_maps(model: bytes, vectors: Sequence[str]) -> tuple[bytes, Mapping[str, str]]:
    """An ONNX file that gives out the maps of these vectors too, and the name that NAME.map has in it."""
    parsed = parse_model(model)
    by_output = {output: node for node in parsed.graph.node for output in node.output}
    maps = {f"{name}{MAP}": found for name in vectors if (found := _averaged(by_output, name))}
    for name in maps.values():
        parsed.graph.output.add(name=name)
    return parsed.SerializeToString(), maps


def _averaged(by_output: Mapping[str, Any], name: str) -> str:
    """What the vector of this name is the mean of; empty where it is none."""
    node = by_output.get(name)
    while node is not None and node.op_type in _SHAPES:
        node = by_output.get(node.input[0])
    return str(node.input[0]) if node is not None and node.op_type in _MEANS else ""
