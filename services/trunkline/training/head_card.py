"""CARD.md of a trained head: data, terms, how it was made, what it is worth, how to repeat it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trunkline.core.bundle import HeadManifest
from trunkline.training.evaluation import ClassificationScores


@dataclass(frozen=True)
class Facts:
    """What a card tells beside the manifest. counts: samples by split."""

    data: str
    counts: dict[str, int]
    trained_on: Sequence[str]
    evaluated_on: str
    epochs: int
    best_epoch: int
    seconds: float
    parity: float
    command: str


def write_card(manifest: HeadManifest, facts: Facts, scores: ClassificationScores, labels: Sequence[str]) -> str:
    """Markdown."""
    low, high = scores.interval()
    metrics = "\n".join(f"| {name} | {100 * value:.2f} % |" for name, value in manifest.metrics.items())
    counts = ", ".join(f"{split or 'unsplit'} {count}" for split, count in facts.counts.items())
    return f"""# {manifest.name}, version {manifest.version}

Task {manifest.task}, mode `{manifest.mode}`, on {", ".join(f"`{name}`" for name in manifest.features)} of backbone \
{manifest.backbone.name} version {manifest.backbone.version} (digest `{manifest.backbone.digest}`).

## Data and terms

{facts.data}: {counts} pictures, {len(labels)} classes. Trained on {" + ".join(facts.trained_on)}. \
Terms: {manifest.origin.licence}

## Quality

Measured on {facts.evaluated_on} ({len(scores.truth)} pictures) through the serving path: \
ONNX Runtime and the head's decode.

| metric | value |
| --- | --- |
{metrics}

95 % interval of the accuracy: {100 * low:.2f} to {100 * high:.2f} %. Torch and ONNX Runtime differ by \
{facts.parity:.1e} at most in the logits.

![learning curves](curves.png) ![confusion matrix](confusion.png) ![best and worst](samples.jpg)

| class | pictures | right |
| --- | --- | --- |
{_per_class(scores, labels)}

## To repeat

    {facts.command}

Epochs {facts.epochs}, the best was {facts.best_epoch}; {facts.seconds:.0f} s, evaluation left out.
"""


def _per_class(scores: ClassificationScores, labels: Sequence[str]) -> str:
    counts = np.bincount(scores.truth, minlength=len(labels))
    rows = zip(labels, counts, scores.per_class(), strict=True)
    return "\n".join(f"| {label} | {count} | {100 * share:.1f} % |" for label, count, share in rows if count)
