"""--head, --param and --budget to the questions that they mean."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from trunkline.client import HeadAsk


def head_asks(heads: Sequence[str], params: Sequence[str], budgets: Sequence[str]) -> "list[HeadAsk]":
    """params: HEAD.NAME=VALUE, the value in JSON or else text; budgets: SECONDS for all heads or HEAD=SECONDS.

    Raises BadParameter that says what is wrong.
    """
    from trunkline.client import HeadAsk

    heads = list(dict.fromkeys(heads))
    given = _params(heads, params)
    times = _budgets(heads, budgets)
    return [HeadAsk(head, given[head], budget_s=times[head]) for head in heads]


def _params(heads: Sequence[str], texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {head: {} for head in heads}
    for text in texts:
        name, equals, value = text.partition("=")
        # Names of heads may have dots in them, those of parameters have none.
        head, _, param = name.rpartition(".")
        if not equals or not param or head not in found:
            raise typer.BadParameter(
                f"--param {text}: write HEAD.NAME=VALUE, such as {heads[0]}.top_k=3, with a HEAD of {_listed(heads)}"
            )
        found[head][param] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _budgets(heads: Sequence[str], texts: Sequence[str]) -> dict[str, float | None]:
    found: dict[str, float | None] = dict.fromkeys(heads)
    for text in sorted(texts, key=lambda text: "=" in text):  # that of one head counts more than that of all
        head, _, value = text.rpartition("=")
        seconds = _seconds(value)
        if seconds is None or (head and head not in found):
            raise typer.BadParameter(
                f"--budget {text}: write SECONDS or HEAD=SECONDS, above 0, with a HEAD of {_listed(heads)}"
            )
        found |= {head: seconds} if head else dict.fromkeys(heads, seconds)
    return found


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def _listed(heads: Sequence[str]) -> str:
    return ", ".join(heads)
