"""All targets by name, and which share of the time each gets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.fuzz.calls import BACKBONE, HEAD, Calls
from tests.fuzz.conversions import Conversions
from tests.fuzz.datasets import Datasets
from tests.fuzz.http import Http
from tests.fuzz.loop import Target
from tests.fuzz.pictures import Pictures
from tests.fuzz.servers import Watched
from tests.fuzz.stored import Stored

# Sums up to 1.
SHARES = {
    "calls": 0.3,
    "backbone": 0.05,
    "head": 0.1,
    "http": 0.2,
    "pictures": 0.1,
    "datasets": 0.1,
    "stored": 0.08,
    "conversions": 0.07,
}
_IN_CHILDREN: dict[str, Callable[[], Target]] = {
    "pictures": Pictures,
    "datasets": Datasets,
    "stored": Stored,
    "conversions": Conversions,
}
_SERVED: dict[str, tuple[Callable[[], Watched], Callable[[Watched], Target]]] = {
    "calls": (lambda: Watched(TRUNKLINE_TRAINING_JOBS="1"), Calls),
    "backbone": (lambda: Watched("backbone"), lambda watched: Calls(watched, BACKBONE)),
    "head": (lambda: Watched("head"), lambda watched: Calls(watched, HEAD)),
    "http": (lambda: Watched(http=True, TRUNKLINE_TRAINING_JOBS="1"), Http),
}


@contextmanager
def opened(name: str) -> Iterator[Target]:
    """The target with its server, if it has one."""
    if name in _IN_CHILDREN:
        target = _IN_CHILDREN[name]()
        try:
            yield target
        finally:
            target.finish()
        return
    start, make = _SERVED[name]
    watched = start()
    try:
        yield make(watched)
    finally:
        watched.close()
