"""Who makes a call, what they may do, and which heads and galleries they see."""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from trunkline.core.errors import NotFoundError, PermissionDeniedError
from trunkline.core.text import listed, shown
from trunkline.serving.security.quota import Meter, Quota

GALLERY: Final = "gallery:"
EVERYTHING: Final = ("*",)


class Role(StrEnum):
    """What a caller may do. None of them includes another."""

    INFER = "infer"
    GALLERY_READ = "gallery-read"
    GALLERY_WRITE = "gallery-write"
    TRAIN = "train"
    ADMIN = "admin"
    PEER = "peer"  # a process of the service itself: it calls backbone and heads, and speaks for callers


@dataclass(frozen=True)
class Caller:
    """An identity. scopes: names of heads, and gallery:NAME of galleries, with * and ?; a lone * is all of both."""

    name: str
    roles: frozenset[Role]
    scopes: tuple[str, ...] = EVERYTHING
    quota: Quota = field(default_factory=Quota)

    def sees(self, name: str) -> bool:
        """Whether a head, or gallery:NAME, is there for this caller. What a gallery holds needs gallery-read."""
        if name.startswith(GALLERY) and not self.roles & _OF_GALLERIES:
            return False
        return self.scopes == EVERYTHING or _matches(self.scopes, name)


_OF_GALLERIES: Final = frozenset({Role.GALLERY_READ, Role.GALLERY_WRITE})


class Admission:
    """A call that was let in: of whom, what counts it, and how a denial in its course is recorded."""

    __slots__ = ("caller", "meter", "pictures", "tell")

    def __init__(self, caller: Caller, meter: Meter | None, tell: Callable[[str, str], None]) -> None:
        """tell: takes what was denied, and the reason."""
        self.caller, self.meter, self.tell = caller, meter, tell
        self.pictures = 0


_ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)


def current_caller() -> Caller | None:
    """Who made the call on whose behalf this code runs; None for this process itself, and where nobody is asked."""
    admission = _ADMISSION.get()
    return None if admission is None else admission.caller


def begin_as(admission: Admission | None) -> None:
    """From here on this task, and those that it starts, work for this caller."""
    _ADMISSION.set(admission)


@contextlib.contextmanager
def as_service() -> Iterator[None]:
    """Meanwhile this code works for the process itself, as where a gallery asks its own head."""
    token = _ADMISSION.set(None)
    try:
        yield
    finally:
        _ADMISSION.reset(token)


def sees(name: str) -> bool:
    """Whether a head, or gallery:NAME, is in the lists of the current caller."""
    admission = _ADMISSION.get()
    return admission is None or admission.caller.sees(name)


def finds(name: str) -> bool:
    """Whether it is there for the current caller, who named it. If not, the answer is that of what is not there."""
    admission = _ADMISSION.get()
    if admission is None or admission.caller.sees(name):
        return True
    admission.tell(name, "NOT_VISIBLE")
    return False


def is_limited() -> bool:
    """Whether there may be heads that the current caller does not see, so that no error may list them."""
    admission = _ADMISSION.get()
    return admission is not None and admission.caller.scopes != EVERYTHING


def no_such_head(name: str) -> NotFoundError:
    """The same for a head that is not there and for one that the caller does not see."""
    return NotFoundError(f"there is no head {shown(name)!r}, or no such version, in your scopes", name=name)


def require_scope(name: str) -> None:
    """Raises PermissionDeniedError where the current caller may not make something of this name."""
    admission = _ADMISSION.get()
    if admission is not None and not admission.caller.sees(name):
        caller = admission.caller
        raise PermissionDeniedError(
            f"{caller.name!r} may not make {shown(name)!r}: its scopes are {listed(caller.scopes)}",
            identity=caller.name,
        )


def count_picture() -> None:
    """Work on one begins: each after the first of a call counts as a call. Raises QuotaError."""
    admission = _ADMISSION.get()
    if admission is not None and admission.meter is not None:
        admission.pictures += 1
        if admission.pictures > 1:
            admission.meter.count()


def saw_pixels(pixels: int) -> None:
    """A picture of the current caller was decoded."""
    admission = _ADMISSION.get()
    if admission is not None and admission.meter is not None:
        admission.meter.saw(pixels)


@lru_cache(maxsize=4096)
def _matches(scopes: tuple[str, ...], name: str) -> bool:
    is_gallery = name.startswith(GALLERY)
    return any(
        scope in EVERYTHING or (scope.startswith(GALLERY) == is_gallery and fnmatchcase(name, scope))
        for scope in scopes
    )
