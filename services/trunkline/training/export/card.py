"""CARD.md: what people should know of a bundle, in the words of its manifest and of what was measured."""

from collections.abc import Sequence

from trunkline.core.bundle import BackboneManifest, HeadManifest, Origin
from trunkline.core.preprocess import PreprocessSpec
from trunkline.core.publishing import card_title
from trunkline.training.export.lite import LITE0
from trunkline.training.export.request import ExportRequest, Parity

# By architecture with its default weights; only what a source states.
_PUBLISHED = {
    LITE0: "ImageNet top-1 75.1 % in fp32, as published for the TensorFlow checkpoint from which these weights\n"
    "were converted (tensorflow/tpu, models/official/efficientnet/lite/README.md). Not measured here."
}

Answers = Sequence[tuple[str, Sequence[tuple[str, float]]]]


def backbone_card(
    manifest: BackboneManifest, request: ExportRequest, parity: Sequence[Parity], batch_difference: float
) -> str:
    """Markdown for a backbone."""
    features = [
        f"| `{feature.name}` | {feature.channels} | {feature.stride or 'vector'} |" for feature in manifest.features
    ]
    sections = [
        card_title(manifest),
        f"A frozen backbone. Architecture `{manifest.architecture}`, digest (SHA-256 of model.onnx)\n"
        f"`{manifest.digest}`.",
        "Input `image`: uint8 (batch, height, width, 3), RGB; height and width multiples of 32.\n"
        "Layout, mean and standard deviation are inside the graph. Outputs are float32.",
        _table("| feature | channels | stride |", features),
        "## Preprocessing\n\n" + _preprocessing(manifest.preprocess),
        "## Origin\n\n" + _origin(manifest.origin),
        "## Checked at export\n\nLargest difference between torch and ONNX Runtime on CPU, over "
        f"{_pictures(request)}:\n\n" + _parity_table(parity),
        f"A batch against its pictures one by one: {batch_difference:.1e} of the largest value.",
        "## To repeat\n\n    " + request.command(),
    ]
    return "\n\n".join(sections) + "\n"


def head_card(manifest: HeadManifest, request: ExportRequest, parity: Parity, answers: Answers) -> str:
    """Markdown for a classifier. answers: picture name and its best (label, probability), best first."""
    backbone = manifest.backbone
    sections = [
        card_title(manifest),
        f"The classifier that `{request.architecture}` was published with, as a head:\n"
        f"task {manifest.task}, on `{', '.join(manifest.features)}`. "
        f"Digest (SHA-256 of model.onnx) `{manifest.digest}`.",
        f"It belongs to backbone {backbone.name} version {backbone.version}, digest `{backbone.digest}`.",
        "Output `logits`: float32 (batch, classes); probabilities are their softmax. Names: labels.txt.",
        "## Preprocessing\n\n" + _preprocessing(manifest.preprocess),
        "## Origin\n\n" + _origin(manifest.origin),
        "## Quality\n\n" + _quality(request),
    ]
    if answers:
        sections.append("Answers on the sample pictures, through ONNX Runtime:\n\n" + _answer_table(answers))
    sections += [
        f"Largest difference of the logits between torch and ONNX Runtime: {parity.max_difference:.1e} "
        f"(values up to {parity.scale:.1f}).",
        "## To repeat\n\n    " + request.command(),
    ]
    return "\n\n".join(sections) + "\n"


def _quality(request: ExportRequest) -> str:
    published = _PUBLISHED.get(request.architecture) if request.weights == "default" else None
    return published or "No figure is published with these weights, and none was measured here."


def _pictures(request: ExportRequest) -> str:
    names = ", ".join(path.stem for path in request.samples)
    return f"the pictures {names}" if names else "generated pictures"


def _preprocessing(spec: PreprocessSpec) -> str:
    share = f" of the central {spec.crop_share:g}" if spec.resize == "crop" and spec.crop_share < 1 else ""
    return (
        f"{spec.resize}{share} to {spec.width}x{spec.height}, {spec.interpolation}, {spec.colour}; "
        f"fingerprint `{spec.fingerprint}`."
    )


def _origin(origin: Origin) -> str:
    digest = f"`{origin.weights_sha256}`" if origin.weights_sha256 else "not recorded"
    return (
        f"- weights: {origin.source}\n- SHA-256 of the weights file: {digest}\n"
        f"- licence: {origin.licence}\n- trained on: {origin.data}"
    )


def _parity_table(parity: Sequence[Parity]) -> str:
    rows = [
        f"| `{one.output}` | {one.width}x{one.height} | {one.max_difference:.1e} | {one.scale:.1f} |"
        for one in parity
    ]
    return _table("| feature | size | difference | largest value |", rows)


def _answer_table(answers: Answers) -> str:
    rows = [
        f"| {name} | " + ", ".join(f"{label} {score:.3f}" for label, score in best) + " |" for name, best in answers
    ]
    return _table("| picture | best answers with their probability |", rows)


def _table(heading: str, rows: Sequence[str]) -> str:
    rule = "|" + " --- |" * (heading.count("|") - 1)
    return "\n".join([heading, rule, *rows])
