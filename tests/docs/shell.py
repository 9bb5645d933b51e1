"""Shell blocks of the documentation, and a check of commands that are not run."""

import importlib.util
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path

import typer

from trunkline.cli.main import app
from trunkline.serving.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "results" not in path.parts)]
_BLOCK = re.compile(r"(<!-- parsed: [^\n]+ -->\s*\n)?^( *)```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Z][A-Z_]+)=")
# Names that other programs read, and those of ours that are no setting of a service.
_OTHER_NAMES = {"TRUNKLINE_TARGET", "TRUNKLINE_CONTAINER_CALLS"}
# Programs that are no part of this project. Their commands are checked as far as they name files of it; helm's and
# kubectl's in tests/deploy.
_OTHERS = {"ctr", "curl", "helm", "kind", "kubectl", "podman", "podman-compose", "prometheus", "sudo"}


@dataclass(frozen=True)
class Block:
    """Lines of a shell block. runs: whether they are run, or only checked."""

    page: Path
    lines: tuple[str, ...]
    runs: bool


def blocks(page: Path) -> list[Block]:
    """The shell blocks of a page, lines that end in a backslash joined."""
    found = []
    for mark, _, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
        lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
        found.append(Block(page, tuple(line for line in lines if line), runs=not mark))
    return found


def words_of(line: str) -> list[str]:
    """As a shell splits it, without comments."""
    return shlex.split(line, comments=True)


def check(line: str) -> None:
    """Fails where a command cannot be what it says: names, options, settings, extras, targets, files."""
    words = words_of(line)
    while words and (words[0] == "export" or _ASSIGNMENT.match(words[0])):
        _check_setting(words.pop(0))
    if not words:
        return
    program, *arguments = words
    if program == "trunkline":
        _check_trunkline(arguments)
    elif program == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert {word for word in arguments if "=" not in word} <= targets, line
    elif program == "pip":
        _check_extras(line)
    elif program == "python":
        assert importlib.util.find_spec(arguments[1]) is not None, line
    elif program == "torchrun":
        _check_trunkline(arguments[arguments.index("trunkline.cli.main") + 1 :])
    else:
        assert program in _OTHERS, line
        for word in arguments:
            if word.startswith("deploy/"):
                assert (ROOT / word).exists(), line


def _check_setting(word: str) -> None:
    name = word.partition("=")[0]
    if name.startswith("TRUNKLINE_") and name not in _OTHER_NAMES:
        assert name.removeprefix("TRUNKLINE_").lower() in Settings.model_fields, name


def _check_trunkline(arguments: list[str]) -> None:
    """Parse the arguments as the program does, without running the command."""
    command, name = typer.main.get_command(app), "trunkline"
    while arguments and arguments[0] in getattr(command, "commands", {}):
        name, *arguments = arguments
        command = command.commands[name]
    command.make_context(name, arguments)


def _check_extras(line: str) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (named,) = re.findall(r"'\.\[([a-z0-9,]+)\]'", line)
    assert set(named.split(",")) <= set(known), line
