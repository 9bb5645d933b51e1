"""Every command of the documentation: run in the order of its page, or checked, where the page says why."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Documented
from tests.docs.shell import PAGES, ROOT, blocks, check, words_of
from trunkline.cli import main as program

BY_PAGE = {str(page.relative_to(ROOT)): blocks(page) for page in PAGES}


# Runbooks are for a cluster: tests/deploy looks at their commands.
RUN = [name for name, found in BY_PAGE.items() if any(block.runs for block in found) and "runbooks" not in name]


@pytest.mark.parametrize("page", [name for name, found in BY_PAGE.items() if found])
def test_every_command_can_be_given_as_it_is_shown(page):
    for block in BY_PAGE[page]:
        for line in block.lines:
            if "runbooks" not in page or line.startswith("trunkline "):  # the others: tests/deploy
                check(line)


@pytest.mark.parametrize("page", RUN)
def test_commands_run_as_they_are_shown(page, documented, monkeypatch, capfd):
    monkeypatch.chdir(documented.folder)
    monkeypatch.setenv("TRUNKLINE_TARGET", documented.target)
    for block in BY_PAGE[page]:
        for line in block.lines if block.runs else ():
            run(line, documented, monkeypatch)
            assert capfd.readouterr().out.strip() or "--draw" in line or "--out" in line, line


def run(line: str, documented: Documented, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command, in this process where it is ours: a start of Python each would take longer than all the rest."""
    name, *arguments = words_of(line)
    if name == "trunkline":
        monkeypatch.setattr(sys, "argv", [name, *expanded(arguments)])
        with pytest.raises(SystemExit) as ended:
            program.main()
        assert not ended.value.code, line
    elif name == "curl":
        if shutil.which("curl") is None:
            pytest.skip("needs curl")
        command = [
            name,
            "--fail",
            "--silent",
            *(word.replace("127.0.0.1:8580", documented.http) for word in arguments),
        ]
        subprocess.run(command, check=True, timeout=30)
    else:
        assert name in ("make", "pip", "python"), line  # of a clone as a whole: checked above
        print(line)


def expanded(words: list[str]) -> list[str]:
    """With `*` as a shell does it."""
    return [each for word in words for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]


def test_pages_have_commands():
    assert len(RUN) > 12
    assert sum(len(block.lines) for found in BY_PAGE.values() for block in found) > 100


def test_a_command_that_does_not_exist_is_found():
    for line in ("trunkline classify a.jpg --no-such-option", "make nothing", "TRUNKLINE_NOTHING=1 trunkline serve"):
        with pytest.raises(Exception, match=r"no-such-option|make nothing|NOTHING"):
            check(line)
