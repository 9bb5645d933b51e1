"""The options of `trunkline loadtest`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

_LOAD, _SENT, _REPORT = "Load", "What is sent", "Report"

Rate = Annotated[
    str | None,
    typer.Option(
        metavar="R",
        rich_help_panel=_LOAD,
        help="Open loop: calls per second; several steps as 10,20,40 or 10..50/10.",
    ),
]
Concurrency = Annotated[
    str | None,
    typer.Option(
        metavar="C",
        rich_help_panel=_LOAD,
        help="Closed loop: callers that ask again once answered; steps as for --rate.",
    ),
]
FindKnee = Annotated[
    str | None,
    typer.Option(
        metavar="BOUND",
        rich_help_panel=_LOAD,
        help="Search the highest rate that meets a bound such as 'p99<200ms', with at most 1 % errors.",
    ),
]
Gaps = Annotated[
    Literal["poisson", "constant"],
    typer.Option("--arrivals", rich_help_panel=_LOAD, help="Gaps between the calls of an open loop."),
]
Duration = Annotated[float, typer.Option(min=0.5, metavar="S", rich_help_panel=_LOAD, help="Seconds of each step.")]
WarmUp = Annotated[
    float,
    typer.Option(
        min=0.0, metavar="S", rich_help_panel=_LOAD, help="Seconds before the first step that do not count."
    ),
]
Processes = Annotated[int, typer.Option(min=1, max=256, rich_help_panel=_LOAD, help="Processes that share the load.")]
Connections = Annotated[
    int, typer.Option(min=1, max=1024, rich_help_panel=_LOAD, help="Connections of each process.")
]
MaxInFlight = Annotated[int, typer.Option(min=1, rich_help_panel=_LOAD, help="Open loop: most calls in flight.")]
Wait = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="S",
        rich_help_panel=_LOAD,
        help="Open loop: seconds that an arrival waits for a place before it is dropped.",
    ),
]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METHOD[:HEAD[+HEAD]][=SHARE]",
        rich_help_panel=_SENT,
        help="Kind of call, such as classify:imagenet=3; may be repeated.",
        show_default="classify",
    ),
]
LoadImages = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PHOTO|FOLDER",
        rich_help_panel=_SENT,
        help="Images to send; may be repeated.",
        show_default="32 generated ones",
    ),
]
Unique = Annotated[
    bool, typer.Option("--unique", rich_help_panel=_SENT, help="Make every image different, so that no cache helps.")
]
Seed = Annotated[int, typer.Option(min=0, rich_help_panel=_SENT, help="Seed of arrivals, mix and generated images.")]
Objectives = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        metavar="BOUND",
        rich_help_panel=_REPORT,
        help="Objective such as 'p99<200ms' or 'errors<0.1%'; may be repeated. Status 1 if a step misses one.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", rich_help_panel=_REPORT, help="Write report.json, report.md and plots."),
]
