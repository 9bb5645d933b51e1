"""What a card says of a head under a further spec."""

import shlex

from trunkline.core.bundle import Bundle, HeadManifest
from trunkline.core.publishing import card_title
from trunkline.core.variants import Variant
from trunkline.training.variants.adapt import LinearMap
from trunkline.training.variants.request import VariantReport, VariantRequest


def card_with(
    head: Bundle[HeadManifest],
    manifest: HeadManifest,
    variant: Variant,
    report: VariantReport,
    request: VariantRequest,
    learned: LinearMap | None,
) -> str:
    """The card of the head for its new version, with a section on the spec."""
    before = _without(head.card.removeprefix(card_title(head.manifest)).strip(), variant)
    return f"{card_title(manifest)}\n\n{before}\n\n{_section(head, variant, report, request, learned)}\n"


def _section(
    head: Bundle[HeadManifest],
    variant: Variant,
    report: VariantReport,
    request: VariantRequest,
    learned: LinearMap | None,
) -> str:
    lines = [_heading(variant), ""]
    own = head.manifest.preprocess.words
    lines += [
        f"The same head, answered from a pass under {variant.preprocess.words} (fingerprint "
        f"`{variant.preprocess_fingerprint}`) in place of {own}, where a call allows that it loses "
        f"{report.points_lost:.1f} points. Its answers under {own} are those of version {head.manifest.version}.",
        "",
    ]
    if learned is not None:
        lines += [_adaptation(report, request, learned), ""]
    if report.metrics:
        lines += [f"| metric | {own} | {variant.preprocess.words} |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {_value(value)} | {_value(report.metrics[name])} |" for name, value in report.before.items()
        ]
        lines += ["", "Measured on the same pictures, through the serving path."]
    if report.agreement is not None:
        lines += [_agreement(report)]
    lines += ["", f"    {_command(head.manifest, request)}"]
    return "\n".join(lines)


def _heading(variant: Variant) -> str:
    return f"## Under {variant.preprocess.words}"


def _adaptation(report: VariantReport, request: VariantRequest, learned: LinearMap) -> str:
    return (
        f"Adapted on {report.fitted_on} pictures of {request.named[0]}, without labels: a linear map from the "
        "features under this spec to those under its own, by ridge regression toward the identity (strength "
        f"{learned.strength:.3g}), is part of its model file here."
    )


def _agreement(report: VariantReport) -> str:
    found = report.agreement
    assert found is not None
    text = (
        f"Its best class is the one under its own spec on {100 * found.share:.1f} % of {found.count} pictures of "
        f"{found.data} that nothing was fitted to"
    )
    return text + (f" ({100 * report.unadapted.share:.1f} % without the map)." if report.unadapted else ".")


def _value(value: float) -> str:
    return f"{value:.4g}"


def _command(manifest: HeadManifest, request: VariantRequest) -> str:
    words = ["trunkline", "models", "measure", manifest.name, "--like", request.like]
    words += [] if request.data is None else ["--data", request.data.name]
    for option, named in zip(("--adapt", "--pictures"), request.named, strict=True):
        words += [word for name in named.split(", ") if name for word in (option, name)]
    return shlex.join(words)


def _without(card: str, variant: Variant) -> str:
    """The card without the section on this spec, where it was measured under it before."""
    start = card.find(_heading(variant) + "\n")
    if start < 0:
        return card
    end = card.find("\n## ", start + 1)
    return (card[:start] + (card[end + 1 :] if end >= 0 else "")).strip()
