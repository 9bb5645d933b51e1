"""The figures of a head under another spec: on the samples of its card, and calibrated as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trunkline.core.bundle import BackboneManifest, Bundle, HeadManifest, variant_bundle
from trunkline.core.errors import InvalidRequestError
from trunkline.core.results import Result
from trunkline.core.variants import Variant
from trunkline.training.again import recorded_request
from trunkline.training.data.accept import read_data
from trunkline.training.data.dataset import Dataset, Sample
from trunkline.training.data.wanted import wanted
from trunkline.training.evaluation import answers, facts_of
from trunkline.training.known import known_by
from trunkline.training.measuring import measure_of, measured, samples_of
from trunkline.training.variants.pictures import Progress


@runtime_checkable
class Calibrating(Protocol):
    """A Measure whose task has settings that say what its answers mean, to be fitted under each spec."""

    def calibrated(self, answers: Sequence[Result], samples: Sequence[Any]) -> dict[str, Any]:
        """Those settings, by answers about samples that were not learned from; {} where nothing can be said."""
        ...


@dataclass(frozen=True)
class Figures:
    """Measures heads that are one head under several specs, on its data."""

    backbone: Bundle[BackboneManifest]
    data: Path
    progress: Progress

    def require_same(self, head: Bundle[HeadManifest]) -> None:
        """Raises InvalidRequestError where the data is not what the head was measured on."""
        manifest = head.manifest
        recorded = manifest.evaluation
        if recorded is None:
            raise InvalidRequestError(
                f"{manifest.name}/{manifest.version} does not say on what it was measured: nothing can be compared"
            )
        dataset, samples = samples_of(facts_of(head), self.data, recorded.split)
        if not samples:
            raise InvalidRequestError(f"{self.data} has no pictures of split {recorded.split!r}")
        found = known_by(dataset, recorded.split, samples)
        if found.digest != recorded.digest:
            raise InvalidRequestError(
                f"{manifest.name}/{manifest.version} was measured on {recorded.count} samples of {recorded.data} "
                f"({recorded.split}), here are {found.count} others of {found.data}: both cannot be compared",
                recorded=recorded.digest,
                found=found.digest,
            )

    def samples(self, head: Bundle[HeadManifest]) -> tuple[Sample, ...]:
        """Those that it is measured on."""
        split = head.manifest.evaluation.split if head.manifest.evaluation else None
        return samples_of(facts_of(head), self.data, split)[1]

    def calibrated_on(self, head: Bundle[HeadManifest]) -> Sequence[Sample]:
        """The samples by which its settings say what its answers mean: none of them was learned from."""
        return () if self._calibrating(head) is None else self._validation(head)

    def calibrated(self, head: Bundle[HeadManifest]) -> dict[str, Any] | None:
        """The settings of a head, what its answers mean fitted anew; None where nothing of the kind can be said."""
        measure, samples = self._calibrating(head), self.calibrated_on(head)
        if measure is None or not samples:
            return None
        fitted = measure.calibrated(self._answers(head, samples, None), samples)
        return {**head.manifest.settings, **fitted} if fitted else None

    def _calibrating(self, head: Bundle[HeadManifest]) -> Calibrating | None:
        facts = facts_of(head)
        measure = measure_of(facts, facts.labels or self._data(head).classes, self.data)
        return measure if isinstance(measure, Calibrating) else None

    def _validation(self, head: Bundle[HeadManifest]) -> Sequence[Sample]:
        request = recorded_request(head).model_copy(update={"data": str(self.data)})
        return wanted(request, read_data(request)).validation  # split as for the head, where the data names no val

    def _data(self, head: Bundle[HeadManifest]) -> Dataset:
        split = head.manifest.evaluation.split if head.manifest.evaluation else None
        return samples_of(facts_of(head), self.data, split)[0]

    def metrics(self, head: Bundle[HeadManifest], variant: Variant) -> dict[str, float]:
        """Of the head as this variant, by name, as the head has them."""
        head = variant_bundle(head, variant)
        split = head.manifest.evaluation.split if head.manifest.evaluation else None
        found = measured(facts_of(head), self.data, split, lambda asked, params: self._answers(head, asked, params))
        metrics: dict[str, float] = found["metrics"]
        return metrics

    def _answers(
        self, head: Bundle[HeadManifest], samples: Sequence[Sample], params: Mapping[str, Any] | None
    ) -> list[Result]:
        return answers(head, self.backbone, samples, lambda done, of: self.progress("measuring", done, of), params)
