"""`trunkline evaluate --target`: the head of a running service on the caller's own data, sent picture by picture."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trunkline.client import Client, HeadAsk, ServedHead, ServiceError
from trunkline.core.errors import DataInvalidError, InvalidRequestError
from trunkline.core.results import Result
from trunkline.core.tasks import task_of
from trunkline.training.data.dataset import Sample
from trunkline.training.data.read import read_dataset
from trunkline.training.measuring import HeadFacts, Splits, measured

_AT_ONCE = 4  # pictures on their way
_TRIES = 10  # where the service is busy
_DEGREES = ("deg", "°", "degree", "degrees")


def evaluate_served(
    target: str,
    head: str,
    data: Path,
    split: Splits,
    progress: Callable[[int, int], None],
    timeout_s: float,
    names: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """As trunkline.training.evaluation.evaluate_head, of the service at `target`. timeout_s: for each picture.

    head: NAME, NAME/VERSION or NAME@ALIAS; all pictures are answered by the version that it stands for at first.
    Raises ServiceError too.
    """
    with Client(target) as client:
        served = client.get_head(head)
        if not served.ready:
            raise InvalidRequestError(f"head {head!r} cannot answer: {served.fault}")
        asker = _Asker(client, f"{served.name}/{served.version}", timeout_s, progress)
        facts = HeadFacts(served.name, served.version, served.task, served.labels, *_targets(asker, served, data))
        return measured(facts, data, split, asker.ask, names)


@dataclass(frozen=True)
class _Asker:
    client: Client
    head: str
    timeout_s: float
    progress: Callable[[int, int], None]

    def ask(self, samples: Sequence[Sample], params: Mapping[str, Any] | None) -> list[Result]:
        """In their order. Raises DataInvalidError that names a picture that is none, ServiceError."""
        found: list[Result] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            try:
                for done, result in enumerate(pool.map(lambda each: self.one(each, params), samples), 1):
                    found.append(result)
                    self.progress(done, len(samples))
            finally:
                pool.shutdown(cancel_futures=True)
        return found

    def one(self, sample: Sample, params: Mapping[str, Any] | None) -> Result:
        """A service that is busy is asked again when it says so."""
        asked = HeadAsk(self.head, params=dict(params or {}), required=True)
        for attempt in range(1, _TRIES + 1):
            try:
                return self.client.analyze(sample.encoded(), [asked], self.timeout_s).outcomes[0].value()
            except ServiceError as error:
                if error.reason in ("INVALID_IMAGE", "IMAGE_TOO_LARGE"):
                    raise DataInvalidError.at(sample.name, error.message) from error
                if error.retry_after_s is None or attempt == _TRIES:
                    raise
                time.sleep(error.retry_after_s)
        raise AssertionError


def _targets(
    asker: _Asker, head: ServedHead, data: Path
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[bool, ...]]:
    """Names, units and which are angles, of a head that answers with numbers: those of its first answer."""
    task = task_of(head.task)
    if task.truth != "numbers":
        return (), (), ()
    samples = read_dataset(data, task=head.task).samples
    if not samples:
        raise InvalidRequestError("there is nothing to evaluate on: the data has no picture")
    found = task.targets_of(asker.one(samples[0], None))
    units = tuple(unit for _, unit in found)
    return tuple(name for name, _ in found), units, tuple(unit in _DEGREES for unit in units)
