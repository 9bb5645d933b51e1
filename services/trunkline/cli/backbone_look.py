"""`trunkline backbone look`: the filters of a backbone's first layer, and its feature maps of a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trunkline.cli.options import Models, check_drawable

if TYPE_CHECKING:
    import numpy as np

    from trunkline.core.bundle import BackboneManifest, Bundle

_MOST = 256


def look(
    image: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="An image; without it, the filters of the first layer.")
    ] = None,
    *,
    draw: Annotated[
        Path,
        typer.Option(
            "--draw", metavar="OUT.png", callback=check_drawable, help="Picture to write.", show_default=False
        ),
    ],
    backbone: Annotated[str, typer.Option("--backbone", metavar="NAME", help="Backbone, NAME or NAME/VERSION.")] = (
        "efficientnet-lite0"
    ),
    feature: Annotated[
        str | None, typer.Option("--feature", metavar="NAME", help="Feature of the image; by default the first one.")
    ] = None,
    channels: Annotated[
        int, typer.Option("--channels", min=1, max=_MOST, metavar="N", help="Maps to draw, the strongest ones.")
    ] = 64,
    models: Models = None,
) -> None:
    """Draw what a backbone looks for: filters of its first layer, or its feature maps of an image."""
    from trunkline.cli.draw import save_picture
    from trunkline.cli.sheets import filter_sheet, map_sheet
    from trunkline.core.repository import Repository
    from trunkline.serving.onnx_file import first_filters
    from trunkline.serving.settings import read_settings
    from trunkline.serving.store.opening import open_store

    name, _, version = backbone.partition("/")
    root = open_store(read_settings(models=models)).root
    bundle = Repository(root).backbone(name, int(version) if version.isdecimal() else None)
    if image is None:
        filters = first_filters(bundle.read_model())
        save_picture(filter_sheet(filters), draw)
        typer.echo(f"{len(filters)} filters of {filters.shape[2]}x{filters.shape[3]} pixels: {draw}")
        return
    wanted = feature or bundle.manifest.features[0].name
    maps = _maps(bundle, image, wanted)
    save_picture(map_sheet(maps, channels), draw)
    shape = f"{maps.shape[1]}x{maps.shape[2]}"
    typer.echo(f"{min(channels, len(maps))} of {len(maps)} maps of {wanted}, {shape} each: {draw}")


def _maps(bundle: "Bundle[BackboneManifest]", image: Path, feature: str) -> "np.ndarray":
    """float32 (C, h, w). Raises InvalidRequestError for a feature that is not there, InvalidImageError."""
    from trunkline.backbone.maps import PooledMaps
    from trunkline.core.errors import InvalidRequestError
    from trunkline.core.explaining import MAP
    from trunkline.core.images import EncodedImage
    from trunkline.core.preprocess import preprocess
    from trunkline.core.text import unknown_name
    from trunkline.serving.execution import CPU

    features = {each.name: each for each in bundle.manifest.features}
    if feature not in features:
        raise InvalidRequestError(unknown_name("feature", feature, list(features)))
    wanted = feature if features[feature].stride else f"{feature}{MAP}"  # a vector is the mean of a map
    pixels, _ = preprocess(EncodedImage(image.read_bytes()), bundle.manifest.preprocess)  # (1, H, W, 3)
    found: np.ndarray = PooledMaps(bundle, CPU).run(pixels, [wanted])[wanted][0]
    return found
