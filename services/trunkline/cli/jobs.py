"""`trunkline jobs`: what the training service works on; and `train --watch`, which gives it a new job."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trunkline.cli.options import DEFAULT_TARGET, Json, Target
from trunkline.cli.output import complain, print_json, show_facts, table
from trunkline.cli.output import show as show_table
from trunkline.core.figures import percent

if TYPE_CHECKING:
    from trunkline.client import Job, JobState, TrainingClient, TrainRequest

app = typer.Typer(no_args_is_help=True, help="Look at the jobs of a training service, watch, cancel and remove them.")
JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.", show_default=False)]
State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only queued, running, succeeded, failed or cancelled jobs; may be repeated.",
        show_default="all",
    ),
]


@app.command("list")
def list_jobs(state: State = None, target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """List jobs, the newest first."""
    with _client(target) as client:
        jobs = list(client.list(_states(state or [])))
    if json:
        print_json([job_json(job) for job in jobs])
        return
    if not jobs:
        complain("there are no jobs; queue one with: trunkline train … --watch")
        return
    made = table("job", "head", "what", "state", "progress", "created", text=("what", "progress", "created"))
    for job in jobs:
        made.add_row(
            job.id,
            f"{job.request.name}/{job.model_version}" if job.model_version else job.request.name,
            f"{job.request.task} {job.request.mode}",
            job.state.value.lower(),
            _progress_text(job),
            f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
        )
    show_table(made)


@app.command("show")
def show(job: JobId, target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """Show one job."""
    with _client(target) as client:
        found = client.get(job)
    if json:
        print_json(job_json(found))
        return
    show_facts(_facts(found))


@app.command("watch")
def watch(job: JobId, target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """Show the progress of a job until it has ended. The status is 0 if it succeeded."""
    with _client(target) as client:
        _watch(client, job, target, json=json)


@app.command("cancel")
def cancel(job: JobId, target: Target = DEFAULT_TARGET, json: Json = False) -> None:
    """Stop a job and wait until it has stopped. It leaves nothing behind."""
    with _client(target) as client:
        client.cancel(job)
        found = client.wait(job)
    if json:
        print_json(job_json(found))
    elif found.state.value == "CANCELLED":
        print(f"{job} cancelled")
    else:
        complain(f"{job} had already {found.state.value.lower()}")


@app.command("delete")
def delete(job: JobId, target: Target = DEFAULT_TARGET) -> None:
    """Remove an ended job with its events. The head that it published stays."""
    with _client(target) as client:
        client.delete(job)
    print(f"{job} removed")


def submit_and_watch(request: "TrainRequest", target: str, *, json: bool = False) -> None:
    """Queue a job at a training service and watch it as `jobs watch` does. Ctrl-C leaves the job running.

    The data is named by its whole path where it is a path here, for a service on this machine.
    """
    here = Path(request.data)
    if here.exists():
        request = request.model_copy(update={"data": str(here.absolute())})
    with _client(target) as client:
        job = client.create(request)
        complain(f"{job.id} is queued at {target}")
        _watch(client, job.id, target, json=json)


def job_json(job: "Job") -> dict[str, Any]:
    """A job as the document that `--json` prints; times in ISO 8601."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.astimezone(UTC).isoformat(timespec="milliseconds")
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, Mapping):
            return {key: plain(each) for key, each in value.items()}
        return value

    fields = {name: plain(value) for name, value in asdict(job).items() if name != "last_sequence"}
    return {**fields, "state": job.state.value, "request": job.request.model_dump(mode="json", exclude_none=True)}


def _watch(client: "TrainingClient", job: str, target: str, *, json: bool) -> None:
    from trunkline.cli.interrupts import on_interrupt
    from trunkline.cli.job_bar import show_events

    option = "" if target == DEFAULT_TARGET else f" --target {target}"
    words = (
        f"{job} goes on; see it with: trunkline jobs watch {job}{option}; stop it with: trunkline jobs cancel {job}"
    )
    with on_interrupt(lambda: words + option):
        show_events(job, client.watch(job))
    found = client.get(job)
    if json:
        print_json(job_json(found))
    elif found.state.value == "SUCCEEDED":
        print(f"head {found.request.name} version {found.model_version}")
        for name, value in found.metrics.items():
            print(f"  {name:22} {_metric_text(name, value)}")
    if found.state.value != "SUCCEEDED":
        complain(f"{job} {found.state.value.lower()}" + (f": {found.error.message}" if found.error else ""))
        raise typer.Exit(1)


@contextmanager
def _client(target: str) -> Iterator["TrainingClient"]:
    from trunkline.client import TrainingClient

    with TrainingClient(target) as client:
        yield client


def _states(names: list[str]) -> "list[JobState]":
    from trunkline.client import JobState

    known = {state.value.lower(): state for state in JobState}
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is not a state; known: {', '.join(known)}", param_hint="--state")
    return [known[name.lower()] for name in names]


def _progress_text(job: "Job") -> str:
    if job.error is not None:
        return job.error.message
    if job.progress is None or job.state.final:
        return ""
    return f"{job.progress.stage} {job.progress.done}/{job.progress.total}"


def _facts(job: "Job") -> Iterator[tuple[str, str]]:
    from trunkline.cli.job_bar import remarks_text

    yield "job", job.id
    yield (
        "state",
        job.state.value.lower() + (", to be cancelled" if job.cancel_requested and not job.state.final else ""),
    )
    yield "command", job.request.command()
    yield "data", job.request.data
    yield "starts", str(job.attempt)
    for name, time in (("created", job.created_at), ("started", job.started_at), ("ended", job.ended_at)):
        if time is not None:
            yield name, f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
    if job.progress is not None:
        yield "progress", f"{job.progress.stage} {job.progress.done}/{job.progress.total}"
        if job.progress.remarks:
            yield "data", remarks_text(job.progress.remarks, job.progress.left_out).removeprefix("data: ")
    if job.model_version:
        yield "published", f"{job.request.name}/{job.model_version}"
    for metric, value in job.metrics.items():
        yield metric, _metric_text(metric, value)
    if job.error is not None:
        yield "error", f"{job.error.message} ({job.error.reason})"


def _metric_text(name: str, value: float) -> str:
    return percent(value) if name.endswith("accuracy") else f"{value:.4g}"
