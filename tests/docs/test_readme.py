"""The README says what the code does: settings, commands, Makefile targets, links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from trunkline.serving.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(name):
    default = Settings.model_fields[name].default
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    shown = f"`{text}`" if text else "none"
    assert f"| `TRUNKLINE_{name.upper()}` | {shown} | {Settings.model_fields[name].description} |" in README


def test_no_setting_is_documented_that_does_not_exist():
    documented = set(re.findall(r"^\| `TRUNKLINE_([A-Z_]+)`", README, re.MULTILINE))
    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`make ([a-z ]+)`", (ROOT / page).read_text())}
    assert {word for names in named for word in names.split()} <= targets


def test_every_command_that_is_shown_has_help():
    shown = set(re.findall(r"^(?:\$ )?trunkline ([a-z]+)", README, re.MULTILINE))
    assert shown
    for command in shown:
        done = subprocess.run(
            [sys.executable, "-m", "trunkline.cli.main", command, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link
    for path in re.findall(r"`(tests/[\w/.]+|services/[\w/.]+|benchmarks/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_architecture_fits_into_one_reading():
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 350


def test_the_python_example_runs(target, samples, monkeypatch):
    block = re.search(r"```python\n(from trunkline.client.*?)```", README, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(ROOT)
    exec(block.group(1).replace("127.0.0.1:8500", target), {})


def test_the_example_of_several_heads_runs(target, monkeypatch, capsys):
    block = re.search(r"```python\n(from trunkline.client import Client, HeadAsk.*?)```", README, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(ROOT)
    exec(block.group(1).replace("127.0.0.1:8500", target), {})
    shown = capsys.readouterr().out
    assert "espresso" in shown
    assert {line.split()[0] for line in shown.splitlines()[1:]} == {"camera", "chelsea", "clock"}


def test_the_tritonclient_example_runs(target):
    block = re.search(r"```python\n(import numpy as np\nimport tritonclient.*?)```", README, re.DOTALL)
    assert block is not None
    code = block.group(1).replace("127.0.0.1:8500", target)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert "espresso" in done.stdout


def test_the_plain_grpc_example_runs(target, monkeypatch, capsys):
    block = re.search(r"```python\n(import grpc.*?)```", README, re.DOTALL)
    assert block is not None
    monkeypatch.chdir(ROOT)
    exec(block.group(1).replace("127.0.0.1:8500", target), {})
    assert "espresso" in capsys.readouterr().out


def test_every_kind_of_remark_is_in_the_reference():
    from trunkline.training.data.remarks import Kind

    page = (ROOT / "docs/reference/data-formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", page.partition("## Kinds of remarks")[2], re.MULTILINE)
    assert sorted(rows) == sorted(kind.value for kind in Kind)
