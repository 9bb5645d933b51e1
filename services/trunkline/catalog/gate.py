"""The gate before a promotion: no worse than the default version, measured on the same samples."""

import math

from trunkline.core.bundle import HeadManifest
from trunkline.core.errors import GateFailedError, InvalidRequestError
from trunkline.core.tasks import deciding_metric

_WAY_OUT = "evaluate both on the same data, or promote with force"


def check_margin(margin: float) -> None:
    """Raises InvalidRequestError for a margin that is no number from 0 on."""
    if not (math.isfinite(margin) and margin >= 0):
        raise InvalidRequestError(f"margin is {margin}; it must be a number, 0 or more", margin=margin)


def check_gate(candidate: HeadManifest, incumbent: HeadManifest, margin: float) -> None:
    """Raises GateFailedError that says what is missing or by how much the candidate is worse.

    `margin` is a difference for metrics from 0 to 1, a share of the incumbent's value for those in a unit.
    """
    who = f"{candidate.name}/{candidate.version}"
    _check_same_samples(candidate, incumbent)
    metric = deciding_metric(candidate.task, candidate.metrics, incumbent.metrics)
    if metric is None:
        raise GateFailedError(f"{who} and version {incumbent.version} have no metric in common: {_WAY_OUT}")
    found, wanted = candidate.metrics[metric.name], incumbent.metrics[metric.name]
    if not metric.no_worse(found, wanted, margin):
        kind = f"{margin:.3g} of that" if metric.relative else f"{margin:.3g}"
        raise GateFailedError(
            f"{who} has {metric.name} {found:.4g}, version {incumbent.version} (default) has {wanted:.4g}: it may "
            f"be worse by no more than {kind}; allow more with margin, or promote with force",
            metric=metric.name,
            candidate=found,
            incumbent=wanted,
            margin=margin,
        )


def _check_same_samples(candidate: HeadManifest, incumbent: HeadManifest) -> None:
    unknown = [manifest for manifest in (candidate, incumbent) if manifest.evaluation is None]
    if unknown:
        names = " and ".join(f"{manifest.name}/{manifest.version}" for manifest in unknown)
        raise GateFailedError(f"it is not known on which samples {names} was measured: {_WAY_OUT}")
    first, second = candidate.evaluation, incumbent.evaluation
    if first is not None and second is not None and first.digest != second.digest:
        raise GateFailedError(
            f"{candidate.name}/{candidate.version} was measured on {first.count} samples of {first.data} "
            f"({first.split or 'no split'}), version {incumbent.version}, the default, on {second.count} others of "
            f"{second.data} ({second.split or 'no split'}): {_WAY_OUT}",
            candidate_evaluation=first.digest,
            incumbent_evaluation=second.digest,
        )
