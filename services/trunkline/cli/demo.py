"""`trunkline demo`: the whole way of an image, with a service of its own, in one command."""

import importlib.util
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from trunkline.cli.options import Models, check_drawable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trunkline.cli.ask import Asked
    from trunkline.cli.demo_scenes import Scene
    from trunkline.cli.local_service import LocalService
    from trunkline.client import AnalyzeAnswer

_CHECKOUT = Path(__file__).parents[3]  # the source checkout, where this is one: services/trunkline/cli/demo.py
_SAMPLES = Path("tests/samples")


def demo(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO", help="Photographs to ask about.", show_default="those of tests/samples"),
    ] = None,
    draw: Annotated[
        Path,
        typer.Option(
            metavar="OUT.png",
            callback=check_drawable,
            help="Where the annotated images go; that of the street goes to OUT-street.png.",
        ),
    ] = Path("out/demo.png"),
    models: Models = None,
) -> None:
    """Start a service, ask it about sample images, show and draw the answers, stop it."""
    from trunkline.cli.analysis import complain_about_heads
    from trunkline.cli.ask import complain_about
    from trunkline.cli.demo_scenes import sample_scenes, scene_of
    from trunkline.cli.local_service import LocalService

    scenes = [scene_of(photo) for photo in photos] if photos else sample_scenes(_find_samples())
    folder = _find_models(models)
    signal.signal(signal.SIGTERM, _exit_on_signal)  # so that the service is stopped then, too
    print(f"starting trunkline serve with the models in {folder} …", flush=True)
    with tempfile.TemporaryDirectory() as kept, LocalService(folder, _own_gallery(kept)) as service:
        print(f"SERVING at {service.target} after {service.started_s:.1f} s\n", flush=True)
        asked = _ask(service, scenes, with_gallery=not photos)
        _draw(scenes, asked, draw)
        stopped = _stop(service)
    failed = [complain_about_heads(each) for each in asked]
    if complain_about(asked) or any(failed) or not stopped:
        raise typer.Exit(1)


def _own_gallery(folder: str) -> dict[str, str]:
    return {"TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{folder}/galleries.db", "TRUNKLINE_GALLERY_INDEX": folder}


def _exit_on_signal(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _find_samples() -> Path:
    for folder in (_SAMPLES, _CHECKOUT / _SAMPLES):
        if folder.is_dir():
            return folder
    from trunkline.core.errors import ConfigurationError

    raise ConfigurationError(f"there are no images in {_SAMPLES}: name some with trunkline demo PHOTO…")


def _find_models(named: str | None) -> str:
    from trunkline.serving.settings import read_settings

    models = read_settings(models=named).models
    checkout = _CHECKOUT / "models"
    missing = "://" not in models and not Path(models).is_dir()
    return str(checkout) if named is None and missing and checkout.is_dir() else models


def _ask(service: "LocalService", scenes: "Sequence[Scene]", *, with_gallery: bool) -> "list[Asked[AnalyzeAnswer]]":
    """Ask about each scene in one call, and print what is answered."""
    from trunkline.cli import analysis
    from trunkline.cli.ask import ask_each
    from trunkline.cli.demo_scenes import make_gallery, with_heads

    asked: list[Asked[AnalyzeAnswer]] = []
    with service.client() as client:
        served = {head.name for head in client.list_heads() if head.ready}
        if with_gallery and _can_keep_galleries():
            served.add(make_gallery(service.galleries(), scenes))
        for scene in with_heads(scenes, served):
            print(scene.about, flush=True)
            asked += ask_each([scene.picture], partial(client.analyze, heads=scene.heads))
            analysis.show(asked[-1])
    return asked


def _can_keep_galleries() -> bool:
    """Whether the extra `gallery` is installed."""
    return importlib.util.find_spec("sqlalchemy") is not None


def _draw(scenes: "Sequence[Scene]", asked: "Sequence[Asked[AnalyzeAnswer]]", path: Path) -> None:
    """One sheet of the scenes; where several heads draw on an image, a sheet of its own with a copy for each."""
    from trunkline.cli import analysis
    from trunkline.cli.single import write_cards

    apart = {scene.picture for scene in scenes if scene.apart}
    together = [card for each in asked if each.image not in apart for card in analysis.cards(each)]
    sheets = [(path, together)] if together or not apart else []
    for each in asked:
        if each.image in apart:
            sheets.append((path.with_stem(f"{path.stem}-{each.image.stem}"), analysis.cards(each, apart=True)))
    for file, cards in sheets:
        if write_cards(cards, file):
            print(f"annotated: {file}")


def _stop(service: "LocalService") -> bool:
    from trunkline.serving.ends import fate_of

    started_at = time.monotonic()
    status = service.stop()
    took_s = time.monotonic() - started_at
    print(f"{'stopped cleanly' if status == 0 else f'the service {fate_of(status)}'} in {took_s:.1f} s", flush=True)
    return status == 0
