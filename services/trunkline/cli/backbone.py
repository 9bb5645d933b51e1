"""`trunkline backbone`: making backbones; needs the `train` extra."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from trunkline.cli.backbone_look import look
from trunkline.cli.backbone_move import move
from trunkline.cli.backbone_quantize import quantize
from trunkline.cli.extras import train_extra
from trunkline.cli.options import Models

if TYPE_CHECKING:
    from trunkline.training.export import ExportReport, ExportRequest

app = typer.Typer(help="Make backbones (needs the train extra), and look into them.", no_args_is_help=True)

_LITE = "efficientnet-lite"


@app.callback()
def backbone() -> None:
    """Make backbones (needs the train extra), and look into them."""


@app.command()
def export(
    architecture: Annotated[
        str,
        typer.Argument(
            help="efficientnet-lite0 to -lite2 (real weights from packages), timm/NAME or torchvision/NAME."
        ),
    ],
    *,
    weights: Annotated[
        str, typer.Option(help="default (the package's, or a download), none (random), or a FILE.")
    ] = "default",
    name: Annotated[
        str | None, typer.Option(help="Name of the backbone; by default made from the architecture.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Version of the backbone; by default the next free one.")
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option(
            help="Also make a head of this name from the network's own classifier, or none; for "
            "efficientnet-lite with weights it is imagenet.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="File of class names, one per line; needed unless they are ImageNet's 1,000.")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="A photograph to check with; may be repeated. Without it, generated images."),
    ] = None,
    models: Models = None,
) -> None:
    """Convert a network to a backbone bundle: ONNX file, manifest, golden vectors, card."""
    request = _request(
        architecture=architecture,
        weights=weights if weights in ("default", "none") else Path(weights),
        name=name,
        version=version,
        classifier=_classifier(classifier, architecture, weights),
        labels=labels,
        samples=tuple(sample or ()),
    )
    _print(_run(request, models))


def _classifier(name: str | None, architecture: str, weights: str) -> str | None:
    if name is None and architecture.startswith(_LITE) and weights != "none":
        return "imagenet"
    return None if name == "none" else name


def _request(**fields: object) -> "ExportRequest":
    with train_extra("exporting a backbone"):
        from trunkline.training.export import ExportRequest
    return ExportRequest(**fields)  # type: ignore[arg-type]


def _run(request: "ExportRequest", models: str | None) -> "ExportReport":
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store
    from trunkline.training.export import export_backbone

    store = open_store(read_settings(models=models))
    console = Console(stderr=True)
    with console.status("starting") as status:

        def progress(text: str) -> None:
            console.print(text, highlight=False, markup=False)
            status.update(text)

        return export_backbone(request, store.root, progress, store.publish)


def _print(report: "ExportReport") -> None:
    features = ", ".join(f"{feature.name} {feature.channels}/{feature.stride}" for feature in report.features)
    worst = max(report.parity, key=lambda parity: parity.relative)
    typer.echo(f"backbone {report.backbone}  digest {report.digest}")
    typer.echo(f"features {features}")
    if report.head is not None:
        typer.echo(f"head     {report.head}")
    typer.echo(
        f"checked  torch and ONNX Runtime differ by {worst.max_difference:.1e} at most "
        f"({worst.output}, {worst.relative:.1e} of its largest value); done in {report.duration_s:.0f} s"
    )


app.command("look")(look)
app.command("quantize")(quantize)
app.command("move")(move)
