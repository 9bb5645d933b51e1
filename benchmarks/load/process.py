"""The other end of the load process: starts it and gives it orders."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.load.targets import Target

ROOT = Path(__file__).parents[2]


class Load:
    """A load process that waits for orders."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def order(self, do: str, on_start: Callable[[], None] | None = None, **parameters: Any) -> dict[str, Any]:
        """Carry out one order; `on_start` is called once its warm-up is over. Raises RuntimeError where it dies."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
        self._process.stdin.flush()
        while (answer := self._line()).pop("started", False):
            if on_start is not None:
                on_start()
        return answer

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load process ended; its error is above")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def load_process(targets: Sequence[Target], pictures: int = 120, seed: int = 1) -> Iterator[Load]:
    """A load process for these targets, with pictures of its own."""
    config = {"targets": [asdict(target) for target in targets], "pictures": pictures, "seed": seed}
    command = [sys.executable, "-m", "benchmarks.load", json.dumps(config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield Load(process)
        finally:
            process.terminate()
