"""Which calls are sent: a mix of methods and heads, each with its share."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trunkline.client import HeadAsk, messages
from trunkline.core.errors import ConfigurationError
from trunkline.core.tasks import AnyTask, callable_tasks
from trunkline.serving.wire_calls import method_of

_SERVICE = "/trunkline.api.vision.v1.VisionService"
_ROUND = 10_000
_COMPARE, _ANALYZE = "compare", "analyze"
_HOW = "write METHOD[:HEAD[+HEAD…]][=SHARE], such as classify:imagenet=3 or analyze:imagenet+camvid=1"


@dataclass(frozen=True)
class Call:
    """A kind of call: method, heads, and its share of all calls relative to those of the others."""

    method: str
    heads: tuple[str, ...] = ()
    share: float = 1.0

    @property
    def name(self) -> str:
        """As it is written in a mix, without the share."""
        return f"{self.method}:{'+'.join(self.heads)}" if self.heads else self.method

    @property
    def path(self) -> str:
        """The full gRPC method."""
        return f"{_SERVICE}/{self.method.capitalize()}"

    def request(self, picture: bytes, other: bytes) -> bytes:
        """The encoded request about a picture; `compare` asks about it and the other one."""
        return bytes(_message(self, picture, other).SerializeToString())

    @property
    def _head(self) -> str | None:
        return self.heads[0] if self.heads else None


# The requests are those of the client, with its defaults. Heads of `analyze` are required, so that one that fails is
# a failed call and not an answer.
def _message(call: Call, picture: bytes, other: bytes) -> Any:
    if call.method == _ANALYZE:
        return messages.analyze_request(picture, [HeadAsk(head, required=True) for head in call.heads])
    if call.method == _COMPARE:
        return messages.compare_request(picture, other, call._head)
    return messages.task_request(_tasks()[call.method], picture, call._head, {})


def _tasks() -> dict[str, AnyTask]:
    """By the name of their call, in small letters."""
    found = ((method_of(task), task) for task in callable_tasks())
    return {method.name.lower(): task for method, task in found if method is not None}


def methods() -> list[str]:
    """All that can be sent."""
    return [*_tasks(), _COMPARE, _ANALYZE]


def parse_mix(texts: Sequence[str]) -> tuple[Call, ...]:
    """The calls of METHOD[:HEAD[+HEAD…]][=SHARE]. Raises ConfigurationError that says what is wrong."""
    calls = tuple(map(_parse, texts))
    names = [call.name for call in calls]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"the mix has {twice} twice: give it one share")
    if not calls:
        raise ConfigurationError(f"the mix is empty: {_HOW}")
    return calls


def turns(calls: Sequence[Call], seed: int) -> Iterator[Call]:
    """Calls without end, drawn at random by their shares; the same for the same seed."""
    rng = random.Random(seed)
    shares = [call.share for call in calls]
    while True:
        yield from rng.choices(calls, shares, k=_ROUND)


def _parse(text: str) -> Call:
    what, equals, share = text.partition("=")
    method, colon, listed = what.strip().partition(":")
    heads = tuple(head.strip() for head in listed.split("+")) if colon else ()
    if method not in methods():
        raise ConfigurationError(f"the mix {text!r} names no method of {', '.join(methods())}: {_HOW}")
    if not all(heads) or len(set(heads)) < len(heads):
        raise ConfigurationError(f"the mix {text!r} has an empty head, or one twice: {_HOW}")
    if method == _ANALYZE and not heads:
        raise ConfigurationError(f"the mix {text!r} names no head, and analyze needs some: {_HOW}")
    if method != _ANALYZE and len(heads) > 1:
        raise ConfigurationError(f"the mix {text!r} asks {method} for several heads: analyze does that")
    return Call(method, heads, _share(text, share) if equals else 1.0)


def _share(text: str, share: str) -> float:
    try:
        value = float(share)
    except ValueError:
        value = math.nan
    if not (0 < value < math.inf):
        raise ConfigurationError(f"the mix {text!r} has a share that is not a number above 0: {_HOW}")
    return value
