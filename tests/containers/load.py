"""A caller in a container of its own, and what became of its calls."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.containers.pods import Pods
from tests.containers.waiting import wait_until

CALLER = Path(__file__).with_name("caller.py")


@dataclass(frozen=True)
class Call:
    """`due_at` in seconds since the epoch; `took_s` counts from then."""

    due_at: float
    took_s: float
    outcome: str

    @property
    def failed(self) -> bool:
        return self.outcome != "OK"


class Calls(list[Call]):
    """All calls of a caller, in the order in which they were due."""

    @property
    def failed(self) -> list[Call]:
        return [call for call in self if call.failed]

    @property
    def outcomes(self) -> Counter[str]:
        return Counter(call.outcome for call in self)

    @property
    def codes(self) -> Counter[str]:
        return Counter(call.outcome.partition(":")[0] for call in self)

    def recovered_after_s(self, happened_at: float) -> float:
        """Seconds from an event to the due time of the last call that failed; 0 where none did."""
        return max((call.due_at - happened_at for call in self.failed), default=0.0)

    def longest_s(self) -> float:
        return max(call.took_s for call in self)

    def told(self, what: str) -> str:
        """The beginning of a line for people."""
        codes = ", ".join(f"{count} {code}" for code, count in self.codes.items())
        return f"{what}: {len(self)} calls, {len(self.failed)} failed ({codes}), longest {self.longest_s():.2f} s,"


class Caller:
    """Sends from the moment it is made, `rate` calls a second."""

    def __init__(
        self,
        pods: Pods,
        rate: float,
        *,
        heads: Sequence[str] = ("imagenet", "digit-angle"),
        target: str = "dns:///gateway:8500",
        count: int = 1_000_000,
        timeout_s: float = 30,
    ) -> None:
        self._pods = pods
        self._name = pods.start(
            "caller",
            "/caller.py",
            target,
            *map(str, (rate, count, timeout_s)),
            *heads,
            options=[
                "--entrypoint=python",
                f"--volume={CALLER}:/caller.py:ro",
                f"--volume={ROOT}/tests/samples:/samples:ro",
            ],
        )
        wait_until(lambda: "rate " in pods.logs(self._name), 90, lambda: pods.logs(self._name))
        self.rate = float(pods.logs(self._name).partition("rate ")[2].split()[0])

    def stop(self) -> Calls:
        """End it once the calls in flight have ended."""
        self._pods.stop(self._name)
        return self._read()

    def wait(self) -> Calls:
        """Let it send all that it is to send."""
        wait_until(lambda: not self._pods.state(self._name)["Running"], 600, lambda: self._pods.logs(self._name))
        return self._read()

    def _read(self) -> Calls:
        written = self._pods.podman("logs", self._name)
        self._pods.remove(self._name)
        return Calls(sorted((Call(*each) for each in json.loads(written)), key=lambda call: call.due_at))
