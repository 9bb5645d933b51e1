"""What a model of the protocol is, and how a request with several pictures is answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from trunkline.core.errors import InvalidRequestError, TrunklineError

PICTURE = "image"  # input with encoded pictures, BYTES
RESULT = "result"  # output with the whole answer as JSON, BYTES
MAX_BATCH = 64
_SHOWN = 64  # characters of a name that came
# Of one request, so that a large one leaves room in the queue for those of others.
_IN_FLIGHT = 16


@dataclass(frozen=True)
class Port:
    """A tensor that a model takes or answers, (N, *dims); -1 in dims for any length."""

    name: str
    datatype: str
    dims: tuple[int, ...]
    optional: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch axis."""
        return (-1, *self.dims)


@dataclass(frozen=True)
class ModelRequest:
    """Inputs by name, each with a batch axis; BYTES as (N,) of dtype object."""

    inputs: Mapping[str, np.ndarray]
    params: Mapping[str, Any]
    wanted: tuple[str, ...]  # names of outputs
    timeout_s: float
    context: Any  # of the gRPC call


@dataclass(frozen=True)
class Item:
    """What became of one picture: arrays without a batch axis, and where the time went (milliseconds)."""

    outputs: Mapping[str, np.ndarray]
    version: str
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0


@dataclass(frozen=True)
class Description:
    """A version of a model. `default_outputs` are those that are answered where none is asked for; empty for all."""

    name: str
    version: str
    versions: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    default_outputs: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


class Model(Protocol):
    """A version of a head, the backbone, or "analyze"."""

    @property
    def description(self) -> Description: ...

    @property
    def fault(self) -> str:
        """Why it cannot answer at this moment; empty where it can."""
        ...

    async def answer(self, question: ModelRequest) -> list[Item]:
        """One for each row of the inputs. Raises TrunklineError."""
        ...


async def each(count: int, one: Callable[[int], Awaitable[Item]]) -> list[Item]:
    """The items of all places, side by side. All are computed, then the first error is raised, its place named.

    Raises what `one` raises.
    """
    if count == 1:
        return [await one(0)]
    gate = asyncio.Semaphore(_IN_FLIGHT)

    async def gated(place: int) -> Item:
        async with gate:
            return await one(place)

    found = await asyncio.gather(*(gated(place) for place in range(count)), return_exceptions=True)
    for place, item in enumerate(found):
        if isinstance(item, BaseException):
            raise _at(item, place, count)
    return [item for item in found if isinstance(item, Item)]


def _at(error: BaseException, place: int, count: int) -> BaseException:
    if not isinstance(error, TrunklineError):
        return error
    message = f"item {place} of the batch of {count}: {error.message}"
    # The error itself may be raised to others too, and its class may want more than a message to be made.
    named = type(error).__new__(type(error), message)
    vars(named).update(vars(error), message=message, metadata={**error.metadata, "item": str(place)})
    named.__cause__ = error
    return named


def no_params(params: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises InvalidRequestError for a parameter that is not known."""
    unknown = [name for name in params if name not in known]
    if unknown:
        listed = ", ".join(known) or "none"
        name = unknown[0][:_SHOWN]
        raise InvalidRequestError(f"parameter {name!r} is not known; parameters of this model: {listed}")
