"""`trunkline backbone move`: the heads of one backbone, made again on another."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import complain, console, print_json, table

if TYPE_CHECKING:
    from trunkline.core.bundle import BackboneManifest
    from trunkline.core.repository import Repository
    from trunkline.core.store import ModelStore
    from trunkline.training.move import Folders, Step

_WORK, _CACHE = Path("out/move"), Path("out/features")
_HOW = {"train": "learned again", "carry": "carried over", "done": "there already", "left": "left where it is"}


def move(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Backbone that the heads are on, NAME or NAME/VERSION.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Backbone to move them to.")],
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="DIR|HEAD=DIR",
            help="Folder in which data sets lie by their names, or that of one head; can be repeated.",
        ),
    ] = None,
    head: Annotated[
        list[str] | None, typer.Option("--head", help="Only this head; may be repeated.", show_default="all")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be done.")] = False,
    changed_data: Annotated[bool, typer.Option("--changed-data", help="Accept data that has changed.")] = False,
    work: Annotated[
        Path,
        typer.Option("--work", metavar="DIR", help="Folder for continuing after an interruption."),
    ] = _WORK,
    cache: Annotated[Path, typer.Option("--cache", metavar="DIR", help="Folder of stored features.")] = _CACHE,
    models: Models = None,
    json: Json = False,
) -> None:
    """Train the next version of each head on another backbone, as its card says, on the same data.

    The new versions answer only once you promote them. The same command continues an interrupted run.
    """
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.core.repository import Repository
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    with train_extra("moving heads"):
        from trunkline.training.move import planned

    store = open_store(read_settings(models=models))
    repository = Repository(store.root)
    target = _backbone(repository, new)
    steps = planned(repository, _backbone(repository, old), target, _folders(data or ()), tuple(head or ()))
    if not json:
        _show(steps)
    failed: list[str] = []
    rows = []
    with on_interrupt(lambda: "stopped: what is made stays, and the same command goes on"):
        for number, step in enumerate(steps, 1):
            made, fault = step.made, ""
            if not plan and step.how in ("train", "carry"):
                made, fault = _tried(step, f"{number} of {len(steps)}", target, store, work, cache, changed_data)
                failed += [step.name] if fault else []
            rows.append(_row(repository, step, made, fault))
    _report(rows, plan=plan, json=json)
    if failed:
        raise typer.Exit(1)


def _backbone(repository: "Repository", name: str) -> "BackboneManifest":
    name, slash, version = name.partition("/")
    if slash and not version.isdecimal():
        raise typer.BadParameter(f"{version!r} is not a version: write NAME or NAME/VERSION")
    return repository.backbone(name, int(version) if slash else None).manifest


def _folders(data: Sequence[str]) -> "Folders":
    from trunkline.training.move import Folders

    named = [each.partition("=") for each in data]
    by_head = {head: Path(place) for head, equals, place in named if equals}
    return Folders([Path(place) for place, equals, _ in named if not equals] or [Path()], by_head)


def _tried(
    step: "Step",
    place: str,
    target: "BackboneManifest",
    store: "ModelStore",
    work: Path,
    cache: Path,
    changed_data: bool,
) -> tuple[int | None, str]:
    """The version that was made, or why none was: a head that fails stops no other."""
    from trunkline.core.errors import TrunklineError

    complain(f"{place}: {step.name}, {_HOW[step.how]}")
    try:
        return int(_made(step, target, store, work, cache, changed_data).name), ""
    except TrunklineError as error:
        complain(f"{step.name}: {error.message}")
        return None, error.message


def _made(
    step: "Step", target: "BackboneManifest", store: "ModelStore", work: Path, cache: Path, changed_data: bool
) -> Path:
    from trunkline.cli.stages import watcher
    from trunkline.training.carry import carried_over

    if step.request is None:
        return carried_over(step.head, target, store.root, store.publish)
    from trunkline.training.run import Places, train_head

    manifest = step.head.manifest
    # By what is learned from what: another plan never goes on with the checkpoints of this one.
    folder = work / f"{manifest.name}-{manifest.version}-{target.digest[:16]}"
    places, like = Places(store.root, cache, folder), None if changed_data else manifest
    try:
        with watcher() as watched:
            path = train_head(step.request, places, watched, store.publish, like=like)
    except SystemExit as ended:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from ended
    shutil.rmtree(folder, ignore_errors=True)
    assert path is not None
    return path


def _show(steps: Sequence["Step"]) -> None:
    made = table("head", "task", "mode", "what becomes of it", "data")
    for step in steps:
        manifest = step.head.manifest
        made.add_row(
            f"{manifest.name}/{manifest.version}",
            manifest.task,
            manifest.mode,
            _HOW[step.how] + (f" ({step.name}/{step.made})" if step.made else f": {step.why}" if step.why else ""),
            step.request.data if step.request is not None else "",
        )
    console().print(made)


def _row(repository: "Repository", step: "Step", made: int | None, fault: str) -> dict[str, object]:
    before = step.head.manifest
    after = repository.head(step.name, made).manifest if made is not None else None
    return {
        "head": step.name,
        "how": step.how,
        "before": {"version": before.version, "metrics": before.metrics},
        "after": None if after is None else {"version": after.version, "metrics": after.metrics},
        "fault": fault or step.why,
    }


def _report(rows: Sequence[dict[str, object]], *, plan: bool, json: bool) -> None:
    if json:
        print_json({"heads": list(rows)})
        return
    if plan:
        return
    ready = []
    for row in rows:
        before, after = row["before"], row["after"]
        if isinstance(before, dict) and isinstance(after, dict):
            ready.append(f"{row['head']}/{after['version']}")
            for metric, value in after["metrics"].items():
                print(f"{ready[-1]:24} {metric:24} {value:8.4g}  before {before['metrics'].get(metric, 0):8.4g}")
    if ready:
        print(f"promote them with: trunkline models promote {' '.join(ready)}")
