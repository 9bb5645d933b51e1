"""Wrong use of the command line, as one line that says what to do."""

import re
from typing import Any, Final

import typer

from trunkline.cli.output import complain

STATUS: Final = 2
ERRORS: Final[type[Exception]] = typer.BadParameter.__mro__[2]  # what click raises, whichever click typer brings
_WORDS_OF_A_LIBRARY: Final = re.compile(r"(?<!\w)Value error, |^Invalid value: |(?<=: )Input (?=should be)")


def command_of(app: typer.Typer) -> Any:
    """The command of an app, in whose help flags have no value beside them."""
    command = typer.main.get_command(app)
    _bare_flags(command, None)
    return command


def _bare_flags(command: Any, above: Any) -> None:
    context = command.context_class(command, parent=above, **command.context_settings)
    for param in command.get_params(context):  # that of --help too, which is kept from then on
        if getattr(param, "is_flag", False) and param.metavar is None:
            param.metavar = ""
    for below in getattr(command, "commands", {}).values():
        _bare_flags(below, context)


def complain_about(error: Exception) -> None:
    """One line on standard error; the help where nothing was asked for."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
    else:
        complain(_line_of(error))


def _line_of(error: Exception) -> str:
    """The message, and which help has more."""
    context: Any = getattr(error, "ctx", None)
    message = str(getattr(error, "format_message", lambda: error)()).strip()
    text = _WORDS_OF_A_LIBRARY.sub("", " ".join(message.split())).rstrip(".")
    text = text if text.startswith(("-", "'")) else text[:1].lower() + text[1:]
    return f"{text}; see: {context.command_path} -h" if context is not None else text
