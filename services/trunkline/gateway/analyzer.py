"""One picture, many heads: one pass for each backbone and preprocessing spec, heads side by side."""

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from trunkline.core.errors import (
    ImageTooLargeError,
    InvalidRequestError,
    TrunklineError,
    WrongTaskError,
)
from trunkline.core.exchange import IMAGE, HeadInfo
from trunkline.core.tasks import task_of
from trunkline.core.text import listed
from trunkline.gateway.answers import Analysis, HeadRequest, Outcome
from trunkline.gateway.deadline import Deadline
from trunkline.gateway.directory import BackboneEntry, Directory, HeadEntry
from trunkline.gateway.passes import SharedPass, pass_of
from trunkline.gateway.picture import PictureRun, Question
from trunkline.gateway.planner import Planner, checked_points, has_choice
from trunkline.serving.security.callers import count_picture, saw_pixels

__all__ = ["Analysis", "Analyzer", "HeadRequest", "Outcome"]

_NO_PASS = {IMAGE}  # what there is without one
Tell = Callable[[Outcome], None]


def _tell_nobody(outcome: Outcome) -> None:
    """For calls that are answered once, at their end."""


class Analyzer:
    """Answers questions about pictures with whatever the directory knows."""

    def __init__(self, directory: Directory, max_image_bytes: int) -> None:
        self._directory = directory
        self._max_image_bytes = max_image_bytes
        self._planner = Planner()

    def ask_one(
        self, image: bytes, task: str, head: str, params: Mapping[str, Any], timeout_s: float
    ) -> Coroutine[Any, Any, Analysis]:
        """One required question to a head of a task; the default one of the task where `head` is empty.

        Raises NotFoundError, WrongTaskError, and what the backbone and the head raise.
        """
        entry = self.entry_of(task, head)
        ask = HeadRequest(head or entry.info.name, params, required=True)
        return self._analyze(image, [ask], lambda ask: self._checked(entry), timeout_s)

    def entry_of(self, task: str, head: str) -> HeadEntry:
        """The version that answers for a head of a task; of the default head where `head` is empty.

        Raises NotFoundError, WrongTaskError that names the right call.
        """
        entry = self._directory.resolve(head) if head else self._directory.default_head_of(task)
        if entry.info.task != task:
            raise _wrong_task(entry.info, task)
        return entry

    def named(self, head: str) -> HeadEntry:
        """The version that answers for a head of any task. Raises NotFoundError, InvalidRequestError for no name."""
        if not head:
            raise InvalidRequestError("no head was named; ListHeads says which there are")
        return self._directory.resolve(head)

    def backbone_of(self, entry: HeadEntry) -> BackboneEntry:
        """Raises as Directory.check does."""
        return self._directory.check(entry)

    def check_size(self, image: bytes) -> None:
        """Raises ImageTooLargeError."""
        if len(image) > self._max_image_bytes:
            raise ImageTooLargeError(
                f"the picture has {len(image)} bytes; the limit is {self._max_image_bytes}",
                bytes=len(image),
                limit_bytes=self._max_image_bytes,
            )

    def ask_version(
        self, image: bytes, entry: HeadEntry, params: Mapping[str, Any], timeout_s: float
    ) -> Coroutine[Any, Any, Analysis]:
        """One required question to a version that was resolved before: a batch gets one version, under its own spec.

        Raises what the backbone and the head raise.
        """
        ask = HeadRequest(entry.info.name, params, required=True)
        return self._analyze(image, [ask], lambda ask: self._checked(entry), timeout_s, as_it_is=True)

    def analyze(
        self,
        image: bytes,
        asks: Sequence[HeadRequest],
        timeout_s: float,
        tell: Tell | None = None,
        max_points_lost: float | None = None,
    ) -> Coroutine[Any, Any, Analysis]:
        """Every head's outcome; `tell` gets each as soon as it is there.

        max_points_lost: how much each head may lose, so that heads share a pass; None for nothing.
        Raises what a required head raises, and errors of the picture itself. Where it is cancelled, or raises,
        nothing that it started goes on.
        """
        return self._analyze(image, asks, self._resolve, timeout_s, tell or _tell_nobody, max_points_lost)

    async def _analyze(
        self,
        image: bytes,
        asks: Sequence[HeadRequest],
        resolve: Callable[[HeadRequest], HeadEntry],
        timeout_s: float,
        tell: Tell = _tell_nobody,
        max_points_lost: float | None = None,
        *,
        as_it_is: bool = False,
    ) -> Analysis:
        started_at = time.perf_counter()
        deadline = Deadline(timeout_s)
        self._check(image, asks)
        checked_points(max_points_lost)
        count_picture()
        questions: Sequence[Question] = [(ask, _entry(ask, resolve)) for ask in asks]
        planned = not as_it_is and has_choice(questions, max_points_lost)
        if planned:
            questions = self._planner.planned(questions, max_points_lost)
        run = PictureRun(image, questions, deadline, tell)
        outcomes, made = await run.outcomes(), run.made()
        if planned:
            self._planner.ended(questions, outcomes, made)
        done = _analysis(outcomes, made, started_at)
        if done.image_size is not None:
            saw_pixels(done.image_size[0] * done.image_size[1])
        return done

    def _check(self, image: bytes, asks: Sequence[HeadRequest]) -> None:
        self.check_size(image)
        for ask in asks:
            if ask.budget_s is not None and not ask.budget_s > 0:
                raise InvalidRequestError(f"the budget of head {ask.head!r} is {ask.budget_s:g} s: give one above 0")
        names = [ask.head for ask in asks]
        if not names:
            raise InvalidRequestError("no head was named; ListHeads says which there are")
        if "" in names:
            raise InvalidRequestError(
                f"heads[{names.index('')}] names no head: set its field head; ListHeads says which there are"
            )
        if len(set(names)) < len(names):
            raise InvalidRequestError(f"a head was named twice: {listed(names)}")

    def _resolve(self, ask: HeadRequest) -> HeadEntry:
        return self._checked(self._directory.resolve(ask.head))

    def _checked(self, entry: HeadEntry) -> HeadEntry:
        self._directory.check(entry)
        return entry


def _entry(ask: HeadRequest, resolve: Callable[[HeadRequest], HeadEntry]) -> HeadEntry | TrunklineError:
    try:
        return resolve(ask)
    except TrunklineError as error:
        if ask.required:
            raise
        return error


def _wrong_task(head: HeadInfo, asked: str) -> WrongTaskError:
    call = task_of(head.task).call
    advice = f"{call.name} or Analyze" if call is not None else "Analyze"
    return WrongTaskError(
        f"head {head.name!r} does {head.task}, not {asked}: use {advice}", head=head.name, task=head.task
    )


def _analysis(outcomes: Sequence[Outcome], made: Sequence[SharedPass], started_at: float) -> Analysis:
    passes = 0
    queue_ms = decode_ms = backbone_ms = head_ms = 0.0
    features = [(shared, shared.found) for shared in made if shared.found is not None]
    for _, found in features:
        passes += not found.cached and not found.arrays.keys() <= _NO_PASS
        queue_ms = max(queue_ms, found.queue_ms)
        decode_ms = max(decode_ms, found.decode_ms)
        backbone_ms = max(backbone_ms, found.backbone_ms)
    for outcome in outcomes:
        if outcome.answer is not None:
            head_ms = max(head_ms, outcome.answer.head_ms)
    frame = features[0][1].frame if features else None
    return Analysis(
        outcomes=tuple(outcomes),
        image_size=(frame.image_width, frame.image_height) if frame is not None else None,
        passes=passes,
        queue_ms=queue_ms,
        decode_ms=decode_ms,
        backbone_ms=backbone_ms,
        head_ms=head_ms,
        total_ms=(time.perf_counter() - started_at) * 1000,
        each_pass=tuple([pass_of(shared, found) for shared, found in features]),
    )
