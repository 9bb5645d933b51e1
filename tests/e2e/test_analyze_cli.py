"""`trunkline analyze` over folders: order, the file of results, what a killed run or a restarted service leaves."""

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port, start_server
from tests.e2e.test_cli import COMMAND, NOBODY, run

MANY = 100
WITHIN_S = 120


@pytest.fixture
def folder(photos, tmp_path) -> Path:
    """The sample photographs in a folder and one below it, a broken picture, and what is no picture."""
    for name, photo in zip(("b.jpg", "a.jpg", "sub/d.jpg", "sub/c.jpg"), photos, strict=False):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, tmp_path / "photos" / name)
    (tmp_path / "photos/sub/broken.png").write_bytes(b"no picture")
    (tmp_path / "photos/notes.txt").write_text("no picture either")
    return tmp_path / "photos"


@pytest.fixture
def many(photos, tmp_path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(MANY):
        shutil.copy(photos[number % len(photos)], folder / f"{number:04}.jpg")
    return folder


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


def names(documents: list[dict]) -> list[str]:
    return [Path(document["image"]).name for document in documents]


@contextlib.contextmanager
def running(*arguments) -> Iterator[subprocess.Popen]:
    command = [*COMMAND, "analyze", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for_lines(path: Path, count: int, process: subprocess.Popen) -> None:
    ends_at = time.monotonic() + WITHIN_S
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < ends_at, "not within time"
        time.sleep(0.01)


def check_whole(out: Path) -> None:
    found = lines(out)
    assert sorted(names(found)) == [f"{number:04}.jpg" for number in range(MANY)]
    assert all(document["outcomes"][0]["classification"]["labels"] for document in found)


# Folders ---------------------------------------------------------------------------------------------------


def test_a_folder_is_one_json_document_in_a_stable_order_in_both_forms(either_form, folder):
    done = run("analyze", folder, "--head", "imagenet", "--json", "--target", either_form.address)
    found = json.loads(done.stdout)
    assert done.returncode == 1  # the broken one
    assert names(found) == ["a.jpg", "b.jpg", "broken.png", "c.jpg", "d.jpg"]
    assert [document.get("error", {}).get("reason") for document in found] == [
        None,
        None,
        "INVALID_IMAGE",
        None,
        None,
    ]
    assert len(done.stderr.splitlines()) == 1
    (made,) = found[0]["passes"]
    times = ["preprocess_fingerprint", "queue_ms", "decode_ms", "backbone_ms"]
    assert list(made) == [*times, "backbone", "spec", "heads"]
    assert made["backbone_ms"] > 0


def test_parameters_and_budgets_reach_their_heads(target, folder):
    heads = ["--head", "imagenet", "--head", "imagenet/2"]
    more = ["--param", "imagenet.top_k=2", "--budget", "imagenet/2=0.00001"]
    done = run("analyze", folder / "a.jpg", *heads, *more, "--json", "--target", target)
    first, late = json.loads(done.stdout)[0]["outcomes"]
    assert done.returncode == 1
    assert len(first["classification"]["labels"]) == 2
    assert late["error"]["code"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--param", "top_k=3"],
        ["--out", "results.jsonl", "--json"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_status_2(folder, wrong, tmp_path):
    done = run("analyze", folder, "--head", "imagenet", *wrong, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results.jsonl").exists()


def test_a_folder_without_pictures_is_one_line(target, tmp_path):
    done = run("analyze", tmp_path, "--head", "imagenet", "--target", target)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"trunkline: there is no picture in {tmp_path}")
    assert len(done.stderr.splitlines()) == 1


# Results ---------------------------------------------------------------------------------------------------


def test_each_picture_gets_a_line_and_a_second_run_asks_only_about_new_ones(either_form, folder, tmp_path):
    out = tmp_path / "results.jsonl"
    arguments = ["analyze", folder, "--head", "imagenet", "--out", out, "--target", either_form.address]
    first = run(*arguments)
    assert (first.returncode, first.stdout) == (1, "")
    assert first.stderr == f"trunkline: {out}: 5 pictures asked about, 1 with a failure\n"
    before = out.read_bytes()
    again = run(*arguments)
    assert again.returncode == 0
    assert again.stderr == f"trunkline: {out}: 0 pictures asked about, 5 were there, 0 with a failure\n"
    assert out.read_bytes() == before
    shutil.copy(folder / "a.jpg", folder / "new.jpg")
    assert run(*arguments).returncode == 0
    assert sorted(names(lines(out))) == ["a.jpg", "b.jpg", "broken.png", "c.jpg", "d.jpg", "new.jpg"]
    assert out.read_bytes().startswith(before)


def test_where_nothing_answers_one_line_says_so_and_no_picture_counts_as_done(folder, tmp_path):
    out = tmp_path / "results.jsonl"
    done = run("analyze", folder, "--head", "imagenet", "--out", out, "--target", NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline: no service answers at {NOBODY}; start one with: trunkline serve\n"
    assert lines(out) == []


def test_a_run_that_was_killed_is_taken_up_where_it_was(target, many, tmp_path):
    out = tmp_path / "results.jsonl"
    arguments = [many, "--head", "imagenet", "--out", out, "--target", target]
    with running(*arguments) as process:
        wait_for_lines(out, 10, process)
        process.kill()
    kept = lines(out)
    assert 10 <= len(kept) < MANY
    with out.open("ab") as file:
        file.write(b'{"image": "half of a li')  # as a kill in the middle of a write would leave it
    done = run("analyze", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"{MANY - len(kept)} pictures asked about, {len(kept)} were there" in done.stderr
    assert lines(out)[: len(kept)] == kept
    check_whole(out)


def test_ctrl_c_leaves_whole_lines_and_ends_with_status_130(target, many, tmp_path):
    out = tmp_path / "results.jsonl"
    with running(many, "--head", "imagenet", "--out", out, "--target", target) as process:
        wait_for_lines(out, 10, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert "Traceback" not in process.stderr.read()
    assert out.read_bytes().endswith(b"\n")
    assert 10 <= len(lines(out)) < MANY


@pytest.mark.parametrize(
    ("form", "end"), [((), signal.SIGKILL), (("--split",), signal.SIGTERM)], ids=["killed", "split, stopped"]
)
def test_a_run_goes_on_over_a_restart_of_the_service(form, end, many, tmp_path):
    out, address = tmp_path / "results.jsonl", f"127.0.0.1:{free_port()}"
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            start_server(tmp_path / "log", *form, address=address, TRUNKLINE_HEADS="imagenet")
        )
        process = stack.enter_context(running(many, "--head", "imagenet", "--out", out, "--target", address))
        wait_for_lines(out, 10, process)
        server.process.send_signal(end)
        server.process.wait(timeout=60)
        assert len(lines(out)) < MANY
        stack.enter_context(start_server(tmp_path / "log2", *form, address=address, TRUNKLINE_HEADS="imagenet"))
        assert process.wait(timeout=WITHIN_S) == 0, process.stderr.read()
    check_whole(out)


def test_a_terminal_shows_how_far_it_is(target, folder, tmp_path):
    leader, follower = pty.openpty()
    out = tmp_path / "results.jsonl"
    command = [*COMMAND, "analyze", folder, "--head", "imagenet", "--out", out, "--target", target]
    with subprocess.Popen(command, cwd=ROOT, stderr=follower, env={**os.environ, "TERM": "xterm"}) as process:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal whose other end is gone
            while part := os.read(leader, 4096):
                shown += part
        assert process.wait(timeout=WITHIN_S) == 1
    os.close(leader)
    for text in (b"5/5", b"/s", b"1 failed", b"5 pictures asked about"):
        assert text in shown
