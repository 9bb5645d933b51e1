"""Label Studio's JSON-MIN as tasks of its JSON.

An entry there is a person's annotation of a task: the data of the task, its id, the results by the names of their
controls, and who made them when. A control's results are a list of regions without their type; a single choice is a
text.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import Any, Final

_ID, _BY = "id", ("annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement")
_CONTROLS: Final = ("choice", "choices", "class")  # as templates call them, where there is no id before them
_LABELS: Final = "labels"
_REGION: Final = ("original_width", "original_height", "image_rotation")

_Entry = Mapping[str, Any]


def is_min(entry: object) -> bool:
    """Whether it is an entry of JSON-MIN."""
    return isinstance(entry, dict) and "annotation_id" in entry and "annotator" in entry and "data" not in entry


def task_of(entries: Sequence[_Entry]) -> dict[str, Any]:
    """The entries of one task as that task."""
    first = entries[0]
    controls = _controls(first)
    data = {name: value for name, value in first.items() if name not in (_ID, *_BY, *controls)}
    results = [list(_results(each)) for each in entries if each["annotation_id"] is not None]
    return {"id": first.get(_ID), "data": data, "annotations": [{"result": each} for each in results]}


def _controls(entry: _Entry) -> list[str]:
    """Names of controls: after the id, before who has annotated."""
    if _ID not in entry:
        return [name for name, value in entry.items() if name in _CONTROLS or isinstance(value, list)]
    after = list(dropwhile(lambda name: name != _ID, entry))[1:]
    return list(takewhile(lambda name: name not in _BY, after))


def _results(entry: _Entry) -> Iterator[dict[str, Any]]:
    for name in _controls(entry):
        given = entry[name]
        for each in given if isinstance(given, list) else [given]:
            yield _result(each)


def _result(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        return {"type": "choices", "value": {"choices": [given]}}
    if not isinstance(given, dict):
        return {}
    kind = next((name for name in given if name == "choices" or name.endswith(_LABELS)), "")
    value = {name: each for name, each in given.items() if name not in _REGION}
    return {"type": kind, "value": value, **{name: given[name] for name in _REGION if name in given}}
