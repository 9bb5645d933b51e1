"""Runbooks name what there is: commands, options, values, files, panels and every alert."""

import json
import re
import shlex
import subprocess
import sys

import pytest
import yaml

from tests.deploy.chart import CHART, ROOT, VALUES

FOLDER = ROOT / "docs/operate/runbooks"
PAGES = {path.name: path.read_text() for path in sorted(FOLDER.glob("*.md"))}
ALL = "\n".join(PAGES.values())
OBSERVABILITY = ROOT / "deploy/observability"


def commands() -> list[list[str]]:
    """Every `trunkline …`, as words, without those that stand for something."""
    found = re.findall(r"^ *trunkline (.+)$|`trunkline ([^`]+)`", ALL, re.MULTILINE)
    return [shlex.split(block or inline) for block, inline in found]


def test_every_alert_has_its_paragraph_and_no_other_has():
    rules = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"][0]["rules"]
    assert re.findall(r"^## (\w+)", PAGES["alerts.md"], re.MULTILINE) == [rule["alert"] for rule in rules]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_and_option_exists(command):
    names = [word for word in command[:2] if re.fullmatch("[a-z]+", word)]
    if names[0] in ("classify",):
        names = names[:1]
    done = subprocess.run(
        [sys.executable, "-m", "trunkline.cli.main", *names, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in (word for word in command if word.startswith("--")):
        assert option in done.stdout


def test_there_are_commands():
    assert len(commands()) >= 8


def test_every_value_that_is_named_exists():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    named = re.findall(r"(?:--set |`)((?:[a-z]\w*\.)+[a-zA-Z]\w*)(?:=|`)", ALL)
    named = [path for path in named if not path.endswith((".json", ".yml", ".yaml", ".md", ".db", ".dump"))]
    assert len(named) >= 8
    for path in named:
        node = values
        for part in path.split("."):
            if part.startswith("TRUNKLINE_"):
                break
            known = {**values["defaults"], **node} if "resources" in node or node is values["colocated"] else node
            assert part in known, path
            node = known[part]


def test_every_values_file_is_in_the_table_of_the_installation():
    for name in VALUES:
        assert f"`{name}`" in PAGES["install.md"]


def test_every_panel_that_is_named_is_on_the_dashboard():
    panels = json.loads((OBSERVABILITY / "dashboard.json").read_text())["panels"]
    titles = " ".join(panel["title"] for panel in panels)
    named = set(re.findall(r'"([^"\n]+)"', PAGES["dashboard.md"] + PAGES["models.md"])) - {"bug in"}
    assert len(named) > 10
    assert [each for each in named if each not in titles] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#:]+)\)", PAGES[page])
    assert [link for link in links if not (FOLDER / link).exists()] == []
    for path in re.findall(r"`(deploy/[\w./-]+)`", PAGES[page]):
        assert (ROOT / path).exists(), path
