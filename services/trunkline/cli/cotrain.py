"""`trunkline cotrain PLAN.yaml`: one trunk for several heads. Needs the train extra."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json

if TYPE_CHECKING:
    from trunkline.training.cotrain.cotrain import Published
    from trunkline.training.cotrain.early import Prepared

_WORK, _CACHE = Path("out/cotrain"), Path("out/features")


def cotrain(
    plan: Annotated[Path, typer.Argument(metavar="PLAN.yaml", help="Trunk, preprocessing and heads.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder of the data sets.", show_default="that of the plan"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Look at plan and data, and do nothing.")] = False,
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Where a run goes on after an interruption.")
    ] = _WORK,
    cache: Annotated[Path, typer.Option("--cache", metavar="DIR", help="Where features are kept.")] = _CACHE,
    models: Models = None,
    json: Json = False,
) -> None:
    """Fine-tune a copy of a backbone for several heads together, make these on it, and publish all as new versions.

    Nothing answers from the new versions until they are promoted. The same
    command goes on where an earlier one ended, from its last checkpoint.
    """
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.cli.stages import watcher
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    settings = read_settings(models=models)
    store = open_store(settings)
    with train_extra("co-training"):
        from trunkline.training.cotrain.early import looked_ahead
        from trunkline.training.cotrain.plan_file import read_plan
        from trunkline.training.data.reading import limit_annotations

    limit_annotations(settings.training_annotations_mib)
    prepared = looked_ahead(read_plan(plan), store.root, data or plan.parent)
    if check:
        _show(prepared, json=json)
        return
    folder = work / prepared.folder
    with on_interrupt(lambda: "stopped: nothing is published, and the same command goes on from the last checkpoint"):
        with train_extra("co-training"):
            from trunkline.training.cotrain.cotrain import cotrain as run
            from trunkline.training.run import Places
        with watcher() as watched:
            made = run(prepared, Places(store.root, cache, folder), watched, store.publish)
    shutil.rmtree(folder, ignore_errors=True)
    _report(made, json=json)


def _show(prepared: "Prepared", *, json: bool) -> None:
    spec, backbone = prepared.spec, prepared.backbone.manifest
    heads = {name: len(dataset.samples) for name, dataset in prepared.datasets.items()}
    if json:
        print_json(
            {
                "trunk": prepared.plan.trunk,
                "backbone": backbone.label,
                "preprocess": spec.model_dump(),
                "keep": list(prepared.kept),
                "heads": [{"head": name, "pictures": count} for name, count in heads.items()],
            }
        )
        return
    print(f"trunk {prepared.plan.trunk}: {backbone.label}, trained after {prepared.plan.trained_after}")
    print(f"pictures: {spec.resize} to {spec.width}x{spec.height}")
    for name in prepared.kept:
        print(f"keep  {name}")
    for name, count in heads.items():
        request, folder = prepared.requests[name], prepared.datasets[name].root.name
        print(f"head  {name}: {request.task}, mode {request.mode}, {count:,} pictures of {folder}")


def _report(made: "Published", *, json: bool) -> None:
    from trunkline.core.bundle import HeadManifest, read_bundle
    from trunkline.training.cotrain.early import SAME

    manifests = [manifest for path in made.heads if isinstance(manifest := read_bundle(path).manifest, HeadManifest)]
    if json:
        print_json(
            {
                "backbone": made.trunk.parent.name,
                "version": made.trunk.name,
                "path": str(made.trunk),
                "heads": [
                    {"head": each.name, "version": str(each.version), "metrics": each.metrics} for each in manifests
                ],
            }
        )
        return
    print(f"backbone {made.trunk.parent.name} version {made.trunk.name}: {made.trunk}")
    for each in manifests:
        for metric, value in each.metrics.items():
            print(f"{each.name}/{each.version}".ljust(24) + f" {metric:24} {value:8.4g}")
    named = " ".join(f"{each.name}/{each.version}" for each in manifests)
    print(f"promote them with: trunkline models promote {named}")
    kept = [each for each in manifests if SAME in each.metrics]
    if kept:
        print(f"{kept[0].name} has no metric in common with its version before: look at its card, then add --force")
