"""Answers of `trunkline analyze`: as JSON, as a table, as a picture."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trunkline.cli.ask import Asked, error_to_json, timings_to_json, timings_to_text
from trunkline.cli.output import complain, console, table
from trunkline.cli.output import show as show_table
from trunkline.client import AnalyzeAnswer, HeadOutcome, Pass, PassHead, ServiceError
from trunkline.core.task import Row
from trunkline.core.tasks import task_of_result

if TYPE_CHECKING:
    from trunkline.cli.draw import Card


def complain_about_heads(asked: Asked[AnalyzeAnswer]) -> bool:
    """One line on standard error for each head that failed. Returns whether any did."""
    faults = [outcome.error for outcome in asked.answer.outcomes if outcome.error] if asked.answer else []
    for fault in faults:
        complain(f"{asked.image}: {fault.message}")
    return bool(faults)


def to_json(asked: Asked[AnalyzeAnswer]) -> dict[str, Any]:
    """The document of one picture: its outcomes, or {"image", "error"}."""
    if asked.answer is None:
        return {"image": str(asked.image), "error": error_to_json(asked.failure)}
    answer = asked.answer
    return {
        "image": str(asked.image),
        "width": answer.image_size.width,
        "height": answer.image_size.height,
        "outcomes": [_outcome_to_json(outcome) for outcome in answer.outcomes],
        "backbone_passes": answer.backbone_passes,
        "passes": [_pass_to_json(made) for made in answer.passes],
        "timings": timings_to_json(answer.timings),
    }


def _pass_to_json(made: Pass) -> dict[str, Any]:
    times = {name: round(value, 3) for name, value in asdict(made).items() if name.endswith("_ms")}
    served = {
        "backbone": made.backbone,
        "spec": made.spec,
        "heads": [{"head": each.head, "points_lost": round(each.points_lost, 3)} for each in made.heads],
    }
    return {"preprocess_fingerprint": made.preprocess_fingerprint, **times, **(served if made.heads else {})}


def _outcome_to_json(outcome: HeadOutcome) -> dict[str, Any]:
    """The answer under the name that it has in the API, such as "classification", or "error"."""
    fields: dict[str, Any] = {"head": outcome.head, "version": outcome.version}
    fields |= {"head_ms": round(outcome.head_ms, 3), "queue_ms": round(outcome.queue_ms, 3)}
    if outcome.error is not None:
        return fields | {"error": error_to_json(outcome.error)}
    result = outcome.value()
    task = task_of_result(result)
    return fields | {task.field: task.document(result)}


def draw(asked: Sequence[Asked[AnalyzeAnswer]], path: Path) -> bool:
    """Write the pictures that were answered, with labels and quantities under the name of their head.

    Returns whether there were any.
    """
    from trunkline.cli.single import write_cards

    return write_cards([card for each in asked for card in cards(each)], path)


def cards(asked: Asked[AnalyzeAnswer], *, apart: bool = False) -> "list[Card]":
    """The card of a picture, none if no head answered. apart: a card for each head."""
    if asked.answer is None:
        return []
    answered = [outcome for outcome in asked.answer.outcomes if outcome.result]
    if apart:
        return [_card(asked.image, asked.answer, [outcome]) for outcome in answered]
    return [_card(asked.image, asked.answer, asked.answer.outcomes)] if answered else []


def _card(image: Path, answer: AnalyzeAnswer, outcomes: Sequence[HeadOutcome]) -> "Card":
    from trunkline.cli.draw import Card
    from trunkline.cli.single import title_of

    return Card(
        picture=image.read_bytes(),
        title=title_of(image, answer.image_size),
        rows=[row for outcome in outcomes for row in _rows(outcome)],
        footer=f"{_passes(answer)}: {answer.timings.total_ms:.1f} ms",
        results=[outcome.result for outcome in outcomes if outcome.result is not None],
    )


def _rows(outcome: HeadOutcome) -> list[Row]:
    text = f"{outcome.head} {outcome.version}".rstrip()
    if outcome.result is None:
        return [f"{text}: {outcome.error.reason if outcome.error else 'no answer'}"]
    return [text, *task_of_result(outcome.result).panel(outcome.result)]


def show(asked: Asked[AnalyzeAnswer]) -> None:
    """Print the table of a picture that was answered."""
    if asked.answer is None:
        return
    answer = asked.answer
    width, height = answer.image_size
    made = table("head", "version", "answer", "value", "ms", right=("value", "ms"), text=("answer",))
    for outcome in answer.outcomes:
        rows = (
            [_error_row(outcome.error)] if outcome.error else task_of_result(outcome.value()).summary(outcome.value())
        )
        for place, (text, value) in enumerate(rows):
            first = (outcome.head, outcome.version) if place == 0 else ("", "")
            made.add_row(*first, text, value, f"{outcome.head_ms:.1f}" if place == 0 else "")
    out = console()
    out.print(f"{asked.image}  {width}x{height}", style="bold", soft_wrap=True)
    show_table(made)
    out.print(f"  {_passes(answer)}: {timings_to_text(answer.timings)}", soft_wrap=True)
    for one in answer.passes if any(each.points_lost for each in _heads_of(answer)) else ():
        out.print(f"  {one.backbone}, {one.spec}: {', '.join(map(_head_of_pass, one.heads))}", soft_wrap=True)
    out.print()


def _passes(answer: AnalyzeAnswer) -> str:
    return "1 backbone pass" if answer.backbone_passes == 1 else f"{answer.backbone_passes} backbone passes"


def _heads_of(answer: AnalyzeAnswer) -> list[PassHead]:
    return [each for made in answer.passes for each in made.heads]


def _head_of_pass(each: PassHead) -> str:
    return f"{each.head} ({each.points_lost:.1f} points lost)" if each.points_lost else each.head


def _error_row(error: ServiceError) -> tuple[str, str]:
    return f"{error.reason}: {error}", ""
