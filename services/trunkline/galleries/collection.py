"""A gallery in memory: its index and the means of its classes, which follow the database."""

import logging
import threading
from collections.abc import Callable, Iterator

import numpy as np

from trunkline.core.galleries import IndexState
from trunkline.galleries.changes import ChangeReader, Changes
from trunkline.galleries.classes import Means
from trunkline.galleries.graph import Graph
from trunkline.galleries.limits import EXACT_UP_TO
from trunkline.galleries.rows import Rows
from trunkline.galleries.snapshot import Snapshots, Stamp
from trunkline.galleries.store import Record

_BLOCK = 4096
_log = logging.getLogger(__name__)


class GenerationGoneError(Exception):
    """The gallery is gone, has other vectors by now, or changed too often to be followed: load it anew."""


class Collection:
    """One generation of a gallery. May be used by several threads.

    Small ones are searched exactly; of larger ones a graph is made, in the background, and exact searches go on
    until it is there.
    """

    def __init__(
        self, record: Record, reader: ChangeReader, snapshots: Snapshots, exact_up_to: int = EXACT_UP_TO
    ) -> None:
        self.record = record
        self._reader = reader
        self._snapshots = snapshots
        self._exact_up_to = exact_up_to
        self._rows: Rows | None = Rows(record.gallery.dimension, record.gallery.images)
        self._graph: Graph | None = None
        self._sums: dict[str, tuple[int, np.ndarray]] = {}
        self._sequence = self._classes_sequence = self._saved = 0
        self._changing = threading.Lock()
        self._tending = threading.Lock()
        self._averaging = threading.Lock()  # never held while the database is asked
        self._stopped = False
        self._forgotten = record.forgotten
        self._means: Means | None = None

    @property
    def sequence(self) -> int:
        """Up to which it has all changes."""
        return self._sequence

    @property
    def exact(self) -> bool:
        return self._rows is not None

    @property
    def means(self) -> Means:
        """The classes as they are now."""
        with self._averaging:
            if self._means is None:
                self._means = Means.of(self._sums, self.record.gallery.dimension)
            return self._means

    @property
    def state(self) -> IndexState:
        rows, graph = self._rows, self._graph
        if rows is not None:
            return IndexState(True, True, len(rows), None, rows.bytes + self._class_bytes)
        assert graph is not None
        size = graph.bytes + self._class_bytes
        return IndexState(True, False, len(graph), graph.recall, size)

    def load(self, *, from_file: bool = True) -> None:
        """Read all. Raises GenerationGoneError, ServiceUnavailableError."""
        record = self.record
        found = self._snapshots.load(record.uid, record.generation, record.gallery.dimension) if from_file else None
        if found is not None and self.record.forgotten <= found[1].sequence <= self.record.sequence:
            self._graph, self._rows = found[0], None
            self._sequence = self._saved = found[1].sequence
            self._forgotten = 0
        self.catch_up()

    def catch_up(self) -> None:
        """Read what changed since. Raises GenerationGoneError, ServiceUnavailableError."""
        with self._changing:
            while True:
                changes = self._since(self._sequence)
                if changes is None:
                    raise GenerationGoneError
                self._apply(changes)
                if changes.complete or self._stopped:
                    return

    def nearest(self, query: np.ndarray, count: int) -> np.ndarray:
        """Numbers of images near to a unit vector (D,): at least the `count` nearest that the index knows."""
        # Some more, as images may go while the index still knows them.
        rows, graph = self._rows, self._graph
        if rows is not None:
            return rows.nearest(query, count + 8)
        assert graph is not None
        return graph.nearest(query, max(count, 10))

    @property
    def untended(self) -> bool:
        """Whether there is something for tend() to do, and nobody does it."""
        rows, graph = self._rows, self._graph
        due = (rows is not None and len(rows) > self._exact_up_to) or (
            graph is not None and (len(graph) > 2 * graph.measured_at or self._unsaved)
        )
        return due and not self._stopped and not self._tending.locked()

    def tend(self) -> None:
        """Make, measure and save the graph where it is time to. Takes as long as that takes; searches go on."""
        if not self._tending.acquire(blocking=False):
            return
        try:
            rows, graph = self._rows, self._graph
            if rows is not None and len(rows) > self._exact_up_to:
                self._build(rows)
            elif graph is not None and len(graph) > 2 * graph.measured_at:
                graph.measure(self._stored)
            if self._unsaved and not self._stopped:
                self._save()
        finally:
            self._tending.release()

    @property
    def worn(self) -> bool:
        """Whether so much was removed from the graph that it should be made anew."""
        graph = self._graph
        return graph is not None and graph.removed > 1000 + len(graph) // 2

    def close(self, *, save: bool = True) -> None:
        """It is used no more."""
        self._stopped = True
        with self._tending:
            if save and self._graph is not None and self._sequence > self._saved:
                self._save()

    @property
    def _unsaved(self) -> bool:
        return self._graph is not None and self._sequence - self._saved > max(1000, len(self._graph) // 10)

    @property
    def _class_bytes(self) -> int:
        return len(self._sums) * 12 * self.record.gallery.dimension  # sums of 8 bytes a value, means of 4

    def _since(self, after: int) -> Changes | None:
        record = self.record
        return self._reader.since(record.number, record.generation, after, self._classes_sequence, self._forgotten)

    def _apply(self, changes: Changes) -> None:
        rows, graph = self._rows, self._graph
        for index in (rows, graph):
            if index is not None:
                index.add(changes.added, changes.vectors)
                for number in changes.removed:
                    index.remove(number)
        if changes.sums:
            sums = {label: each for label, each in {**self._sums, **changes.sums}.items() if each[0]}
            with self._averaging:
                self._sums, self._means = sums, None
        self.record = changes.record
        self._sequence = changes.sequence
        self._classes_sequence = changes.record.sequence

    def _build(self, rows: Rows) -> None:
        graph = Graph(self.record.gallery.dimension)
        numbers, vectors, alive = rows.snapshot()
        for start in range(0, len(numbers), _BLOCK):
            part = alive[start : start + _BLOCK]
            graph.add(
                numbers[start : start + _BLOCK][part], vectors[start : start + _BLOCK][part], lambda: self._stopped
            )
        if self._stopped:
            return
        graph.measure(_blocks_of(rows))
        with self._changing:
            now_numbers, now_vectors, now_alive = rows.snapshot()
            graph.add(now_numbers[now_alive], now_vectors[now_alive])
            for number in set(numbers.tolist()) - set(now_numbers[now_alive].tolist()):
                graph.remove(number)
            self._graph, self._rows = graph, None
        _log.info("gallery %s: a graph of %d images, recall %s", self.record.name, len(graph), graph.recall)

    def _save(self) -> None:
        graph = self._graph
        assert graph is not None
        with self._changing:  # so that it has all changes up to the number that it is saved with, and none after
            self._snapshots.save(graph, Stamp(self.record.uid, self.record.generation, self._sequence))
            self._saved = self._sequence

    def _stored(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        after = 0
        while True:
            changes = self._since(after)
            if changes is None:
                return
            yield changes.added, changes.vectors
            after = changes.sequence
            if changes.complete:
                return


def _blocks_of(rows: Rows) -> Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]:
    def blocks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        numbers, vectors, alive = rows.snapshot()
        for start in range(0, len(numbers), _BLOCK):
            part = alive[start : start + _BLOCK]
            yield numbers[start : start + _BLOCK][part], vectors[start : start + _BLOCK][part]

    return blocks
