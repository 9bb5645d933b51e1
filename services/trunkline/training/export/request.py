"""What an export is asked for, and what it reports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from trunkline.core.bundle import FeatureSpec, Name
from trunkline.core.errors import InvalidRequestError

Weights = Literal["default", "none"] | Path


@dataclass(frozen=True)
class ExportRequest:
    """A network to export.

    architecture: "efficientnet-lite0" to "-lite2" (real weights from packages), "timm/NAME" or "torchvision/NAME".
    weights: "default" (the package's, or the library's own download), "none" (random), or a local file.
    name, version: of the backbone; by default made from the architecture, and the next free number.
    classifier: name of a head to be made of the network's own classifier, None for no head. Its version is
    the next free one of that head.
    labels: a text file with one class name per line; needed where the classifier has no 1,000 ImageNet classes.
    samples: photographs for the checks and the golden vectors; generated pictures where there are none.
    """

    architecture: str
    weights: Weights = "default"
    name: str | None = None
    version: int | None = None
    classifier: str | None = None
    labels: Path | None = None
    samples: tuple[Path, ...] = ()

    @property
    def backbone_name(self) -> str:
        return self.name or self.architecture.replace("/", "-").lower()

    def check(self) -> None:
        """Raises InvalidRequestError for values with which no export can work."""
        check_name("--name", self.backbone_name)
        if self.classifier is not None:
            check_name("--classifier", self.classifier)
            if self.weights == "none":
                raise InvalidRequestError("a classifier without weights gives random answers: leave --classifier out")
        if self.version is not None and self.version < 1:
            raise InvalidRequestError(f"versions are 1, 2, 3, …, not {self.version}")

    def command(self) -> str:
        """The command line that repeats this export; files by their names alone, no folders."""
        words = ["trunkline backbone export", self.architecture]
        if self.weights != "default":
            words.append(f"--weights {self.weights.name if isinstance(self.weights, Path) else self.weights}")
        words += [f"--name {self.name}"] if self.name else []
        words += [f"--classifier {self.classifier}"] if self.classifier else []
        words += [f"--labels {self.labels.name}"] if self.labels else []
        words += [f"--sample {path.name}" for path in self.samples]
        return " ".join(words)


@dataclass(frozen=True)
class Parity:
    """Torch against ONNX Runtime for one output at one picture size.

    max_difference is absolute; scale is the largest absolute value that torch gave, at least 1.
    """

    output: str
    height: int
    width: int
    max_difference: float
    scale: float

    @property
    def relative(self) -> float:
        return self.max_difference / self.scale


@dataclass(frozen=True)
class ExportReport:
    """What was written and what was measured on the way. batch_difference is relative, as in Parity."""

    backbone: Path
    head: Path | None
    digest: str
    features: tuple[FeatureSpec, ...]
    parity: tuple[Parity, ...]
    batch_difference: float
    duration_s: float


def check_name(option: str, name: str) -> None:
    """Raises InvalidRequestError for what cannot be the name of a model."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise InvalidRequestError(
            f"{option} {name!r}: names are 1 to 63 of a-z 0-9 . _ - and start with a letter or digit"
        ) from error
