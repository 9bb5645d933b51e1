"""CARD.md of an imported detector."""

from trunkline.core.bundle import HeadManifest
from trunkline.core.publishing import card_title
from trunkline.core.terms import terms_text
from trunkline.training.imported.detector_file import DetectorFile
from trunkline.training.imported.layouts.layout import Layout
from trunkline.training.imported.request import ImportRequest


def write_card(
    manifest: HeadManifest, request: ImportRequest, detector: DetectorFile, layout: Layout, difference: float
) -> str:
    """Markdown. difference: relative, between the file and the head made of it."""
    spec, origin, backbone = manifest.preprocess, manifest.origin, manifest.backbone
    rows = f"{layout.rows} boxes" if layout.rows is not None else "Any number of boxes"
    about = f" {detector.description}" if detector.description else ""
    return f"""{card_title(manifest)}

Task {manifest.task}, on `image`, the pixels themselves: a whole network of its own, imported from \
`{request.file.name}`, of {layout.title}.{about}

It is served beside backbone {backbone.name} version {backbone.version} (digest `{backbone.digest}`), of which it \
uses nothing but the decoded picture.

## Output

{rows} for each picture: {layout.told}. Scaling of values and the order of axes are inside the graph.

## Preprocessing

{spec.resize} to {spec.width}x{spec.height}, {spec.interpolation}, {spec.colour}; fingerprint `{spec.fingerprint}`. \
{layout.otherwise}

## Origin and terms

- weights: {origin.source}
- SHA-256 of that file: `{origin.weights_sha256}`
- licence: {origin.licence}
- may be used for: {terms_text(manifest.terms)}

## Quality

None was measured here: `trunkline evaluate --head {manifest.name} --data DIR` does so, through the serving path.

The head gives what the file gives, to {difference:.1e} of the largest value.

## To repeat

    {request.command()}
"""
