"""`trunkline data`: looking at data before anything is trained on it, and writing it in other formats."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.interrupts import on_interrupt
from trunkline.cli.options import Json
from trunkline.cli.output import console, print_json, show, table
from trunkline.cli.stages import stages

if TYPE_CHECKING:
    from trunkline.training.convert.convert import Converted
    from trunkline.training.data.dataset import Dataset
    from trunkline.training.data.report import DataReport

app = typer.Typer(help="Check data for training, or write it in another format.", no_args_is_help=True)

_FOR_TRAINING = ("train", "")
_MOST_LINES, _MOST_OF_A_KIND = 20, 3  # of a list that people read; --json has more


@app.callback()
def data() -> None:
    """Check data for training, or write it in another format."""


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the data set, or its CSV file.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            "--target",
            metavar="NAME",
            help="Column to learn, in regression; may be repeated.",
            show_default="all numbers",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Task, if the data can be read in several ways.", show_default="any"),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat remarks as problems.")] = False,
    json: Json = False,
) -> None:
    """Decode every image and report counts, remarks, what is left out and why, duplicates and small classes.

    The status is 1 if training on the data would fail.
    """
    with train_extra("this data"):
        from trunkline.serving.settings import read_settings
        from trunkline.training.data.read import read_dataset
        from trunkline.training.data.reading import limit_annotations

        limit_annotations(read_settings().training_annotations_mib)
        report = _check(read_dataset(folder, targets=target or (), task=task), strict=strict)
    if json:
        print_json(_to_json(report))
    else:
        _show(report)
    if report.problems:
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of a data set, or its file.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="Folder to write: new, or empty.")],
    form: Annotated[str, typer.Option("--to", metavar="FORMAT", help="coco, yolo, voc, or folders of classes.")],
    link: Annotated[
        bool, typer.Option("--link", help="Hard-link images that are files, instead of copying them.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a data set in another format: images, splits, classes and objects.

    What training would leave out is left out. Remarks say what the format cannot hold. DST is written whole or not at
    all.
    """
    with train_extra("this data"):
        from trunkline.serving.settings import read_settings
        from trunkline.training.convert.convert import convert as written
        from trunkline.training.data.reading import limit_annotations

        limit_annotations(read_settings().training_annotations_mib)
        with on_interrupt(lambda: f"stopped: {target} is not written"), stages(stay=False) as told:
            made = written(source, target, form, told.stage, link=link)
    if json:
        print_json(_converted_json(made, target, form))
    else:
        _show_converted(made, target, form)


def _converted_json(made: "Converted", target: Path, form: str) -> dict[str, Any]:
    from dataclasses import asdict

    remarks = made.remarks
    return {
        "root": str(target),
        "format": form,
        "layout": made.layout,
        "splits": dict(made.splits),
        "classes": list(made.classes),
        "objects": made.objects,
        "remarks": [asdict(row) for row in remarks.rows()],
        "remark_counts": dict(remarks.counts),
        "left_out": dict(remarks.left_out),
    }


def _show_converted(made: "Converted", target: Path, form: str) -> None:
    from trunkline.training.data.remarks import lines_of, summary_of

    out, remarks = console(), made.remarks
    for line in lines_of(remarks.rows(), remarks.counts, _MOST_OF_A_KIND):
        out.print(f"remark: {line}", soft_wrap=True)
    splits = ", ".join(f"{count} {split or 'without a split'}" for split, count in made.splits.items())
    objects = f", {_count(made.objects, 'object')}" if form != "folders" else ""
    pictures, classes = _count(sum(made.splits.values()), "picture"), _count(len(made.classes), "class")
    out.print(f"{target}: {form} of {made.layout}, {pictures} ({splits}), {classes}{objects}", soft_wrap=True)
    if remarks.counts:
        out.print(summary_of(remarks.total(), remarks.left_out), soft_wrap=True)


def _check(dataset: "Dataset", *, strict: bool) -> "DataReport":
    from trunkline.training.data.check import check_dataset

    with on_interrupt(lambda: "stopped: the data was not looked at whole"), stages(stay=False) as told:
        return check_dataset(dataset, progress=partial(told.stage, "looking at pictures"), strict=strict)


def _to_json(report: "DataReport") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(report), "root": str(report.root)}


def _show(report: "DataReport") -> None:
    out, pictures = console(), sum(report.splits.values())
    learnt = _count(len(report.classes), "class") if report.classes else _count(len(report.targets), "target")
    out.print(f"{report.root}: layout {report.layout}, {pictures} pictures, {learnt}", soft_wrap=True)
    _show_counts(report)
    if report.unbalance is not None and len(report.classes) > 1:
        each = [sum(counts.get(split, 0) for split in _FOR_TRAINING) for counts in report.classes.values()]
        out.print(f"training images per class: {min(each):,} to {max(each):,}")
    _show_list("problem", report.problems)
    _show_remarks(report)
    _show_list("warning", report.warnings)
    verdict = "cannot be trained on" if report.problems else "can be trained on"
    counts = f"{_count(len(report.problems), 'problem')}, {_count(len(report.warnings), 'warning')}"
    out.print(f"{verdict}: {counts}" + (f", {report.summary}" if report.remark_counts else ""), soft_wrap=True)


def _count(number: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"


def _show_counts(report: "DataReport") -> None:
    splits = list(report.splits)
    names = [split or "no split" for split in splits]
    made = table("class", *names, right=tuple(names))
    for name, counts in report.classes.items():
        made.add_row(name, *(str(counts.get(split, 0)) for split in splits))
    made.add_section()
    made.add_row("all", *(str(report.splits[split]) for split in splits))
    show(made)
    if report.objects:
        _show_objects(report, splits)
    if report.targets:
        _show_targets(report)


def _show_objects(report: "DataReport", splits: Sequence[str]) -> None:
    names = [split or "no split" for split in splits]
    made = table("objects", *names, right=tuple(names))
    for name, counts in report.objects.items():
        made.add_row(name, *(str(counts.get(split, 0)) for split in splits))
    show(made)


def _show_targets(report: "DataReport") -> None:
    made = table("target", "least", "mean", "greatest", right=("least", "mean", "greatest"))
    for target in report.targets:
        made.add_row(target.name, *(f"{value:.4g}" for value in (target.least, target.mean, target.greatest)))
    show(made)


def _show_remarks(report: "DataReport") -> None:
    from trunkline.training.data.remarks import lines_of

    for line in lines_of(report.remarks, report.remark_counts, _MOST_OF_A_KIND):
        console().print(f"remark: {line}", soft_wrap=True)


def _show_list(kind: str, lines: Sequence[str]) -> None:
    out = console()
    for line in lines[:_MOST_LINES]:
        out.print(f"{kind}: {line}", soft_wrap=True)
    if len(lines) > _MOST_LINES:
        out.print(f"{kind}: and {len(lines) - _MOST_LINES} more; --json has all")
