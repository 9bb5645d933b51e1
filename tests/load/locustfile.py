"""Load from several machines: Locust users that ask with the client, and one report for all of them.

    locust -f tests/load/locustfile.py --headless --host 127.0.0.1:8500 --users 20 --spawn-rate 20 --run-time 60s
           --mix classify:imagenet=3,segment:camvid --images PHOTOS --report out/locust

Further machines: `--master --expect-workers N` on one, `--worker --master-host HOST` on the others; pictures are read
where the workers are. Users are callers of a closed loop, or send `--calls-per-user` a second each. Latency counts
from the moment a call is sent: for an open loop with the intended time use `trunkline loadtest`. Retries are done by
gRPC inside the client, so none are counted. The report is that of `trunkline loadtest`, and can be compared with it.
"""

import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import gevent
from grpc.experimental.gevent import init_gevent
from locust import User, constant_throughput, events, task
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

import trunkline
from trunkline.cli.pictures import find_pictures
from trunkline.client import Client, HeadAsk, ServiceError
from trunkline.loadtest.caller import Answer
from trunkline.loadtest.journal import TallyJournal
from trunkline.loadtest.machine import describe
from trunkline.loadtest.mix import Call, parse_mix, turns
from trunkline.loadtest.pictures import endless, made_pictures, read_pictures
from trunkline.loadtest.plan import Closed, Setup, Step
from trunkline.loadtest.report import write_report
from trunkline.loadtest.run import Run, StepResult
from trunkline.loadtest.tally import Tally, merge

init_gevent()
_MADE = 32

_ASK: Mapping[str, Callable[[Client, Call, bytes, bytes, float], Any]] = {
    "classify": lambda client, call, picture, _, time_s: client.classify(picture, _head(call), timeout_s=time_s),
    "regress": lambda client, call, picture, _, time_s: client.regress(picture, _head(call), timeout_s=time_s),
    "detect": lambda client, call, picture, _, time_s: client.detect(picture, _head(call), timeout_s=time_s),
    "segment": lambda client, call, picture, _, time_s: client.segment(picture, _head(call), timeout_s=time_s),
    "embed": lambda client, call, picture, _, time_s: client.embed(picture, _head(call), timeout_s=time_s),
    "compare": lambda client, call, picture, other, time_s: client.compare(
        picture, other, _head(call), timeout_s=time_s
    ),
    "analyze": lambda client, call, picture, _, time_s: client.analyze(
        picture, [HeadAsk(head, required=True) for head in call.heads], timeout_s=time_s
    ),
}


class Work:
    """What the users of this process send, and what became of it since it was last told."""

    def __init__(self, options: Any) -> None:
        paths = find_pictures([Path(options.images)]) if options.images else []
        pictures = read_pictures(paths) if paths else made_pictures(_MADE)
        self.calls = turns(parse_mix(options.mix.split(",")), seed=time.time_ns())
        self.pictures = endless(pictures, time.time_ns() % len(pictures), None)
        self.last = next(self.pictures)
        self.began_at = time.perf_counter() + options.warm_up
        self._journal, self._cpu_s = TallyJournal(self.began_at), time.process_time()

    def took(self, answer: Answer, sent_at: float) -> None:
        if sent_at >= self.began_at:  # what was sent in the warm-up is left out
            self._journal.answered(answer, sent_at, time.perf_counter())

    def tell(self) -> Tally:
        """What is new."""
        cpu_s, self._cpu_s = self._cpu_s, time.process_time()
        journal, self._journal = self._journal, TallyJournal(self.began_at)
        return journal.tally(max(0.0, time.perf_counter() - self.began_at), self._cpu_s - cpu_s)


class State:
    """Of this process: its work where it has users, and what all have told where it leads."""

    work: ClassVar[Work | None] = None
    total: ClassVar[Tally] = Tally()
    users: ClassVar[int] = 0
    workers: ClassVar[int] = 1
    started_at: ClassVar[datetime] = datetime.now(UTC)


class Caller(User):
    """Asks one question after the other."""

    def wait_time(self) -> float:
        rate = self.environment.parsed_options.calls_per_user
        return float(constant_throughput(rate)(self)) if rate else 0.0

    def on_start(self) -> None:
        self.service = Client(self.host or self.environment.host)

    def on_stop(self) -> None:
        self.service.close()

    @task
    def ask(self) -> None:
        work = State.work
        assert work is not None
        call, picture = next(work.calls), next(work.pictures)
        other, work.last = work.last, picture
        sent_at, error = time.perf_counter(), None
        try:
            _ASK[call.method](self.service, call, picture, other, self.environment.parsed_options.call_timeout)
        except ServiceError as found:
            error = found
        work.took(Answer(call, error, 0), sent_at)
        took_ms = 1000 * (time.perf_counter() - sent_at)
        self.environment.events.request.fire(
            request_type="gRPC", name=call.name, response_time=took_ms, response_length=0, exception=error
        )


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--mix", default="classify", help="METHOD[:HEAD[+HEAD]][=SHARE], separated by commas")
    parser.add_argument("--images", default="", help="a picture, or a folder of them; made ones where it is empty")
    parser.add_argument("--calls-per-user", type=float, default=0.0, help="calls a second of each user; 0: no pause")
    parser.add_argument("--call-timeout", type=float, default=30.0, help="seconds that one call may take")
    parser.add_argument("--warm-up", type=float, default=0.0, help="seconds that the report leaves out")
    parser.add_argument("--report", default="", help="folder for report.json, report.md and plots")


@events.test_start.add_listener
def _begin(environment: Environment, **_: Any) -> None:
    State.total, State.started_at, State.users, State.workers = Tally(), datetime.now(UTC), 0, 1
    if not isinstance(environment.runner, MasterRunner):
        State.work = Work(environment.parsed_options)
    if not isinstance(environment.runner, WorkerRunner):
        gevent.spawn(_count, environment)


@events.report_to_master.add_listener
def _report(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if State.work is not None:
        data["trunkline"] = State.work.tell().model_dump(mode="json")


@events.worker_report.add_listener
def _add(client_id: str, data: dict[str, Any], **_: Any) -> None:
    if "trunkline" in data:
        State.total = merge([State.total, Tally.model_validate(data["trunkline"])])


@events.quitting.add_listener
def _write(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, LocalRunner) and State.work is not None:
        State.total = State.work.tell()
    if not environment.parsed_options.report or isinstance(environment.runner, WorkerRunner):
        return
    for line in write_report(_run(environment), Path(environment.parsed_options.report)):
        print(line, file=sys.stderr)


def _run(environment: Environment) -> Run:
    options = environment.parsed_options
    paths = tuple(map(str, find_pictures([Path(options.images)]))) if options.images else ()
    step = Step(load=Closed(callers=State.users), seconds=State.total.seconds)
    return Run(
        trunkline=trunkline.__version__,
        started_at=State.started_at,
        command=" ".join(["locust", *sys.argv[1:]]),
        machine=describe(("grpcio", "locust", "trunkline")),
        setup=Setup(
            target=environment.host or "",
            mix=tuple(options.mix.split(",")),
            pictures=paths,
            made=_MADE,
            timeout_s=options.call_timeout,
            processes=State.workers,
        ),
        served={},
        warm_up_s=options.warm_up,
        steps=[StepResult(step=step, tally=State.total)],
    )


def _count(environment: Environment) -> None:
    """The most users and workers that there were at a time: at the end some have gone already."""
    while environment.runner is not None:
        State.users = max(State.users, environment.runner.user_count)
        State.workers = max(State.workers, getattr(environment.runner, "worker_count", 1))
        gevent.sleep(0.2)


def _head(call: Call) -> str | None:
    return call.heads[0] if call.heads else None
