"""README, ARCHITECTURE and the other pages at the top: short, and what they name exists."""

import re

import pytest

from tests.docs.shell import PAGES, ROOT

TOP = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
ALL = sorted({*TOP, *(str(page.relative_to(ROOT)) for page in PAGES)})


def test_the_readme_is_read_in_two_minutes():
    assert (ROOT / "README.md").stat().st_size <= 7000


def test_the_map_fits_on_a_screen_and_the_invariants_can_be_remembered():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert len(text.splitlines()) <= 120
    chart = text.partition("## Map\n")[2].partition("\n## ")[0]
    assert len(chart.splitlines()) <= 40
    invariants = text.partition("## Invariants\n")[2].partition("\n## ")[0]
    assert 15 <= len(re.findall(r"^\d+\. ", invariants, re.MULTILINE)) <= 22


def test_every_package_is_on_the_map():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    packages = [path.parent.name for path in (ROOT / "services/trunkline").glob("*/__init__.py")]
    assert len(packages) > 10
    assert [name for name in packages if f"`{name}/`" not in text and name != "api"] == []


def test_every_head_that_ships_is_in_the_readme_and_on_the_page_of_tasks():
    heads = [path.name for path in (ROOT / "models/heads").iterdir()]
    for page in ("README.md", "docs/tasks/index.md"):
        text = (ROOT / page).read_text()
        assert [head for head in heads if f"| `{head}` |" not in text] == []


@pytest.mark.parametrize("page", ALL)
def test_make_targets_that_are_named_exist(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"`make ([a-z -]+)`", (ROOT / page).read_text())
    assert {word for names in named for word in names.split()} <= targets


@pytest.mark.parametrize("page", TOP)
def test_links_at_the_top_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("page", ALL)
def test_paths_that_are_named_exist(page):
    text = (ROOT / page).read_text()
    folders = "tests|services|benchmarks|deploy|docs|examples|protos"
    for path in re.findall(rf"`((?:{folders})/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", ["docs/develop/request.md", "docs/develop/jobs.md"])
def test_modules_that_are_named_exist(page):
    for path in re.findall(r"`(\w+/[\w/]+\.py)`", (ROOT / page).read_text()):
        assert (ROOT / "services/trunkline" / path).exists(), path
