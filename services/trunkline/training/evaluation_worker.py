"""One evaluation for the training service: a question in JSON on standard input, the answer on standard output."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from trunkline.core.errors import TrunklineError
from trunkline.core.roots import DataRoots
from trunkline.serving.ends import end_with
from trunkline.serving.logs import set_up_logs
from trunkline.serving.settings import read_settings
from trunkline.serving.status import to_status
from trunkline.serving.store.opening import open_models
from trunkline.training.data.reading import confine, limit_annotations
from trunkline.training.process import die_with_parent


def main() -> None:
    """The answer has head, version, data, count and metrics, or `error`: a google.rpc.Status in hexadecimal."""
    die_with_parent()
    set_up_logs("INFO", "evaluation")
    settings = read_settings()
    confine(DataRoots(settings.training_data_roots))
    limit_annotations(settings.training_annotations_mib)
    question = json.load(sys.stdin)
    # Libraries may print; standard output is for the answer alone.
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = _evaluate(question["models"], question["head"], Path(question["data"]), question["split"])
    except TrunklineError as error:
        answer = {"error": to_status(error).SerializeToString().hex()}
    with os.fdopen(out, "w") as stream:
        json.dump(answer, stream)


def _evaluate(models: str, head: str, data: Path, split: str | None) -> dict[str, Any]:
    from trunkline.training.evaluation import evaluate_head

    root = open_models(models, read_settings().models_cache).root
    return evaluate_head(root, head, data, split, lambda done, total: None)


if __name__ == "__main__":
    end_with(main)
