"""Asking about many pictures: one that fails hides no other."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from trunkline.cli.output import complain
from trunkline.client import ServiceError, Timings, UnreachableError
from trunkline.core.errors import InvalidRequestError, WrongTaskError
from trunkline.core.tasks import task_of

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)


@dataclass(frozen=True)
class Asked(Generic[Answer_co]):
    """A picture with its answer, or with the error of its call."""

    image: Path
    answer: Answer_co | None = None
    error: ServiceError | None = None

    @property
    def failure(self) -> ServiceError:
        """The error of a picture that has no answer."""
        assert self.error is not None
        return self.error


def ask_each(images: Iterable[Path], ask: Callable[[Path], Answer]) -> Iterator[Asked[Answer]]:
    """Ask about one picture after the other. Once nothing answers at the target, the rest are not sent there."""
    gone: UnreachableError | None = None
    for image in images:
        if gone is not None:
            yield Asked(image, error=gone)
            continue
        asked = _ask_one(image, ask)
        gone = asked.error if isinstance(asked.error, UnreachableError) else None
        yield asked


def _ask_one(image: Path, ask: Callable[[Path], Answer]) -> Asked[Answer]:
    try:
        return Asked(image, answer=ask(image))
    except ServiceError as error:
        return Asked(image, error=error)
    except InvalidRequestError as error:
        return Asked(image, error=ServiceError("INVALID_ARGUMENT", error.reason, error.message, error.metadata))
    except OSError as error:
        return Asked(image, error=ServiceError("INVALID_ARGUMENT", "UNREADABLE_FILE", str(error)))


def complain_about(asked: Iterable[Asked[Any]]) -> bool:
    """One line on standard error for each picture that failed, each text once. Returns whether any failed."""
    lines = dict.fromkeys(_line(each.image, each.error) for each in asked if each.error is not None)
    for line in lines:
        complain(line)
    return bool(lines)


def _line(image: Path, error: ServiceError) -> str:
    told = isinstance(error, UnreachableError) or str(image) in error.message
    call = task_of(error.metadata.get("task", "")).call if error.reason == WrongTaskError.reason else None
    message = f"{error.message}; here: trunkline {call.command}" if call is not None else error.message
    return message if told else f"{image}: {message}"


def error_to_json(error: ServiceError) -> dict[str, Any]:
    fields: dict[str, Any] = {"code": error.code, "reason": error.reason, "message": error.message}
    if error.metadata:
        fields["metadata"] = dict(error.metadata)
    if error.retry_after_s is not None:
        fields["retry_after_s"] = error.retry_after_s
    return fields


def timings_to_json(timings: Timings) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(timings).items()}


def timings_to_text(timings: Timings) -> str:
    parts = (f"{name.removesuffix('_ms')} {value:.1f}" for name, value in asdict(timings).items())
    return ", ".join(parts) + " ms"
