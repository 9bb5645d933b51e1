"""Options of every command that calls a service: TLS, certificates, and who asks."""

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from trunkline.cli.options import check_target

_PANEL = "Connection"
_File = Path | None


def _file(flag: str, text: str) -> Any:
    name = f"TRUNKLINE_{flag.removeprefix('--').replace('-', '_').upper()}"
    return typer.Option(flag, envvar=name, metavar="FILE", help=text, rich_help_panel=_PANEL)


def _options(
    tls: Annotated[
        bool, typer.Option("--tls", envvar="TRUNKLINE_TLS", help="Encrypt the connection.", rich_help_panel=_PANEL)
    ] = False,
    ca: Annotated[
        _File, _file("--ca", "PEM file of the CA to trust, in place of those that gRPC brings; means --tls.")
    ] = None,
    cert: Annotated[_File, _file("--cert", "PEM file of the certificate to show; means --tls.")] = None,
    key: Annotated[_File, _file("--key", "PEM file of the private key of --cert.")] = None,
    token_file: Annotated[
        _File, _file("--token-file", "File with the key or token to send; TRUNKLINE_TOKEN has one itself.")
    ] = None,
) -> None:
    """Set for this process, and for those that it starts to call the same service."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's core has a line of its own for each handshake that fails
    if tls:
        os.environ["TRUNKLINE_TLS"] = "1"
    for name, path in (("CA", ca), ("CERT", cert), ("KEY", key), ("TOKEN_FILE", token_file)):
        if path is not None:
            os.environ[f"TRUNKLINE_{name}"] = str(path.absolute())


_PARAMETERS = tuple(inspect.signature(_options).parameters.values())
_NAMES = tuple(each.name for each in _PARAMETERS)


def add_to(app: typer.Typer) -> None:
    """To each command of the app, and of those below it, that has a target."""
    for command in app.registered_commands:
        if command.callback is not None and _has_target(command.callback):
            command.callback = _connecting(command.callback)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_to(group.typer_instance)


def _has_target(command: Callable[..., Any]) -> bool:
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    return any(
        getattr(found, "callback", None) is check_target
        for each in parameters
        for found in get_args(each.annotation)[1:]
    )


def _connecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with these options behind its own."""

    @functools.wraps(command)
    def run(*arguments: Any, **given: Any) -> Any:
        _options(**{name: given.pop(name) for name in _NAMES})
        return command(*arguments, **given)

    own = inspect.signature(command, eval_str=True)
    added = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in _PARAMETERS]
    run.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    return run
