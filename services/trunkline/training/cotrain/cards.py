"""CARD.md of a trunk, and of a classifier that was kept on it."""

from collections.abc import Mapping, Sequence

from trunkline.core.bundle import BackboneManifest, HeadManifest
from trunkline.core.publishing import card_title
from trunkline.training.cotrain.early import Prepared
from trunkline.training.cotrain.joint import Curve
from trunkline.training.cotrain.plan import plan_text
from trunkline.training.export.request import Parity

CURVES = "curves.png"


def trunk_card(
    manifest: BackboneManifest,
    prepared: Prepared,
    curves: Mapping[str, Curve],
    parity: Sequence[Parity],
    batch_difference: float,
    seconds: float,
) -> str:
    """Markdown."""
    plan, source, spec = prepared.plan, prepared.backbone.manifest, manifest.preprocess
    features = "\n".join(
        f"| `{each.name}` | {each.channels} | {each.stride or 'vector'} |" for each in manifest.features
    )
    worst = max(parity, key=lambda each: each.relative)
    rows = "\n".join(_row(name, curve) for name, curve in curves.items())
    return f"""{card_title(manifest)}

A copy of backbone {source.name} version {source.version} (digest `{source.digest}`), fine-tuned after \
`{plan.trained_after}` for several heads together. Digest (SHA-256 of model.onnx) `{manifest.digest}`.

Input `image`: uint8 (batch, height, width, 3), RGB; height and width multiples of 32. Outputs are float32. A pass \
costs what one of {source.name} does. It was made for pictures by {spec.resize} to {spec.width}x{spec.height}. Heads \
of {source.name} are not valid on it.

| feature | channels | stride |
| --- | --- | --- |
{features}

## How it was made

{plan.rounds} rounds, in {seconds:.0f} s. Each has a batch of every head, and one step. Each loss is divided by its \
running mean, so that its weight alone says what it is worth. In the first {round(plan.alone * plan.rounds)} rounds \
the heads learned alone. Batch norms are part of the convolutions: their statistics are those of {source.name}.

| head | metric on validation pictures | before | after |
| --- | --- | --- | --- |
{rows}

These heads are those of the joint training. What is published beside this trunk was learned on it afterwards.

![curves]({CURVES})

## Checked

Torch and ONNX Runtime differ by {worst.max_difference:.1e} at most (`{worst.output}`, values up to \
{worst.scale:.1f}). A batch against its pictures one by one: {batch_difference:.1e} of the largest value.

## Origin

- weights: {manifest.origin.source}
- licence: {manifest.origin.licence}
- trained on: {manifest.origin.data}

## To repeat

`trunkline cotrain` with this plan:

```yaml
{plan_text(plan).strip()}
```
"""


def kept_card(
    manifest: HeadManifest, teacher: HeadManifest, same: Mapping[str, tuple[float, int]], pictures: int
) -> str:
    """Markdown. same: by data set, the share of its test pictures with the teacher's best class, and how many."""
    rows = "\n".join(f"| {name} | {count} | {100 * share:.1f} % |" for name, (share, count) in same.items())
    return f"""{card_title(manifest)}

The classifier {teacher.name} version {teacher.version} of backbone {teacher.backbone.label}, held on backbone \
{manifest.backbone.label} (digest `{manifest.backbone.digest}`): task {manifest.task}, on \
`{", ".join(manifest.features)}`. It was learned from that classifier's answers about {pictures} pictures, without \
any label.

Output `logits`: float32 (batch, classes); probabilities are their softmax. Names: labels.txt.

## Quality

The same best class as {teacher.name} version {teacher.version}, each as it sees pictures, through ONNX Runtime:

| test pictures of | pictures | same best class |
| --- | --- | --- |
{rows}

## Origin

- weights: {manifest.origin.source}
- licence: {manifest.origin.licence}
- trained on: {manifest.origin.data}
"""


def _row(name: str, curve: Curve) -> str:
    if not curve.measured:
        return f"| `{name}` | none | | |"
    first, last = curve.measured[0][1], curve.measured[-1][1]
    return f"| `{name}` | {curve.metric} | {first:.4f} | {last:.4f} |"
