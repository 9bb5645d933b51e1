"""What a run does, as values that travel to the processes which send."""

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from trunkline.loadtest.schedule import constant_arrivals, poisson_arrivals

Arrivals = Literal["poisson", "constant"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setup(_Value):
    """What all steps of a run share.

    mix: as `mix.parse_mix` reads it. pictures: paths; where there are none, `made` pictures are made. mark: what
    makes each picture unique; "" where they come again. timeout_s counts from the intended time. max_in_flight bounds
    the calls of an open loop over all processes; an arrival waits for a place `wait_s` at most. connections: of each
    process.
    """

    target: str
    mix: tuple[str, ...]
    pictures: tuple[str, ...] = ()
    made: int = 32
    mark: str = ""
    timeout_s: float = 30.0
    max_in_flight: int = 1024
    wait_s: float = 1.0
    connections: int = 1
    processes: int = 1
    seed: int = 1


class Closed(_Value):
    """So many callers, each of which asks again once it was answered."""

    kind: Literal["closed"] = "closed"
    callers: int

    @property
    def name(self) -> str:
        return f"{self.callers} caller{'s' * (self.callers > 1)}"


class Open(_Value):
    """Arrivals at times of their own, so many a second."""

    kind: Literal["open"] = "open"
    rate: float
    arrivals: Arrivals = "poisson"

    @property
    def name(self) -> str:
        return f"{self.rate:g}/s {self.arrivals}"


Load = Annotated[Closed | Open, Field(discriminator="kind")]


class Step(_Value):
    """One load for some time. `timeout_s`: shorter than that of the setup, where the step has its own."""

    load: Load
    seconds: float
    timeout_s: float | None = None


class Part(_Value):
    """The part of a step that process `index` of `of` does, from `start_at` on, seconds since the epoch."""

    step: Step
    number: int
    index: int
    of: int
    start_at: float

    def callers(self, callers: int) -> int:
        """Callers of this process: those of all are `callers`."""
        return callers // self.of + (self.index < callers % self.of)

    def arrivals_s(self, load: Open, seed: int) -> np.ndarray:
        """float64 (calls,), seconds from the start; those of all processes together are the arrivals of the load."""
        if load.arrivals == "constant":
            return constant_arrivals(load.rate, self.step.seconds, self.index, self.of)
        own_seed = np.random.SeedSequence((seed, self.number, self.index)).generate_state(1)[0]
        return poisson_arrivals(load.rate / self.of, self.step.seconds, int(own_seed))
