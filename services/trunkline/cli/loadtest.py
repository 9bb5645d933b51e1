"""`trunkline loadtest`: load on a gateway, measured as its callers see it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trunkline.cli import load_options as opt
from trunkline.cli.extras import extra
from trunkline.cli.options import DEFAULT_TARGET, Json, Target, Timeout

app = typer.Typer(invoke_without_command=True, no_args_is_help=True)


@app.callback()
def loadtest(
    context: typer.Context,
    *,
    rate: opt.Rate = None,
    concurrency: opt.Concurrency = None,
    find_knee: opt.FindKnee = None,
    arrivals: opt.Gaps = "poisson",
    duration: opt.Duration = 10.0,
    warm_up: opt.WarmUp = 2.0,
    processes: opt.Processes = 1,
    connections: opt.Connections = 1,
    max_in_flight: opt.MaxInFlight = 1024,
    wait: opt.Wait = 1.0,
    mix: opt.Mix = None,
    images: opt.LoadImages = None,
    unique: opt.Unique = False,
    seed: opt.Seed = 1,
    objectives: opt.Objectives = None,
    out: opt.Out = None,
    json: Json = False,
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 30.0,
) -> None:
    """Send calls to a gateway and report latency, throughput and errors as its callers see them."""
    if context.invoked_subcommand is not None:
        return
    if [rate, concurrency, find_knee].count(None) != 2:
        raise typer.BadParameter(
            "say how much load, in one way: --rate R, --concurrency C or --find-knee 'p99<200ms'"
        )
    from trunkline.cli.load_steps import goals, loads

    with extra("trunkline loadtest", "load"):
        from trunkline.cli.load_run import Wanted, mark, picture_paths, run_and_show
        from trunkline.loadtest.plan import Setup
    sent = tuple(mix or ("classify",))
    bounds, knee = goals(sent, objectives or (), find_knee)
    steps = loads(rate, concurrency, arrivals) if knee is None else []
    setup = Setup(
        target=target,
        mix=sent,
        pictures=picture_paths(images or []),
        mark=mark() if unique else "",
        timeout_s=timeout,
        max_in_flight=max_in_flight,
        wait_s=wait,
        connections=connections,
        processes=processes,
        seed=seed,
    )
    _check_processes(processes, [max_in_flight, *(load.callers for load in steps if load.kind == "closed")])
    wanted = Wanted(setup, steps, knee, arrivals, duration, warm_up, bounds)
    if not run_and_show(wanted, out, json=json):
        raise typer.Exit(1)


def _check_processes(processes: int, callers: Sequence[int]) -> None:
    if min(callers) < processes:
        raise typer.BadParameter(f"{processes} processes cannot share {min(callers)} callers: take fewer processes")


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(metavar="A", help="report.json, or the folder of --out.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="report.json of the later test, or its folder.")],
    *,
    tolerance: Annotated[
        float,
        typer.Option(min=0.0, metavar="PERCENT", help="A figure that is worse by more than this gives status 1."),
    ] = 10.0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write compare.md and a plot of both latencies.")
    ] = None,
    json: Json = False,
) -> None:
    """Compare two load tests. The status is 1 if the later one is worse."""
    with extra("trunkline loadtest", "load"):
        from trunkline.cli.load_compare import compare_and_show
    if not compare_and_show((before, after), tolerance, out, json=json):
        raise typer.Exit(1)
