"""CARD.md of an imported detector."""

from trunkline.core.bundle import HeadManifest
from trunkline.core.publishing import card_title
from trunkline.training.imported.request import ImportRequest
from trunkline.training.imported.ultralytics_file import Layout, YoloFile

_LAYOUTS = {
    "grid": "every place of its grids with a probability for each class; overlapping boxes are suppressed after it",
    "rows": "the boxes that it has chosen itself, so none is suppressed after it",
}


def write_card(
    manifest: HeadManifest, request: ImportRequest, yolo: YoloFile, layout: Layout, rows: int, difference: float
) -> str:
    """Markdown. difference: relative, between the file and the head made of it."""
    spec, origin, backbone = manifest.preprocess, manifest.origin, manifest.backbone
    return f"""{card_title(manifest)}

Task {manifest.task}, on `image`, the pixels themselves: a whole network of its own, imported from \
`{request.file.name}`. {yolo.description}

It is served beside backbone {backbone.name} version {backbone.version} (digest `{backbone.digest}`), of which it \
uses nothing but the decoded picture.

## Output

{rows} boxes for each picture: {_LAYOUTS[layout]}. Scaling to 0..1 and the order of axes are inside the graph.

## Preprocessing

{spec.resize} to {spec.width}x{spec.height}, {spec.interpolation}, {spec.colour}; fingerprint `{spec.fingerprint}`. \
Ultralytics fills with gray 114 and resizes without antialiasing; here the gray is 127, and what is made smaller is \
antialiased. Scores may differ a little from those of its own `predict`.

## Origin and terms

- weights: {origin.source}
- SHA-256 of that file: `{origin.weights_sha256}`
- licence: {origin.licence}

Ultralytics publishes its code and its pretrained weights under AGPL-3.0 and sells other terms. Whether weights that \
were trained with it are bound by that is for you to find out before you serve them to others.

## Quality

None was measured here: `trunkline evaluate --head {manifest.name} --data DIR` does so, through the serving path.

The head gives what the file gives, to {difference:.1e} of the largest value.

## To repeat

    {request.command()}
"""
