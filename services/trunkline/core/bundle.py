"""Model bundles: one folder for each version of a model, `<root>/<kind>/<name>/<version>/`.

model.onnx     the graph with its weights
manifest.json  BackboneManifest or HeadManifest
golden.npz     inputs and the outputs they must give, checked before the model serves
labels.txt     one class per line (heads with classes)
variant-*      of a head under a further spec: its golden outputs, and its model where it has one of its own
CARD.md        for people: origin, data, terms, measured quality
"""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from trunkline.core.errors import ModelInvalidError
from trunkline.core.evaluation import Evaluation
from trunkline.core.files import MIB, read_regular
from trunkline.core.labels import labels_of
from trunkline.core.npy import read_npz
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.terms import Terms
from trunkline.core.text import shown
from trunkline.core.variants import MOST_VARIANTS, Variant, check_variants

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"
GOLDEN_FILE = "golden.npz"
LABELS_FILE = "labels.txt"
CARD_FILE = "CARD.md"
# Bytes. Heads of tens of thousands of classes have a few MiB beside their model; a message of protobuf ends at 2 GiB.
LARGEST_MODEL, LARGEST_GOLDEN, LARGEST_TEXT = 2**31 - 1, 256 * MIB, 16 * MIB
KIND_FOLDERS: Mapping[str, str] = {"backbone": "backbones", "head": "heads"}

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureSpec(_Value):
    """A named tensor that a backbone gives out.

    float32 (N, channels, H / stride, W / stride); for stride 0 a vector, (N, channels). Source of the contract:
    detectron2's ShapeSpec.
    """

    name: Name
    channels: Annotated[int, Field(gt=0)]
    stride: Annotated[int, Field(ge=0)]


class Origin(_Value):
    """Where weights come from and on what terms."""

    source: str
    licence: str
    data: str
    weights_sha256: Digest | None = None


class BackboneRef(_Value):
    """One backbone: that a head was trained on, or that another was made from."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    digest: Digest

    @property
    def label(self) -> str:
        """As NAME/VERSION."""
        return f"{self.name}/{self.version}"


class BackboneManifest(_Value):
    """A backbone: input `image` uint8 (N, H, W, 3) RGB, H and W multiples of 32; outputs: its features.

    quantized_from: the backbone that this one is in 8 bits. golden_tolerance: how far outputs may be off the golden
    ones, relative to the largest of these; None for what float32 is checked with.
    """

    schema_version: Literal[1] = 1
    kind: Literal["backbone"] = "backbone"
    name: Name
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    architecture: str
    features: Annotated[tuple[FeatureSpec, ...], Field(min_length=1)]
    preprocess: PreprocessSpec
    preprocess_fingerprint: str
    origin: Origin
    quantized_from: BackboneRef | None = None
    golden_tolerance: Annotated[float, Field(gt=0, le=0.1)] | None = None

    @property
    def label(self) -> str:
        """As NAME/VERSION."""
        return f"{self.name}/{self.version}"


class HeadManifest(_Value):
    """A head: takes the features it names, float32 with a batch axis, or `image` uint8 (N, H, W, C).

    `settings` belongs to the task; its head.py reads it. `metrics` were measured through the serving path,
    on the samples that `evaluation` names where it is known. `terms`: None where nobody has said what it may be
    used for, as in manifests older than the field: that is unknown, and not `any`. `learned_from`: the samples that
    it was fitted to, or that picked its best epoch. `variants`: further specs that it was measured under; left out of
    the file where there are none, so that older versions of this code read it.
    """

    schema_version: Literal[1] = 1
    kind: Literal["head"] = "head"
    task: Name
    name: Name
    version: Annotated[int, Field(ge=1)]
    digest: Digest
    backbone: BackboneRef
    features: Annotated[tuple[str, ...], Field(min_length=1)]
    preprocess: PreprocessSpec
    preprocess_fingerprint: str
    mode: Literal["pretrained", "features", "transfer", "finetune", "scratch"]
    settings: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    evaluation: Evaluation | None = None
    learned_from: Evaluation | None = None
    origin: Origin
    terms: Terms | None = None
    variants: Annotated[tuple[Variant, ...], Field(max_length=MOST_VARIANTS, exclude_if=lambda each: not each)] = ()

    @model_validator(mode="after")
    def _variants_can_be_compared(self) -> Self:
        check_variants(self.variants, self.preprocess_fingerprint, self.metrics)
        return self

    def under(self, variant: Variant) -> "HeadManifest":
        """The manifest of the head as this one of its variants."""
        changed = {
            "digest": variant.digest or self.digest,
            "preprocess": variant.preprocess,
            "preprocess_fingerprint": variant.preprocess_fingerprint,
            "settings": self.settings if variant.settings is None else variant.settings,
            "metrics": variant.metrics,
            "variants": (),
        }
        return self.model_copy(update=changed)


M = TypeVar("M", BackboneManifest, HeadManifest)


class Bundle(Generic[M]):
    """A bundle on disk, its manifest read and checked; the model file is read on demand."""

    def __init__(self, path: Path, manifest: M, model_file: str = MODEL_FILE, golden_file: str = GOLDEN_FILE) -> None:
        self.path = path
        self.manifest: M = manifest
        self._model_file, self._golden_file = model_file, golden_file

    @property
    def model_path(self) -> Path:
        return self.path / self._model_file

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Class names in order of their index; empty where the bundle has none."""
        file = self.path / LABELS_FILE
        try:
            return labels_of(read_regular(file, LARGEST_TEXT).decode())
        except FileNotFoundError:
            return ()
        except (OSError, UnicodeDecodeError) as error:
            why = f"{error.strerror}; " if isinstance(error, OSError) else ""
            raise ModelInvalidError(
                f"{file} cannot be read: {why}it must be UTF-8 text, one class per line"
            ) from error

    @property
    def card(self) -> str:
        """CARD.md; empty where it is missing or cannot be read."""
        try:
            return read_regular(self.path / CARD_FILE, LARGEST_TEXT).decode()
        except (OSError, UnicodeDecodeError):
            return ""

    def read_model(self) -> bytes:
        """The ONNX file. Raises ModelInvalidError where it cannot be read or its digest is not the manifest's."""
        try:
            data = read_regular(self.model_path, LARGEST_MODEL)
        except OSError as error:
            raise ModelInvalidError(
                f"{self.model_path} cannot be read: {error.strerror}; copy the whole bundle"
            ) from error
        found = model_digest(data)
        if found != self.manifest.digest:
            raise ModelInvalidError(
                f"{self.model_path} has digest {found}, its manifest says {self.manifest.digest}: "
                "the file is damaged, or was replaced without its manifest"
            )
        return data

    def read_golden(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Golden inputs and outputs by name. Raises ModelInvalidError where they are missing or damaged."""
        try:
            arrays = read_npz(self.path / self._golden_file, LARGEST_GOLDEN)
        except _BAD_NPZ as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise ModelInvalidError(
                f"{self.path / self._golden_file} cannot be read: {shown(why)}; copy the whole bundle"
            ) from error
        return _with_prefix(arrays, "input."), _with_prefix(arrays, "output.")


def variant_bundle(head: Bundle[HeadManifest], variant: Variant) -> Bundle[HeadManifest]:
    """The head as one of its variants: a bundle of the same folder, with its manifest and its own files."""
    model_file = variant.model_file or MODEL_FILE
    return Bundle(head.path, head.manifest.under(variant), model_file, variant.golden_file)


def model_digest(model: bytes) -> str:
    """The digest by which a model is known: SHA-256 of its ONNX file, weights and graph in one."""
    return hashlib.sha256(model).hexdigest()


def read_bundle(path: Path) -> Bundle[BackboneManifest] | Bundle[HeadManifest]:
    """Read the manifest of a bundle. Raises ModelInvalidError that names the file and the fault."""
    file = path / MANIFEST_FILE
    try:
        text = read_regular(file, LARGEST_TEXT)
    except OSError as error:
        raise ModelInvalidError(f"{file} cannot be read: {error.strerror}") from error
    try:
        manifest: BackboneManifest | HeadManifest = _MANIFEST.validate_json(text)
    except ValidationError as error:
        raise ModelInvalidError(f"{file}: {_first_fault(error)}") from error
    if manifest.preprocess.fingerprint != manifest.preprocess_fingerprint:
        raise ModelInvalidError(
            f"{file}: preprocess_fingerprint is {manifest.preprocess_fingerprint}, "
            f"but the spec has {manifest.preprocess.fingerprint}: one of the two was edited"
        )
    if isinstance(manifest, BackboneManifest):
        return Bundle(path, manifest)
    return Bundle(path, manifest)


def write_golden(
    path: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], file: str = GOLDEN_FILE
) -> None:
    """Store golden inputs and outputs in the bundle folder `path`."""
    arrays = {f"input.{name}": value for name, value in inputs.items()}
    arrays |= {f"output.{name}": value for name, value in outputs.items()}
    np.savez_compressed(path / file, allow_pickle=False, **arrays)


# zipfile raises the last three for ways of packing that it does not know, and for what is encrypted.
_BAD_NPZ = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    MemoryError,
    SyntaxError,
    TypeError,
)
_MANIFEST: TypeAdapter[BackboneManifest | HeadManifest] = TypeAdapter(
    Annotated[BackboneManifest | HeadManifest, Field(discriminator="kind")]
)


def _with_prefix(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(str(part) for part in fault["loc"][1:]) or "the file"  # the first part is the kind
    return f"{shown(where)}: {shown(fault['msg'])}"
