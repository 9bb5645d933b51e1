"""`trunkline classify`: what pictures show."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import complain, console, percent, print_documents, table

if TYPE_CHECKING:
    from trunkline.cli.ask import Asked
    from trunkline.client import ClassifyAnswer


def classify(
    images: Images,
    head: Annotated[
        str | None, typer.Option(metavar="NAME", help="Classification head; not needed where just one is served.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=1000, metavar="K", help="How many classes to answer.")] = 5,
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Name what pictures show, with probabilities and the time of each stage."""
    from trunkline.cli.ask import ask_each, complain_about
    from trunkline.client import Client

    asked: list[Asked[ClassifyAnswer]] = []
    with Client(target) as client:
        for each in ask_each(images, lambda image: client.classify(image, head, top_k, timeout)):
            asked.append(each)
            if not json:
                _show(each)
    if json:
        print_documents([to_json(each) for each in asked])
    if draw is not None:
        draw_answers(asked, draw)
    if complain_about(asked):
        raise typer.Exit(1)


def to_json(asked: "Asked[ClassifyAnswer]") -> dict[str, Any]:
    """The document of one picture: its answer, or {"image", "error"}."""
    from trunkline.cli.ask import error_to_json, timings_to_json

    if asked.answer is None:
        return {"image": str(asked.image), "error": error_to_json(asked.failure)}
    answer = asked.answer
    return {
        "image": str(asked.image),
        "head": answer.head,
        "version": answer.version,
        "width": answer.image_size.width,
        "height": answer.image_size.height,
        "labels": [asdict(label) for label in answer.result.labels],
        "timings": timings_to_json(answer.timings),
    }


def draw_answers(asked: "list[Asked[ClassifyAnswer]]", path: Path) -> None:
    """Write the pictures that were answered, with their labels: one as a card, several as a contact sheet."""
    from trunkline.cli.draw import Card, draw_cards, save_picture

    cards = [
        Card(
            picture=each.image.read_bytes(),
            title=f"{each.image.name}  ({each.answer.image_size.width} x {each.answer.image_size.height})",
            labels=each.answer.result.labels,
            footer=_footer(each.answer),
        )
        for each in asked
        if each.answer is not None
    ]
    if not cards:
        complain(f"{path} was not written, as no picture was answered")
        return
    save_picture(draw_cards(cards), path)


def _footer(answer: "ClassifyAnswer") -> str:
    times = answer.timings
    stages = f"decode {times.decode_ms:.1f}, backbone {times.backbone_ms:.1f}, head {times.head_ms:.1f}"
    return f"{answer.head} {answer.version}: {times.total_ms:.1f} ms ({stages})"


def _show(asked: "Asked[ClassifyAnswer]") -> None:
    from trunkline.cli.ask import timings_to_text

    if asked.answer is None:
        return
    answer = asked.answer
    width, height = answer.image_size
    made = table("label", "probability", right=("probability",))
    for label in answer.result.labels:
        made.add_row(label.label, percent(label.score))
    out = console()
    out.print(f"{asked.image}  {width}x{height}", style="bold")
    out.print(made)
    out.print(f"  {answer.head} {answer.version}: {timings_to_text(answer.timings)}\n")
