"""What a task may ask of pictures once its model is a file, and what it makes of the file then."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Inputs = Mapping[str, np.ndarray]  # of a model, by name, of one picture: with a batch axis of 1


class Pictures(Protocol):
    """Pictures as the model of a head takes them. Samples have a `label`, None where there is none."""

    @property
    def train(self) -> Sequence[Any]:
        """Those that it learned from."""
        ...

    @property
    def held(self) -> Sequence[Any]:
        """Those that picked the best epoch; none where the data has none."""
        ...

    @property
    def fits_vectors(self) -> bool:
        """Whether what comes before the last layer was fitted to those that it learned from."""
        ...

    def inputs(self, samples: Sequence[Any]) -> Iterator[Inputs]:
        """Of samples as they are, in order."""
        ...

    def drawn(self) -> Iterator[Inputs]:
        """Of pictures that show nothing: noise, stripes and plain colours, the same each time."""
        ...


@dataclass(frozen=True)
class Completed:
    """A model's file with further outputs, the settings that these need, and Markdown on them for the card."""

    model: bytes
    settings: dict[str, Any]
    card: str
