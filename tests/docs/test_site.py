"""The site builds with every link and anchor checked, and its generated pages are what the code says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import FOLDER, PAGES, results
from tests.docs.shell import ROOT

_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["'](?:https?:)?//|<link\b[^>]*\brel=["']?"""
    r"""(?:stylesheet|preload|preconnect|icon)[^>]*\bhref=["'](?:https?:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_generated_pages_are_fresh(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"


def test_every_result_of_a_benchmark_is_on_the_site_and_on_its_page():
    assert {path.name for path in results.FOLDER.iterdir()} == results.shown(), "run `make docs`"
    page = (ROOT / "docs/benchmarks/index.md").read_text(encoding="utf-8")
    assert [name for name in results.shown() if name.endswith(".md") and f"(results/{name})" not in page] == []


def test_the_site_has_every_page_and_can_be_searched(site):
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    written = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert written <= pages
    assert (site / "search/search_index.json").stat().st_size > 100_000


def test_the_site_fetches_nothing_from_another_host(site):
    fetched = {path.name for path in site.rglob("*.html") if _FETCHED.search(path.read_text(encoding="utf-8"))}
    assert not fetched
    styles = [
        path for path in site.rglob("*.css") if re.search(r"url\(['\"]?https?:", path.read_text(encoding="utf-8"))
    ]
    assert not styles


def test_the_site_documents_every_method_of_the_client(site):
    from trunkline.client import Client

    page = (site / "reference/python.html").read_text(encoding="utf-8")
    methods = [name for name in dir(Client) if not name.startswith("_")]
    assert len(methods) > 12
    for name in methods:
        assert f'id="trunkline.client.Client.{name}"' in page, name


def test_every_kind_of_remark_is_in_the_reference():
    from trunkline.training.data.remarks import Kind

    page = (FOLDER / "data-formats.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9-]+)` \|", page.partition("## Kinds of remarks")[2], re.MULTILINE)
    assert sorted(rows) == sorted(kind.value for kind in Kind)
