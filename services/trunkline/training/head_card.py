"""CARD.md of a trained head: data, terms, how it was made, what it is worth, how to repeat it."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.core.bundle import HeadManifest
from trunkline.core.publishing import card_title
from trunkline.heads.learner import Scores


@dataclass(frozen=True)
class Facts:
    """What a card tells beside the manifest. counts: samples by split. remarks: how it was made, in sentences.

    data_remarks: how many remarks there were on the data, and what was left out; "" for none. section: a further one.
    """

    data: str
    counts: dict[str, int]
    classes: int
    trained_on: Sequence[str]
    evaluated_on: str
    evaluated: int
    epochs: int
    best_epoch: int
    seconds: float
    parity: float
    command: str
    remarks: str = ""
    data_remarks: str = ""
    section: str = ""


def write_card(manifest: HeadManifest, facts: Facts, scores: Scores, pictures: Sequence[str]) -> str:
    """Markdown. pictures: file names beside the card."""
    metrics = "\n".join(f"| {name} | {metric_text(name, value)} |" for name, value in manifest.metrics.items())
    counts = ", ".join(f"{split or 'unsplit'} {count}" for split, count in facts.counts.items())
    classes = f", {facts.classes} classes" if facts.classes else ""
    shown = " ".join(f"![{name.partition('.')[0]}]({name})" for name in pictures)
    return f"""{card_title(manifest)}

Task {manifest.task}, mode `{manifest.mode}`, on {", ".join(f"`{name}`" for name in manifest.features)} of backbone \
{manifest.backbone.name} version {manifest.backbone.version} (digest `{manifest.backbone.digest}`). {facts.remarks}

## Data and terms

{facts.data}: {counts} pictures{classes}. {_learned_from(manifest, facts)}\
{_data_remarks(facts)}Terms: {manifest.origin.licence}

## Quality

Measured on {facts.evaluated_on} ({facts.evaluated} pictures) through the serving path: \
ONNX Runtime and the head's decode.

| metric | value |
| --- | --- |
{metrics}

Torch and ONNX Runtime differ by {facts.parity:.1e} at most in the outputs.

{shown}

{scores.card()}

{_section(facts)}## To repeat

    {facts.command}

{_length(facts)}
"""


def _section(facts: Facts) -> str:
    return f"{facts.section}\n\n" if facts.section else ""


def _data_remarks(facts: Facts) -> str:
    told = f"Read with {facts.data_remarks}: `trunkline data check` shows them. "
    return told if facts.data_remarks else ""


def _learned_from(manifest: HeadManifest, facts: Facts) -> str:
    learned = manifest.mode != "pretrained"
    return f"Trained on {' + '.join(facts.trained_on)}. " if learned else "Nothing was learned from it. "


def _length(facts: Facts) -> str:
    taken = f"{facts.seconds:.0f} s, evaluation left out."
    return f"Epochs {facts.epochs}, the best was {facts.best_epoch}; {taken}" if facts.epochs else taken


def metric_text(name: str, value: float) -> str:
    """Shares in percent; errors in the unit of the target."""
    if "accuracy" in name or "iou" in name or name.removeprefix("mask_") in ("ap", "ap50", "ap75"):
        return f"{100 * value:.2f} %"
    return f"{value:.4g}"
