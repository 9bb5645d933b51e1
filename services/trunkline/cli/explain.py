"""`trunkline explain`: which places of a picture an answer comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trunkline.cli.interrupts import on_interrupt
from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import console, print_json, show, table
from trunkline.cli.pictures import named_pictures
from trunkline.core.figures import number, percent

if TYPE_CHECKING:
    from trunkline.cli.ask import Asked
    from trunkline.cli.draw import Card
    from trunkline.core.explaining import Explanation

_HELP_OF_METHOD = (
    "activation: what each place adds, in one pass, for heads on one vector of their backbone. occlusion: how much "
    "weaker the answer is where a part is hidden, a pass for each part, for any head. Without it, activation where "
    "that is possible."
)
_SHOWN = 3  # places that are named


def explain(
    images: Images,
    head: Annotated[str, typer.Option("--head", metavar="NAME", help="Head to explain.", show_default=False)],
    target_: Annotated[
        str, typer.Option("--class", metavar="NAME", help="Class or estimate to explain; without it, the best one.")
    ] = "",
    method: Annotated[
        Literal["activation", "occlusion"] | None, typer.Option("--method", help=_HELP_OF_METHOD)
    ] = None,
    cells: Annotated[
        int, typer.Option("--cells", min=2, max=16, metavar="N", help="Parts each way, for occlusion.")
    ] = 7,
    other: Annotated[
        Path | None,
        typer.Option("--other", metavar="IMAGE", help="For a similarity head: the image that it is compared with."),
    ] = None,
    draw: Draw = None,
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Explain an answer: which places of an image speak for it, and which against it."""
    from trunkline.cli.ask import Asked, ask_each, complain_about
    from trunkline.cli.picture_bar import PictureBar
    from trunkline.client import Client

    pictures = named_pictures(images)
    asked: list[Asked[Explanation]] = []
    with (
        Client(target) as client,
        on_interrupt(lambda: f"stopped after {len(asked)} of {len(pictures)} pictures"),
        PictureBar(len(pictures), 0, shown=json and len(pictures) > 1) as bar,
    ):
        for each in ask_each(
            pictures,
            lambda image: client.explain(image, head, target_, timeout, method=method, cells=cells, other=other),
        ):
            asked.append(each)
            bar.step(failed=each.answer is None)
            if not json and each.answer is not None:
                _show(each.image, each.answer)
    if json:
        print_json([_document(each) for each in asked])
    found = [(each.image, each.answer) for each in asked if each.answer is not None]
    if draw is not None and _draw(found, draw) and not json:
        print(f"heat map: {draw}")
    if complain_about(asked):
        raise typer.Exit(1)


def _show(image: Path, found: "Explanation") -> None:
    width, height = found.image_size
    out = console()
    out.print(f"{image}  {width}x{height}", style="bold", soft_wrap=True)
    made = table("left, top", "right, bottom", "adds", "of all that adds", right=["adds", "of all that adds"])
    for box, value, share in strongest(found):
        left, top, right, bottom = (f"{each:.0f}" for each in box)
        made.add_row(f"{left}, {top}", f"{right}, {bottom}", number(value), percent(share))
    show(made)
    passes = "1 pass" if found.passes == 1 else f"{found.passes} passes"
    strength = f"{found.target} {number(found.strength)}"
    out.print(f"  {found.head} {found.version}: {strength}, {found.method}, {passes}, {found.total_ms:.1f} ms\n")


def strongest(found: "Explanation") -> list[tuple[tuple[float, float, float, float], float, float]]:
    """The places that add most: (left, top, right, bottom) in pixels, what each adds, and that as a share of all."""
    values, map_ = found.map.values, found.map
    rows, columns = values.shape
    high, wide = (map_.bottom - map_.top) / rows, (map_.right - map_.left) / columns
    total = float(values[values > 0].sum()) or 1.0
    best = values.ravel().argsort()[::-1][:_SHOWN]
    places = [(int(each) // columns, int(each) % columns) for each in best if values.ravel()[each] > 0]
    return [
        (
            (map_.left + x * wide, map_.top + y * high, map_.left + (x + 1) * wide, map_.top + (y + 1) * high),
            float(values[y, x]),
            float(values[y, x]) / total,
        )
        for y, x in places
    ]


def _document(asked: "Asked[Explanation]") -> dict[str, Any]:
    """The explanation, or {"image", "error"}."""
    from trunkline.cli.ask import error_to_json

    if asked.answer is None:
        return {"image": str(asked.image), "error": error_to_json(asked.failure)}
    found, map_ = asked.answer, asked.answer.map
    return {
        "image": str(asked.image),
        "head": found.head,
        "version": found.version,
        "target": found.target,
        "strength": found.strength,
        "method": found.method,
        "adds_up": found.adds_up,
        "map": {
            "values": [[float(each) for each in row] for row in map_.values],
            "left": map_.left,
            "top": map_.top,
            "right": map_.right,
            "bottom": map_.bottom,
        },
        "width": found.image_size[0],
        "height": found.image_size[1],
        "passes": found.passes,
        "total_ms": found.total_ms,
    }


def _draw(found: Sequence[tuple[Path, "Explanation"]], path: Path) -> bool:
    """Whether there was anything to draw."""
    from trunkline.cli.single import write_cards

    return write_cards([_card(*each) for each in found], path)


def _card(image: Path, found: "Explanation") -> "Card":
    from trunkline.cli.draw import Card
    from trunkline.cli.heat import AGAINST, FOR
    from trunkline.cli.single import title_of
    from trunkline.core.task import Swatch

    rows = [Swatch(FOR, f"speaks for {found.target}", number(found.strength))]
    if (found.map.values < 0).any():
        rows.append(Swatch(AGAINST, "speaks against it", ""))
    footer = f"{found.head} {found.version}: {found.method}, {found.total_ms:.1f} ms"
    return Card(image.read_bytes(), title_of(image, found.image_size), rows, footer, heat=found.map)
