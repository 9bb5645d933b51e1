"""`trunkline models known`: an existing classifier learns to tell unknown images; needs the `train` extra."""

from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json


def add_to(app: typer.Typer) -> None:
    """The command below, as a command of `app`."""
    app.command("known")(known)


def known(
    head: Annotated[str, typer.Argument(metavar="HEAD", help="Classifier, NAME or NAME/VERSION.")],
    *,
    data: Annotated[
        Path,
        typer.Option("--data", metavar="DIR", help="Data set that the head was made from.", show_default=False),
    ],
    models: Models = None,
    json: Json = False,
) -> None:
    """Publish a version of a classifier that also says whether an image is like those that it learned from.

    Nothing is trained: classes and probabilities stay as they are. The new version answers once it is promoted.
    """
    from functools import partial

    from trunkline.cli.stages import watcher
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    with train_extra("learning what is known"):
        from trunkline.training.data.reading import limit_annotations
        from trunkline.training.familiar import make_familiar

    settings = read_settings(models=models)
    limit_annotations(settings.training_annotations_mib)
    store = open_store(settings)
    with watcher() as watched:
        folder = make_familiar(head, data, store.root, partial(watched.stage, "features"), store.publish)
    name, version = folder.parent.name, folder.name
    if json:
        print_json({"head": name, "version": version, "path": str(folder)})
    else:
        print(f"head {name} version {version}: {folder}")
        print(f"It answers after: trunkline models promote {name} {version}")
