"""CARD.md of a backbone in 8 bits."""

from trunkline.core.bundle import BackboneManifest
from trunkline.core.publishing import card_title
from trunkline.training.quantize.request import Measured, QuantizeRequest


def quantized_card(
    manifest: BackboneManifest, request: QuantizeRequest, calibrated: int, source: BackboneManifest, found: Measured
) -> str:
    """Markdown. calibrated: pictures."""
    features = "\n".join(
        f"| `{each.name}` | {each.channels} | {each.stride or 'vector'} | {found.cosines[each.name]:.4f} |"
        for each in manifest.features
    )
    answers = "\n".join(f"| `{name}` | {100 * share:.1f} % |" for name, share in found.answers.items())
    return f"""{card_title(manifest)}

Backbone {source.name} version {source.version} (digest `{source.digest}`) in 8 bits: convolutions on integers, the \
first {request.float_layers} in float32. Digest (SHA-256 of model.onnx) `{manifest.digest}`.

Input `image`: uint8 (batch, height, width, 3), RGB; height and width multiples of 32. Outputs are float32. Heads \
are made for it as for any backbone: those of {source.name} are not valid on it.

## How it was made

ONNX Runtime's static quantization (QDQ), weights per channel. {calibrated} pictures gave the ranges, under the \
preprocessing of the backbone and of its heads. Channels were scaled to one range where that changes no answer; \
then each layer's weights were fitted, by least squares, to what the exact layer answers, and rounded so that its \
outputs change least. Weights have 7 bits, so that processors without VNNI compute the same: sums of two \
products stay within 16 bits.

## Measured

On {found.pictures} pictures that were not calibrated with, against {source.name} version {source.version}.

| feature | channels | stride | cosine |
| --- | --- | --- | --- |
{features}

{_answers(answers)}Speed: {found.speed:.2f} passes for one in float32, on one thread \
{"with" if found.vnni else "without"} VNNI. File: {found.sizes[1] / 1e6:.1f} MB, before {found.sizes[0] / 1e6:.1f} MB.

## Origin

- weights: {manifest.origin.source}
- licence: {manifest.origin.licence}
- trained on: {manifest.origin.data}

## To repeat

    trunkline backbone quantize {request.backbone} --data PICTURES --name {manifest.name} \
--pictures {request.calibrated} --float-layers {request.float_layers}
"""


def _answers(rows: str) -> str:
    if not rows:
        return ""
    heading = "Heads on features of either, without being made anew:\n\n| head | same best class |\n| --- | --- |"
    return f"{heading}\n{rows}\n\n"
