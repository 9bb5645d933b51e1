"""The graph of a gallery in a file, so that a start need not build it anew. The database stays the truth."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from trunkline.galleries.graph import Graph
from trunkline.serving.reads import Reads

T = TypeVar("T")
_FORMAT = 1
_ANSWERS_S, _LOAD_S = 3.0, 60.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stamp:
    """Of which gallery and generation a graph is, and the sequence number up to which it has all changes."""

    uid: str
    generation: int
    sequence: int


class Snapshots:
    """A folder with the graphs of galleries, at most one for each. Processes may share it.

    Where it does not answer, as on a disk that is away, galleries go on without it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._looks: Reads[Any] = Reads(folder)
        self._loads: Reads[tuple[Graph, Stamp] | None] = Reads(folder)

    def save(self, graph: Graph, stamp: Stamp) -> None:
        """Replace the file of the gallery. What goes wrong costs a warning: it can be built again."""
        try:
            self._look("write", self._write_something)
            new = self._folder / f".{stamp.uid}-{os.getpid()}"
            try:
                graph.save(new)
                name = f"{stamp.uid}-{stamp.generation}-{stamp.sequence}.usearch"
                facts = _facts(graph, stamp, name, _digest(new))
                new.replace(self._folder / name)
                new.write_text(json.dumps(facts))
                new.replace(self._sidecar(stamp.uid))
            finally:
                new.unlink(missing_ok=True)
            self._sweep(stamp.uid, keep=name)
        except (OSError, RuntimeError) as error:
            _log.warning("the index of a gallery was not saved in %s: %s", self._folder, error)

    def load(self, uid: str, generation: int, dimension: int) -> tuple[Graph, Stamp] | None:
        """The graph of a generation; None where there is none, or it is damaged or unlike what it should be."""
        try:
            facts = self._look(f"facts {uid}", self._sidecar(uid).read_text)
            key = f"{uid} {generation}"
            return self._loads.take(key, lambda: self._load(facts, uid, generation, dimension), _LOAD_S)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("the index of a gallery is rebuilt: %s", error.strerror)
            return None

    def _load(self, text: str, uid: str, generation: int, dimension: int) -> tuple[Graph, Stamp] | None:
        try:
            facts = json.loads(text)
            if facts["format"] != _FORMAT or (facts["uid"], facts["generation"]) != (uid, generation):
                return None
            path = self._folder / facts["file"]
            if _digest(path) != facts["sha256"]:
                raise ValueError(f"{path} has changed since it was saved")
            graph = Graph.load(path, dimension)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever is wrong with a file, the database has all that is in it
            _log.warning("the index of a gallery is rebuilt: %s", error)
            return None
        graph.expansion, graph.recall = facts["expansion"], facts["recall"]
        graph.measured_at, graph.removed = facts["measured_at"], facts["removed"]
        return graph, Stamp(uid, generation, facts["sequence"])

    def remove(self, uid: str) -> None:
        """Of a gallery that is gone. What goes wrong costs a warning."""
        try:
            self._look("list", self._list)
            self._sidecar(uid).unlink(missing_ok=True)
            self._sweep(uid, keep="")
        except OSError as error:
            _log.warning("the index of a deleted gallery was not removed: %s", error.strerror)

    def _look(self, how: str, look: Callable[[], T]) -> T:
        """Raises TimeoutError where the folder does not answer, at once if it is known not to; what look() raises."""
        return cast("T", self._looks.take(how, look, max(0.0, _ANSWERS_S - self._looks.since_s(how))))

    def _list(self) -> None:
        with suppress(FileNotFoundError):
            next(self._folder.iterdir(), None)

    def _write_something(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            file.write(b".")

    def _sidecar(self, uid: str) -> Path:
        return self._folder / f"{uid}.json"

    def _sweep(self, uid: str, keep: str) -> None:
        for path in self._folder.glob(f"{uid}-*.usearch"):
            if path.name != keep:
                path.unlink(missing_ok=True)


def _facts(graph: Graph, stamp: Stamp, name: str, digest: str) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "file": name,
        "sha256": digest,
        "uid": stamp.uid,
        "generation": stamp.generation,
        "sequence": stamp.sequence,
        "expansion": graph.expansion,
        "recall": graph.recall,
        "measured_at": graph.measured_at,
        "removed": graph.removed,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
