"""What `trunkline train` does once it knows what is asked for: learn here, publish, report."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.output import print_json, print_metrics

if TYPE_CHECKING:
    from trunkline.core.bundle import HeadManifest
    from trunkline.core.train_request import TrainRequest


def train_again(
    context: typer.Context,
    head: str,
    backbone: str,
    data: Path | None,
    cache: Path,
    models: str | None,
    service: str | None,
    changed_data: bool,
    *,
    json: bool,
) -> None:
    """The next version of a head on another backbone, by its card; by the training service where one is named."""
    from trunkline.cli import again

    again.check_alone(context)
    request, before = again.again(models, head, backbone, data)
    if service is None:
        train_here(request, cache, models, like=None if changed_data else before.manifest, json=json)
        return
    from trunkline.cli.jobs import submit_and_watch

    submit_and_watch(request, service, json=json)


def train_here(
    request: "TrainRequest",
    cache: Path,
    models: str | None,
    *,
    like: "HeadManifest | None" = None,
    json: bool,
) -> None:
    """Learn in this process, publish, and say what came of it. `like`: a version whose data it must be."""
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.cli.stages import watcher
    from trunkline.core.errors import TrunklineError
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    settings = read_settings(models=models)
    store = open_store(settings)
    with train_extra("training"):
        from trunkline.training import group
        from trunkline.training.data.reading import limit_annotations
        from trunkline.training.early import looked_ahead

    def how_far() -> str:
        return f"stopped: nothing is published; features that were computed are kept in {cache} for the next run"

    limit_annotations(settings.training_annotations_mib)
    try:
        with on_interrupt(how_far):
            read = looked_ahead(request, store.root)
            with train_extra("training"):
                from trunkline.training.run import Places, train_head
            with TemporaryDirectory(prefix="trunkline-train-") as work, watcher(shown=group.rank() == 0) as watched:
                places = Places(store.root, cache, Path(work))
                folder = train_head(request, places, watched, store.publish, read, like)
    except TrunklineError as error:
        if group.rank():
            raise typer.Exit(1) from error  # the first process says why
        raise
    if folder is not None:
        _report(folder, json=json)


def _report(folder: Path, *, json: bool) -> None:
    from trunkline.core.bundle import HeadManifest, read_bundle

    manifest = read_bundle(folder).manifest
    assert isinstance(manifest, HeadManifest)
    if json:
        print_json(
            {
                "head": manifest.name,
                "version": str(manifest.version),
                "path": str(folder),
                "metrics": manifest.metrics,
            }
        )
        return
    print(f"head {manifest.name} version {manifest.version}: {folder}")
    print_metrics(manifest.metrics)
