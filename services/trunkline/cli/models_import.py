"""`trunkline models import`: a detector that was trained elsewhere becomes a head; needs the `train` extra."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trunkline.cli.extras import train_extra
from trunkline.cli.options import Json, Models
from trunkline.cli.output import print_json
from trunkline.core.terms import Terms

if TYPE_CHECKING:
    from trunkline.training.imported import ImportReport, ImportRequest


def add_to(app: typer.Typer) -> None:
    """The command below, as a command of `app`."""
    app.command("import")(import_model)


def import_model(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="An exported detector (ONNX), or weights of torchvision.")
    ],
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the head.", show_default=False)],
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels", help="File of class names, one per line, or coco.", show_default="those in the file"
        ),
    ] = None,
    resize: Annotated[
        Literal["pad", "squash"] | None,
        typer.Option(
            "--resize", help="How images are brought to the size of the model.", show_default="as it is trained"
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width", help="Input width, for a model that takes any size.", show_default="that of the file"
        ),
    ] = None,
    height: Annotated[int | None, typer.Option("--height", show_default="that of the file")] = None,
    licence: Annotated[
        str | None, typer.Option("--licence", help="Licence of the weights, for the card.", show_default="as it says")
    ] = None,
    terms: Annotated[
        Terms | None,
        typer.Option("--terms", help="What the head may be used for.", show_default="what the licence says"),
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option("--sample", help="A photograph to check with; may be repeated. Without it, generated images."),
    ] = None,
    backbone: Annotated[str, typer.Option("--backbone", help="Backbone to serve it with.")] = "efficientnet-lite0",
    models: Models = None,
    json: Json = False,
) -> None:
    """Import a detector that was trained elsewhere, as a head: Ultralytics, YOLOX, NanoDet, torchvision.

    The file is read, not run by its library, which need not be installed. It is checked through the serving path and
    published as the next version, whole; the first version of a head answers at once.
    """
    with train_extra("importing a model"):
        from trunkline.training.imported import ImportRequest
    request = ImportRequest(
        file, name, labels, resize, width, height, backbone, licence, terms, samples=tuple(sample or ())
    )
    _print(_run(request, models), json=json)


def _run(request: "ImportRequest", models: str | None) -> "ImportReport":
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store
    from trunkline.training.imported import import_detector

    store = open_store(read_settings(models=models))
    return import_detector(request, store.root, store.publish)


def _print(report: "ImportReport", *, json: bool) -> None:
    if json:
        print_json(asdict(report) | {"folder": str(report.folder)})
        return
    typer.echo(f"head     {report.folder.parent.name} version {report.folder.name}: {report.folder}")
    typer.echo(
        f"model    {report.kind}, {report.width}x{report.height}, {report.classes} classes, "
        f"{'any number of' if report.rows is None else report.rows} boxes a picture"
    )
    typer.echo(f"checked  as the file, to {report.difference:.1e} of the largest value")
