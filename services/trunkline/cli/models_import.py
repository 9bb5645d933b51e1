"""`trunkline models import`: a detector in an ONNX file becomes a head; needs the `train` extra."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json

if TYPE_CHECKING:
    from trunkline.training.imported import ImportReport, ImportRequest


def add_to(app: typer.Typer) -> None:
    """The command below, as a command of `app`."""
    app.command("import")(import_model)


def import_model(
    file: Annotated[Path, typer.Argument(metavar="FILE.onnx", help="A detector exported by Ultralytics.")],
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the head.", show_default=False)],
    labels: Annotated[
        Path | None, typer.Option("--labels", help="Class names, one a line.", show_default="those in the file")
    ] = None,
    resize: Annotated[
        Literal["pad", "squash"], typer.Option("--resize", help="How pictures get to the size of the model.")
    ] = "pad",
    width: Annotated[
        int | None, typer.Option("--width", help="Of a model that takes any size.", show_default="that of the file")
    ] = None,
    height: Annotated[int | None, typer.Option("--height", show_default="that of the file")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Terms of the weights, for the card.", show_default="as it says")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option("--sample", help="A photograph to check with, repeatable; generated pictures otherwise."),
    ] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="Backbone that it is served with.")
    ] = "efficientnet-lite0",
    models: Models = None,
    json: Json = False,
) -> None:
    """Make a head of a YOLO detector that was trained with Ultralytics and exported to ONNX.

    The file is read, not run by Ultralytics, which need not be installed. It is checked through the serving path and
    published as the next version, whole; the first version of a head answers at once.
    """
    with train_extra("importing a model"):
        from trunkline.training.imported import ImportRequest
    request = ImportRequest(file, name, labels, resize, width, height, backbone, licence, samples=tuple(sample or ()))
    _print(_run(request, models), json=json)


def _run(request: "ImportRequest", models: str | None) -> "ImportReport":
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store
    from trunkline.training.imported import import_yolo

    store = open_store(read_settings(models=models))
    return import_yolo(request, store.root, store.publish)


def _print(report: "ImportReport", *, json: bool) -> None:
    if json:
        print_json(asdict(report) | {"folder": str(report.folder)})
        return
    typer.echo(f"head     {report.folder.parent.name} version {report.folder.name}: {report.folder}")
    typer.echo(
        f"model    {report.kind}, {report.width}x{report.height}, {report.classes} classes, "
        f"{report.rows} boxes a picture"
    )
    typer.echo(f"checked  as the file, to {report.difference:.1e} of the largest value")
