"""One import for its parent: a question in JSON on standard input, the answer on standard output."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trunkline.core.errors import ModelInvalidError, TrunklineError
from trunkline.serving.status import to_status
from trunkline.training.imported.request import request_of
from trunkline.training.process import die_with_parent


def main() -> None:
    """The answer has the fields of an ImportReport, or `error`: a google.rpc.Status in hexadecimal."""
    die_with_parent()
    question = json.load(sys.stdin)
    # Libraries may print; standard output is for the answer alone.
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = _build(question)
    except TrunklineError as error:
        answer = _refused(error)
    except (MemoryError, RecursionError):
        answer = _refused(
            ModelInvalidError(f"{question['file']} is too large, or nested too deeply nested, to be checked")
        )
    with os.fdopen(out, "w") as stream:
        json.dump(answer, stream)


def _refused(error: TrunklineError) -> dict[str, Any]:
    return {"error": to_status(error).SerializeToString().hex()}


def _build(question: dict[str, Any]) -> dict[str, Any]:
    from trunkline.training.imported.build import build_detector

    report = build_detector(request_of(question), Path(question["models"]), Path(question["folder"]))
    return {**asdict(report), "folder": str(report.folder)}


if __name__ == "__main__":
    main()
