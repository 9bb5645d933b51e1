"""docs/reference/cli.md, from the commands of the program."""

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from docs.generate.tables import table
from trunkline.cli.main import app

_INTRODUCTION = """\
# Command line

This page is generated from `services/trunkline/cli` by `python -m docs.generate`. Every command has `--help`.

`--json` prints one JSON document on standard output and nothing else; of images it is a list with one entry for each.
The exit status is 0 for success, 2 for wrong use, 130 after Ctrl-C and 1 for any other error; an error is one line
that says what to do. `TRUNKLINE_TARGET` sets `--target` for all commands.
"""


def page() -> str:
    """The page, Markdown."""
    return "\n".join([_INTRODUCTION, *_sections("trunkline", typer.main.get_command(app))])


def _sections(name: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", {})
    if not children or getattr(command, "invoke_without_command", False):
        yield _section(name, command)
    for each, child in children.items():
        yield from _sections(f"{name} {each}", child)


def _section(name: str, command: Any) -> str:
    parts = [f"## {name}", command.help or "", f"```text\n{_usage(name, command)}\n```"]
    options = [_option(each) for each in command.params if each.param_type_name == "option"]
    arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
    parts += [table(("argument", "meaning"), arguments), table(("option", "default", "meaning"), options)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _usage(name: str, command: Any) -> str:
    arguments = [
        _metavar(each) if each.required else f"[{_metavar(each)}]"
        for each in command.params
        if each.param_type_name == "argument"
    ]
    return " ".join([name, *arguments, "[OPTIONS]"])


def _metavar(argument: Any) -> str:
    name = str(argument.metavar or argument.name.upper())
    return name + ("…" if argument.nargs == -1 and not name.endswith("…") else "")


def _argument(argument: Any) -> tuple[str, str]:
    return f"`{_metavar(argument)}`", argument.help or ""


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{option.metavar or _placeholder(option.type_descriptor.annotation)}`"
    return names + value, _default(option), option.help or ""


def _placeholder(kind: Any) -> str:
    """What stands for a value of a type, or of an item of a list: its choices, else the kind of value."""
    choices = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) is Literal:
        return "|".join(map(str, choices))
    item = choices[0] if choices else kind
    if isinstance(item, type) and issubclass(item, Enum):
        return "|".join(str(each.value) for each in item)
    return {str: "TEXT", int: "INTEGER", float: "NUMBER", Path: "PATH"}.get(item, "VALUE")


def _default(option: Any) -> str:
    if isinstance(option.show_default, str):
        return option.show_default
    default = getattr(option.default, "value", option.default)
    if callable(default) or default in (None, False, (), []) or option.show_default is False:
        return ""
    return f"`{' '.join(map(str, default)) if isinstance(default, list | tuple) else default}`"
