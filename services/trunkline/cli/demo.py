"""`trunkline demo`: the whole way of a picture, with a service of its own, in one command."""

import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from trunkline.cli.options import Models, check_drawable
from trunkline.cli.output import show as show_table
from trunkline.cli.output import table
from trunkline.core.figures import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trunkline.cli.ask import Asked
    from trunkline.cli.local_service import LocalService
    from trunkline.client import ClassifyAnswer, ServedHead

_CHECKOUT = Path(__file__).parents[3]  # the source checkout, where this is one: services/trunkline/cli/demo.py
_SAMPLES = Path("tests/samples")
_STREET = "street.jpg"  # the sample with something for every task in it
_FOR_PHOTOGRAPHS = ("imagenet", "coco", "pets")  # heads that stand for their task


def demo(
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO", help="Photographs to ask about.", show_default="tests/samples/*.jpg"),
    ] = None,
    draw: Annotated[
        Path, typer.Option(metavar="OUT.png", callback=check_drawable, help="Where the annotated picture goes.")
    ] = Path("out/demo.png"),
    models: Models = None,
) -> None:
    """Start a service, ask it about photographs through its gateway, show the answers, stop it."""
    from trunkline.cli.ask import complain_about
    from trunkline.cli.local_service import LocalService
    from trunkline.cli.single import draw_answers

    pictures, folder = photos or _find_samples(), _find_models(models)
    signal.signal(signal.SIGTERM, _exit_on_signal)  # so that the service is stopped then, too
    print(f"starting trunkline serve with the models in {folder} …", flush=True)
    with LocalService(folder) as service:
        print(f"SERVING at {service.target} after {service.started_s:.1f} s", flush=True)
        asked = _ask(service, pictures)
        _show(asked)
        draw_answers(asked, draw)
        if any(each.answer for each in asked):
            print(f"annotated picture: {draw}")
        _analyze(service, asked, draw.with_stem(f"{draw.stem}-tasks"))
        stopped = _stop(service)
    if complain_about(asked) or not stopped:
        raise typer.Exit(1)


def _exit_on_signal(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def _find_samples() -> list[Path]:
    for folder in (_SAMPLES, _CHECKOUT / _SAMPLES):
        found = sorted(folder.glob("*.jpg"))
        if found:
            return found
    from trunkline.core.errors import ConfigurationError

    raise ConfigurationError(f"there are no photographs in {_SAMPLES}: name some with trunkline demo PHOTO…")


def _find_models(named: str | None) -> str:
    from trunkline.serving.settings import read_settings

    models = read_settings(models=named).models
    checkout = _CHECKOUT / "models"
    missing = "://" not in models and not Path(models).is_dir()
    return str(checkout) if named is None and missing and checkout.is_dir() else models


def _ask(service: "LocalService", pictures: list[Path]) -> "list[Asked[ClassifyAnswer]]":
    from trunkline.cli.ask import ask_each

    with service.client() as client:
        return list(ask_each(pictures, client.classify))


def _show(asked: "list[Asked[ClassifyAnswer]]") -> None:
    times = ("decode ms", "backbone ms", "head ms", "total ms")
    made = table("picture", "label", "probability", *times, right=("probability", *times), text=("label",))
    for each in asked:
        if each.answer is None:
            continue
        labels, timings = each.answer.result.labels, each.answer.timings
        stages = (timings.decode_ms, timings.backbone_ms, timings.head_ms, timings.total_ms)
        first = (each.image.name, *(f"{value:.1f}" for value in stages))
        for place, label in enumerate(labels):
            name, *values = first if place == 0 else ("",) * len(first)
            end = place == len(labels) - 1
            made.add_row(name, label.label, percent(label.score), *values, end_section=end)
    show_table(made)


def _analyze(service: "LocalService", asked: "list[Asked[ClassifyAnswer]]", draw: Path) -> None:
    """Ask a head of every task about one picture in one call, and draw all that they answer on it."""
    from trunkline.cli import analysis
    from trunkline.cli.ask import Asked

    good = [each.image for each in asked if each.answer is not None]
    if not good:
        return
    picture = next((image for image in good if image.name == _STREET), good[0])
    with service.client() as client:
        heads = _one_of_each_task(client.list_heads())
        print(f"{len(heads)} heads about one picture, in one call:", flush=True)
        answered = Asked(picture, answer=client.analyze(picture, heads))
    analysis.show(answered)
    analysis.draw([answered], draw)
    print(f"annotated picture: {draw}")


def _one_of_each_task(heads: "Sequence[ServedHead]") -> list[str]:
    """Names of heads that are ready: of each task the one that suits photographs, or else the first."""
    chosen: dict[str, str] = {}
    for head in sorted(heads, key=lambda head: (head.name not in _FOR_PHOTOGRAPHS, head.name)):
        if head.ready:
            chosen.setdefault(head.task, head.name)
    return list(chosen.values())


def _stop(service: "LocalService") -> bool:
    from trunkline.serving.ends import fate_of

    started_at = time.monotonic()
    status = service.stop()
    took_s = time.monotonic() - started_at
    print(f"{'stopped cleanly' if status == 0 else f'the service {fate_of(status)}'} in {took_s:.1f} s", flush=True)
    return status == 0
