"""A head under further preprocessing specs: what a manifest states of each, and how many points it costs."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trunkline.core.evaluation import points_lost
from trunkline.core.preprocess import PreprocessSpec

MOST_VARIANTS = 8
VARIANT_PREFIX = "variant-"  # of the names of their files
_POINTS = 100.0


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Agreement(_Value):
    """On what share of pictures without labels the best answer is the one under the head's own spec.

    data: their folders, by name. Nothing was fitted to them. No accuracy can lose more than the rest of the share.
    """

    share: Annotated[float, Field(ge=0, le=1)]
    count: Annotated[int, Field(ge=1)]
    data: str


class Variant(_Value):
    """A head under another preprocessing spec than its own, measured as the head itself was.

    digest: of a model file of its own. settings: of its own. Where they are None they are the head's.
    metrics: by the names of the head's, on the same samples. Its golden outputs are a file of its own in any case.
    """

    preprocess: PreprocessSpec
    preprocess_fingerprint: str
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    settings: dict[str, Any] | None = None
    metrics: dict[str, float] = {}
    agreement: Agreement | None = None

    @model_validator(mode="after")
    def _fingerprint_is_of_the_spec(self) -> Self:
        if self.preprocess.fingerprint != self.preprocess_fingerprint:
            raise ValueError(
                f"preprocess_fingerprint is {self.preprocess_fingerprint}, but the spec has "
                f"{self.preprocess.fingerprint}: one of the two was edited"
            )
        return self

    @property
    def model_file(self) -> str | None:
        """Name of its own model file in the bundle; None where it is the head's."""
        return None if self.digest is None else f"{VARIANT_PREFIX}{self.preprocess_fingerprint}.onnx"

    @property
    def golden_file(self) -> str:
        """Name of the file of its golden inputs and outputs in the bundle."""
        return f"{VARIANT_PREFIX}{self.preprocess_fingerprint}.npz"

    def points_lost(self, metrics: Mapping[str, float]) -> float:
        """What it costs against the head with these metrics, in points; where the head has none, by the agreement.

        Raises ValueError where neither says it.
        """
        if metrics:
            return points_lost(metrics, self.metrics)
        if self.agreement is None:
            raise ValueError("a head without metrics needs the agreement of each variant")
        return _POINTS * (1 - self.agreement.share)


def check_variants(variants: tuple[Variant, ...], own_fingerprint: str, metrics: Mapping[str, float]) -> None:
    """Raises ValueError for two of one spec, one of the head's own, and metrics that cannot be compared."""
    seen = {own_fingerprint}
    for variant in variants:
        if variant.preprocess_fingerprint in seen:
            raise ValueError(f"spec {variant.preprocess_fingerprint} is there twice: state each once")
        seen.add(variant.preprocess_fingerprint)
        if set(variant.metrics) != set(metrics):
            raise ValueError(
                f"variant {variant.preprocess_fingerprint} needs the metrics of the head, no others: "
                f"{', '.join(sorted(metrics)) or 'none'}"
            )
        variant.points_lost(metrics)
