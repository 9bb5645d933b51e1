"""`trunkline evaluate --attack` and `--corruptions`: a classifier on pictures that were changed."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from trunkline.cli.output import print_json, show, table
from trunkline.core.figures import percent

if TYPE_CHECKING:
    from trunkline.training.robustness.measure import Example, Measuring, Point

Attack = Literal["fgsm", "pgd"]
_EPSILONS = (1.0, 2.0, 4.0, 8.0)
_MOST_EPSILON = 64.0


def epsilons_of(text: str | None) -> tuple[float, ...]:
    """From "1,2,4". Raises BadParameter."""
    if text is None:
        return _EPSILONS
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < each <= _MOST_EPSILON for each in found):
        raise typer.BadParameter(f"--epsilon {text}: write steps of 255 such as 1,2,4, each up to {_MOST_EPSILON:g}")
    return found


def show_attack(
    measuring: "Measuring", attack: Attack, epsilons: Sequence[float], *, json: bool, draw: Path | None
) -> None:
    """Print what is left of the accuracy at each epsilon, and draw the curve with pictures before and after."""
    clean = measuring.clean()
    points: list[Point] = []
    examples: tuple[Example, ...] = ()
    for point, found in measuring.attacks(attack, epsilons):
        points.append(point)
        examples = found
    if draw is not None:
        from trunkline.training.robustness.sheet import draw_attack

        title = f"{measuring.head.manifest.name}, {attack}"
        draw_attack(draw, title, clean, points, examples)
    if json:
        print_json(_document(measuring, clean, points))
        return
    print(_title(measuring))
    made = table("change", "accuracy", "of the clean one", right=["accuracy", "of the clean one"])
    made.add_row("none", percent(clean), "")
    for point in points:
        left = percent(point.accuracy / clean) if clean else ""
        made.add_row(f"{point.kind} {point.strength:g}/255", percent(point.accuracy), left)
    show(made)
    if draw is not None:
        print(f"curve and pictures: {draw}")


def show_corruptions(measuring: "Measuring", *, json: bool) -> None:
    """Print what is left of the accuracy for each kind and severity."""
    clean, points = measuring.clean(), list(measuring.corruptions())
    if json:
        print_json(_document(measuring, clean, points))
        return
    print(_title(measuring))
    strengths = sorted({point.strength for point in points})
    names = [f"{strength:g}" for strength in strengths]
    made = table("corruption, severity", *names, right=names)
    made.add_row("none", percent(clean), *[""] * (len(names) - 1))
    for kind in dict.fromkeys(point.kind for point in points):
        made.add_row(kind, *(percent(point.accuracy) for point in points if point.kind == kind))
    mean = sum(point.accuracy for point in points) / len(points)
    made.add_row("mean of all", percent(mean), *[""] * (len(names) - 1))
    show(made)


def _title(measuring: "Measuring") -> str:
    manifest = measuring.head.manifest
    truth = "" if measuring.truth == "labels" else "; right is what it says of the unchanged picture"
    return f"{manifest.name} {manifest.version} on {measuring.data}, {len(measuring.samples)} pictures{truth}"


def _document(measuring: "Measuring", clean: float, points: "Sequence[Point]") -> dict[str, Any]:
    manifest = measuring.head.manifest
    return {
        "head": manifest.name,
        "version": str(manifest.version),
        "data": measuring.data,
        "count": len(measuring.samples),
        "truth": measuring.truth,
        "clean": clean,
        "points": [asdict(point) for point in points],
    }
