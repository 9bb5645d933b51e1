"""What an import is asked for, and what it reports."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from trunkline.core.bundle import Name
from trunkline.core.terms import Terms

_WEIGHTS = (".pth", ".pt", ".safetensors")


def is_weights(file: Path) -> bool:
    """Whether a file of this name is weights, which are no graph yet."""
    return file.suffix in _WEIGHTS


@dataclass(frozen=True)
class ImportRequest:
    """A detector's ONNX file, or weights of torchvision, that becomes a head.

    labels: a text file with one class name per line, or `coco`; needed where the file itself names no classes.
    resize: how pictures get to the size of the model; None takes what its library trains with.
    width, height: of a model that takes any size; of the others they must be what the file says.
    licence: of the weights; None takes what the file says. terms: what the head may be
    used for; None takes what the licence says.
    samples: photographs for the checks and the golden vectors; generated pictures where there are none.
    """

    file: Path
    name: Name
    labels: Path | None = None
    resize: Literal["pad", "squash"] | None = None
    width: int | None = None
    height: int | None = None
    backbone: Name = "efficientnet-lite0"
    licence: str | None = None
    terms: Terms | None = None
    samples: tuple[Path, ...] = ()

    def command(self) -> str:
        """The command line that repeats this import; files by their names alone, no folders."""
        words = ["trunkline", "models", "import", self.file.name, "--name", self.name]
        words += ["--labels", self.labels.name] if self.labels else []
        words += ["--resize", self.resize] if self.resize else []
        words += ["--width", str(self.width)] if self.width else []
        words += ["--height", str(self.height)] if self.height else []
        words += ["--backbone", self.backbone]
        words += ["--licence", self.licence] if self.licence else []
        words += ["--terms", self.terms] if self.terms else []
        words += [word for path in self.samples for word in ("--sample", path.name)]
        return shlex.join(words)


def question_of(request: ImportRequest) -> dict[str, Any]:
    """The request in values of JSON, for another process."""
    values = {**vars(request), "file": str(request.file), "samples": [str(path) for path in request.samples]}
    return {**values, "labels": str(request.labels) if request.labels else None}


def request_of(question: Mapping[str, Any]) -> ImportRequest:
    """The request that question_of was made from; further values are left out."""
    names = [field.name for field in fields(ImportRequest)]
    known = {name: question[name] for name in names}
    labels = Path(known["labels"]) if known["labels"] else None
    samples = tuple(Path(path) for path in known["samples"])
    return ImportRequest(**{**known, "file": Path(known["file"]), "labels": labels, "samples": samples})


@dataclass(frozen=True)
class ImportReport:
    """What was written. kind: whose layout it has. rows: boxes that the model gives for each picture, before any
    threshold; None where it is another number each time.

    difference: largest one between the outputs of the head and those of the file, decoded; relative.
    """

    folder: Path
    kind: str
    classes: int
    rows: int | None
    width: int
    height: int
    difference: float
