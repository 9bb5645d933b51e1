"""One head about each of several pictures."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from trunkline.cli.ask import Asked, ask_each, complain_about, error_to_json, timings_to_json, timings_to_text
from trunkline.cli.interrupts import on_interrupt
from trunkline.cli.output import complain, console, print_json, show, table
from trunkline.cli.picture_bar import PictureBar
from trunkline.cli.pictures import named_pictures
from trunkline.client import SingleAnswer
from trunkline.core.results import Result
from trunkline.core.task import BaseTask
from trunkline.core.tasks import task_of_result

if TYPE_CHECKING:
    from rich.table import Table

    from trunkline.cli.draw import Card

R = TypeVar("R", bound=Result)


def ask_and_show(
    images: Iterable[Path],
    ask: Callable[[Path], SingleAnswer[R]],
    task: BaseTask[R],
    *,
    json: bool,
    draw: Path | None,
) -> None:
    """Ask about each picture; print tables as they come or a list of JSON documents, and draw.

    images: folders too. Exits 1 where one failed.
    """
    pictures = named_pictures(images)
    asked: list[Asked[SingleAnswer[R]]] = []
    with (
        on_interrupt(lambda: f"stopped after {len(asked)} of {len(pictures)} pictures"),
        PictureBar(len(pictures), 0, shown=json and len(pictures) > 1) as bar,
    ):
        for each in ask_each(pictures, ask):
            asked.append(each)
            bar.step(failed=each.answer is None)
            if not json and each.answer is not None:
                _show(each.image, each.answer, task)
    if json:
        print_json([to_json(each, task) for each in asked])
    if draw is not None and draw_answers(asked, draw) and not json:
        print(f"annotated picture: {draw}")
    if complain_about(asked):
        raise typer.Exit(1)


def to_json(asked: Asked[SingleAnswer[R]], task: BaseTask[R]) -> dict[str, Any]:
    """The document of one picture: its answer, or {"image", "error"}."""
    if asked.answer is None:
        return {"image": str(asked.image), "error": error_to_json(asked.failure)}
    answer = asked.answer
    return {
        "image": str(asked.image),
        "head": answer.head,
        "version": answer.version,
        "width": answer.image_size.width,
        "height": answer.image_size.height,
        **task.fields_of(answer.result),
        "timings": timings_to_json(answer.timings),
    }


def draw_answers(asked: Sequence[Asked[SingleAnswer[R]]], path: Path) -> bool:
    """Write the pictures that were answered, with their answers: one as a card, several as a contact sheet.

    Returns whether there were any.
    """
    return write_cards([_card(each.image, each.answer) for each in asked if each.answer is not None], path)


def write_cards(cards: "Sequence[Card]", path: Path) -> bool:
    """Write cards to `path`, or say on standard error that there are none. Returns whether there are."""
    from trunkline.cli.draw import draw_cards, save_picture

    if not cards:
        complain(f"{path} was not written, as no picture was answered")
        return False
    save_picture(draw_cards(cards), path)
    return True


def title_of(image: Path, size: tuple[int, int]) -> str:
    return f"{image.name}  ({size[0]} x {size[1]})"


def _card(image: Path, answer: SingleAnswer[R]) -> "Card":
    from trunkline.cli.draw import Card

    times = answer.timings
    stages = f"decode {times.decode_ms:.1f}, backbone {times.backbone_ms:.1f}, head {times.head_ms:.1f}"
    return Card(
        picture=image.read_bytes(),
        title=title_of(image, answer.image_size),
        rows=task_of_result(answer.result).panel(answer.result),
        footer=f"{answer.head} {answer.version}: {times.total_ms:.1f} ms ({stages})",
        results=[answer.result],
    )


def _show(image: Path, answer: SingleAnswer[R], task: BaseTask[R]) -> None:
    width, height = answer.image_size
    out = console()
    out.print(f"{image}  {width}x{height}", style="bold", soft_wrap=True)
    show(table_of(task, answer.result))
    out.print(f"  {answer.head} {answer.version}: {timings_to_text(answer.timings)}\n")


def table_of(task: BaseTask[R], result: R) -> "Table":
    """A result for people."""
    columns = task.columns
    made = table(
        *(each.name for each in columns),
        right=[each.name for each in columns if each.right],
        text=[each.name for each in columns if each.text],
    )
    for row in task.rows(result):
        made.add_row(*row)
    return made
