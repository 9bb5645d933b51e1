"""`trunkline analyze`: several heads on the same pictures, for one backbone pass each."""

import base64
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Draw, Images, Json, Target, Timeout
from trunkline.cli.output import complain, console, measure, percent, print_documents, table

if TYPE_CHECKING:
    from trunkline.cli.ask import Asked
    from trunkline.cli.rows import Row
    from trunkline.client import AnalyzeAnswer, HeadOutcome
    from trunkline.core.results import Result


def analyze(
    images: Images,
    heads: Annotated[
        list[str], typer.Option("--head", metavar="NAME", help="Head to ask; may be repeated.", show_default=False)
    ],
    json: Json = False,
    draw: Draw = None,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Ask several heads about pictures. Each head answers or fails by itself; status 1 where one failed."""
    from trunkline.cli.ask import ask_each, complain_about
    from trunkline.client import Client

    with Client(target) as client:
        asked = list(ask_each(images, lambda image: client.analyze(image, heads, timeout)))
    if json:
        print_documents([_to_json(each) for each in asked])
    else:
        for each in asked:
            _show(each)
    if draw is not None:
        _draw(asked, draw)
    heads_failed = [_complain_about_heads(each) for each in asked]
    if complain_about(asked) or any(heads_failed):
        raise typer.Exit(1)


def _complain_about_heads(asked: "Asked[AnalyzeAnswer]") -> bool:
    faults = [outcome.error for outcome in asked.answer.outcomes if outcome.error] if asked.answer else []
    for fault in faults:
        complain(f"{asked.image}: {fault.message}")
    return bool(faults)


def _to_json(asked: "Asked[AnalyzeAnswer]") -> dict[str, Any]:
    from trunkline.cli.ask import error_to_json, timings_to_json

    if asked.answer is None:
        return {"image": str(asked.image), "error": error_to_json(asked.failure)}
    answer = asked.answer
    return {
        "image": str(asked.image),
        "width": answer.image_size.width,
        "height": answer.image_size.height,
        "outcomes": [_outcome_to_json(outcome) for outcome in answer.outcomes],
        "backbone_passes": answer.backbone_passes,
        "timings": timings_to_json(answer.timings),
    }


def _outcome_to_json(outcome: "HeadOutcome") -> dict[str, Any]:
    """The answer under the name that it has in the API, such as "classification", or "error"."""
    from trunkline.cli.ask import error_to_json

    fields: dict[str, Any] = {"head": outcome.head, "version": outcome.version}
    fields["head_ms"] = round(outcome.head_ms, 3)
    if outcome.error is not None:
        return fields | {"error": error_to_json(outcome.error)}
    result = outcome.value()
    return fields | {type(result).__name__.lower(): result_to_json(result)}


def result_to_json(result: "Result") -> dict[str, Any]:
    """The fields of a result; a label map as base64 of its PNG, a custom result as it is."""
    from trunkline.core.results import Custom, Segmentation

    if isinstance(result, Custom):
        return dict(result.fields)
    fields = asdict(result)
    if isinstance(result, Segmentation):
        for name in ("label_map_png", "confidence_map_png"):
            fields[name] = base64.b64encode(fields[name]).decode()
    return fields


def _draw(asked: "list[Asked[AnalyzeAnswer]]", path: Path) -> None:
    """Write the pictures that were answered, with labels and quantities under the name of their head."""
    from trunkline.cli.draw import Card
    from trunkline.cli.single import title_of, write_cards

    cards = [
        Card(
            picture=each.image.read_bytes(),
            title=title_of(each.image, each.answer.image_size),
            rows=[row for outcome in each.answer.outcomes for row in _rows(outcome)],
            footer=f"{each.answer.backbone_passes} backbone pass(es): {each.answer.timings.total_ms:.1f} ms",
        )
        for each in asked
        if each.answer is not None and any(outcome.result for outcome in each.answer.outcomes)
    ]
    write_cards(cards, path)


def _rows(outcome: "HeadOutcome") -> "list[Row]":
    from trunkline.cli.rows import rows_of

    text = f"{outcome.head} {outcome.version}".rstrip()
    if outcome.result is None:
        return [f"{text}: {outcome.error.reason if outcome.error else 'no answer'}"]
    return [text, *rows_of(outcome.result)]


def _show(asked: "Asked[AnalyzeAnswer]") -> None:
    from trunkline.cli.ask import timings_to_text

    if asked.answer is None:
        return
    answer = asked.answer
    width, height = answer.image_size
    made = table("head", "version", "answer", "ms", right=("ms",))
    for outcome in answer.outcomes:
        text = f"{outcome.error.reason}: {outcome.error}" if outcome.error else _summary(outcome.value())
        made.add_row(outcome.head, outcome.version, text, f"{outcome.head_ms:.1f}")
    out = console()
    out.print(f"{asked.image}  {width}x{height}", style="bold")
    out.print(made)
    out.print(f"  {answer.backbone_passes} backbone pass(es): {timings_to_text(answer.timings)}\n")


def _summary(result: "Result") -> str:
    """A few words on a result; --json has all of it."""
    from trunkline.core import results

    match result:
        case results.Classification(labels):
            return "\n".join(f"{label.label} {percent(label.score)}" for label in labels)
        case results.Regression(values):
            return "\n".join(f"{value.name} {measure(value.value, value.unit)}" for value in values)
        case results.Detections(objects):
            return "\n".join(f"{found.label.label} {percent(found.label.score)}" for found in objects) or "nothing"
        case results.Segmentation(_, classes):
            return "\n".join(f"{part.label} {percent(part.area)} of the picture" for part in classes)
        case results.Embedding(space, values):
            return f"{len(values)} values in space {space}"
        case results.Custom(fields):
            return "\n".join(f"{name}: {value}" for name, value in fields.items())
