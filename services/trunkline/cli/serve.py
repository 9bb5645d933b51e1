"""`trunkline serve`: settings from environment and options, then the assembly does the rest."""

import asyncio
import os
from enum import StrEnum
from typing import Annotated

import typer

from trunkline.cli.options import Models
from trunkline.cli.output import complain


class Role(StrEnum):
    GATEWAY = "gateway"
    BACKBONE = "backbone"
    HEAD = "head"
    CATALOG = "catalog"
    TRAINING = "training"


class LogLevel(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def serve(
    role: Annotated[
        Role | None,
        typer.Argument(
            metavar="ROLE",
            help="Run only this service: gateway, backbone, head, catalog or training.",
            show_default="all in one",
        ),
    ] = None,
    *,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="With `head`: only heads of this task.")] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Run each service as a local process, under a supervisor.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Address to listen on.", show_default="127.0.0.1:8500 (training: 8504)"
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Address for HTTP and JSON.", show_default="off"),
    ] = None,
    models: Models = None,
    backbone_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With `gateway`: address of a backbone service; may be repeated.",
            show_default="127.0.0.1:8501",
        ),
    ] = None,
    head_address: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With `gateway`: address of a head service; may be repeated.",
            show_default="127.0.0.1:8502",
        ),
    ] = None,
    catalog_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="With `gateway`: address of the catalog service.", show_default="127.0.0.1:8503"
        ),
    ] = None,
    training_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With `gateway`: address of the training service.",
            show_default="127.0.0.1:8504",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Worker threads.", show_default="cores that may be used")
    ] = None,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            case_sensitive=False, metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR.", show_default="INFO"
        ),
    ] = None,
    metrics_address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Address of /metrics for Prometheus.", show_default="off")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Listen beyond loopback in plain text, or to callers that nobody knows."),
    ] = False,
) -> None:
    """Serve heads over gRPC until SIGTERM or Ctrl-C: all in one process, one service of it, or --split.

    Every setting can also be given as an environment variable TRUNKLINE_NAME, such as TRUNKLINE_MODELS.
    """
    _check_use(role, task, split)
    from trunkline.serving.parent import end_with_parent

    end_with_parent()
    from trunkline.serving.misspelt import misspelt
    from trunkline.serving.settings import read_settings

    settings = read_settings(
        address=address,
        http_address=http,
        models=models,
        backbone_addresses=tuple(backbone_address) if backbone_address else None,
        head_addresses=tuple(head_address) if head_address else None,
        catalog_address=catalog_address,
        training_address=training_address,
        threads=threads,
        log_level=log_level,
        metrics_address=metrics_address,
        insecure=insecure or None,
    )
    for name, meant in misspelt(os.environ):
        complain(f"{name} is not a setting and is ignored; did you mean {meant}?")
    if split:
        from trunkline.assembly.split import run_split

        asyncio.run(run_split(settings))
    else:
        from trunkline.serving.connections import raise_descriptor_limit
        from trunkline.serving.loop import quieten_core, run_loop, set_up_forks
        from trunkline.serving.memory import keep_large_apart

        set_up_forks()
        quieten_core()
        keep_large_apart()
        raise_descriptor_limit()
        from trunkline.assembly.run import run_role

        run_loop(run_role(role, settings, task=task))


def _check_use(role: Role | None, task: str | None, split: bool) -> None:
    if split and role is not None:
        raise typer.BadParameter(f"--split starts every service: leave out {role.value!r}")
    if task is not None and role is not Role.HEAD:
        raise typer.BadParameter("--task is for `trunkline serve head`")
