"""Classifiers under attack and on corrupted pictures: `python -m benchmarks robustness --data DIR`."""

from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

from benchmarks.output import Output, tell
from benchmarks.statistics import table
from trunkline.training.robustness.attacks import Attack
from trunkline.training.robustness.measure import Point, measuring

_EPSILONS = (1.0, 2.0, 4.0, 8.0)
_ATTACKS: tuple[Attack, ...] = ("fgsm", "pgd")
_HEADS = (("flowers102", "flowers102", False), ("imagenet", "pets", True))  # head, data, answers as truth


def run(output: Output, *, models: Path, data: Path, pictures: int) -> None:
    """Writes robustness.md and .json."""
    attacks, corruptions, record = [], [], {}
    for head, name, as_answered in _HEADS:
        found = measuring(models, head, data / name, None, pictures, _tell, as_answered=as_answered)
        clean = found.clean()
        title = f"`{head}` on {name}, {len(found.samples)} pictures"
        points: list[Point] = []
        for attack in _ATTACKS:
            left = [point for point, _ in found.attacks(attack, _EPSILONS)]
            attacks.append([title, attack, _percent(clean), *(_percent(point.accuracy) for point in left)])
            points += left
        severe = list(found.corruptions())
        corruptions.append([title, *_by_severity(severe)])
        record[head] = {"clean": clean, "points": [asdict(point) for point in (*points, *severe)]}
    notes = [
        "accuracy; for `imagenet`, whose classes pets has not, the share of answers that stay what they were",
        "corruptions: mean of eleven kinds at each severity",
    ]
    columns = ("classifier", "attack", "clean", *(f"{epsilon:g}/255" for epsilon in _EPSILONS))
    lines = [*table(columns, attacks), "", *table(("corruptions", "1", "2", "3", "4", "5"), corruptions)]
    output.write("robustness", "Classifiers under attack and on corrupted pictures", notes, lines, record)


def _by_severity(points: list[Point]) -> list[str]:
    by_severity: defaultdict[float, list[float]] = defaultdict(list)
    for point in points:
        by_severity[point.strength].append(point.accuracy)
    return [_percent(sum(found) / len(found)) for _, found in sorted(by_severity.items())]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tell(told: str, done: int, total: int) -> None:
    if done == total:
        tell(told)
