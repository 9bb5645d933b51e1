"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_TARGET = "127.0.0.1:8500"
DRAWABLE = (".png", ".jpg", ".jpeg", ".webp")


def check_drawable(path: Path | None) -> Path | None:
    """Refuse a name that no picture can be written under, before any work is done."""
    if path is not None and path.suffix.lower() not in DRAWABLE:
        raise typer.BadParameter(f"{path} does not end in {', '.join(DRAWABLE)}")
    return path


def check_target(target: str | None) -> str | None:
    """Refuse what no channel can be opened to, before any picture is read."""
    from trunkline.core import host_port

    try:
        return target if target is None else host_port.check_target(target)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Images = Annotated[
    list[Path],
    typer.Argument(metavar="IMAGE|DIR", help="Images to ask about, or folders of images.", show_default=False),
]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of the data set.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        envvar="TRUNKLINE_TARGET",
        metavar="HOST:PORT",
        callback=check_target,
        help="gRPC address of the gateway.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds that one call may take.")]
Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        metavar="DIR|URL",
        help="Model repository: a folder, or a URL such as s3://BUCKET/PREFIX.",
        show_default="TRUNKLINE_MODELS, or models",
    ),
]
Draw = Annotated[
    Path | None,
    typer.Option(
        "--draw",
        metavar="OUT.png",
        callback=check_drawable,
        help="Write the image with its answers drawn on it; several images become one contact sheet.",
    ),
]
