"""A whole run: what the service is asked beforehand, warm-up, steps or the search for the knee, verdicts."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from pydantic import BaseModel

import trunkline
from trunkline.client import AsyncClient, ServiceError
from trunkline.loadtest.caller import Caller
from trunkline.loadtest.figures import figures_of
from trunkline.loadtest.fleet import Fleet, fleet
from trunkline.loadtest.knee import Knee, find_knee
from trunkline.loadtest.machine import describe
from trunkline.loadtest.mix import parse_mix
from trunkline.loadtest.objectives import Objective, Verdict, judge
from trunkline.loadtest.pictures import made_pictures
from trunkline.loadtest.plan import Arrivals, Closed, Load, Open, Setup, Step
from trunkline.loadtest.tally import Progress, Tally

FORMAT = 1
_KNEE_ERRORS_PERCENT = 1.0
_PROBE = Closed(callers=16)
_FIRST_SHARE = 0.7  # of what a closed loop gets through


class StepResult(BaseModel):
    """A step with all that became of its calls."""

    step: Step
    tally: Tally

    @property
    def name(self) -> str:
        return self.step.load.name


class Run(BaseModel):
    """A run as it is kept in report.json. served: versions of the heads by name, as far as the service says them."""

    format: int = FORMAT
    trunkline: str
    started_at: datetime
    command: str
    machine: str
    setup: Setup
    served: dict[str, str]
    warm_up_s: float
    steps: list[StepResult]
    knee: Knee | None = None
    objectives: list[Verdict] = []


class Watch(Protocol):
    """Is told how far a run is."""

    def begins(self, name: str, seconds: float) -> None: ...

    def goes_on(self, progress: Progress) -> None: ...

    def ends(self, result: StepResult | None) -> None: ...


class Runner:
    """Does what a command asks for; see `Run`."""

    def __init__(self, setup: Setup, watch: Watch, command: str) -> None:
        self._setup, self._watch, self._command = setup, watch, command
        self._served: dict[str, str] = {}

    async def steps(self, steps: Sequence[Step], warm_up_s: float, objectives: Sequence[Objective]) -> Run:
        """Warm up with the load of the first step, then do all. Raises ServiceError where the service cannot answer
        such calls, or is not there."""
        await self._ask_service()
        started_at = datetime.now(UTC)
        async with fleet(self._setup) as workers:
            if warm_up_s:
                await self._warm_up(workers, steps[0].load, warm_up_s)
            done = [await self._do(workers, step) for step in steps]
        return self._report(started_at, warm_up_s, done, None, objectives, done)

    async def knee(
        self, bound: Objective, seconds: float, warm_up_s: float, arrivals: Arrivals, objectives: Sequence[Objective]
    ) -> Run:
        """Search for the highest rate that holds `bound` with at most 1 % errors; objectives are judged there."""
        await self._ask_service()
        started_at, done = datetime.now(UTC), []
        # Who is answered later than this has broken the bound anyway, and would hold up the next try.
        timeout_s = min(self._setup.timeout_s, max(1.0, 5 * bound.bound / 1000))
        async with fleet(self._setup) as workers:
            probe = await self._warm_up(workers, _PROBE, max(1.0, warm_up_s))

            async def holds(rate: float) -> bool:
                step = Step(load=Open(rate=round(rate, 2), arrivals=arrivals), seconds=seconds, timeout_s=timeout_s)
                done.append(await self._do(workers, step))
                tally = done[-1].tally
                few_errors = figures_of(tally).errors_percent <= _KNEE_ERRORS_PERCENT
                return few_errors and bound.met_by(bound.value(tally))

            first = _FIRST_SHARE * figures_of(probe).per_second
            found = (await find_knee(holds, first)).model_copy(update={"bound": bound.text})
        held = [result for result, tried in zip(done, found.attempts, strict=True) if tried.rate == found.rate]
        return self._report(started_at, warm_up_s, done, found, objectives, held)

    async def _ask_service(self) -> None:
        calls = parse_mix(self._setup.mix)
        async with Caller(self._setup.target) as caller:
            await caller.check(calls, made_pictures(1, self._setup.seed)[0], self._setup.timeout_s)
        async with AsyncClient(self._setup.target) as client:
            for head in dict.fromkeys(head for call in calls for head in call.heads):
                with suppress(ServiceError):  # a service that has no such call can be loaded all the same
                    self._served[head] = (await client.get_head(head)).version

    async def _warm_up(self, workers: Fleet, load: Load, seconds: float) -> Tally:
        self._watch.begins("warm-up", seconds)
        tally = await workers.run(Step(load=load, seconds=seconds), self._watch.goes_on)
        self._watch.ends(None)
        return tally

    async def _do(self, workers: Fleet, step: Step) -> StepResult:
        self._watch.begins(step.load.name, step.seconds)
        result = StepResult(step=step, tally=await workers.run(step, self._watch.goes_on))
        self._watch.ends(result)
        return result

    def _report(
        self,
        started_at: datetime,
        warm_up_s: float,
        done: list[StepResult],
        knee: Knee | None,
        objectives: Sequence[Objective],
        judged: Sequence[StepResult],
    ) -> Run:
        pairs = [(result.name, result.tally) for result in judged]
        rate = None if knee is None else knee.rate
        return Run(
            trunkline=trunkline.__version__,
            started_at=started_at,
            command=self._command,
            machine=describe(("grpcio", "trunkline")),
            setup=self._setup,
            served=self._served,
            warm_up_s=warm_up_s,
            steps=done,
            knee=knee,
            objectives=[judge(objective, pairs, rate) for objective in objectives],
        )
