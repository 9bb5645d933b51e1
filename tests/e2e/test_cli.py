"""The command line as scripts see it: real processes, exit statuses, standard output and standard error."""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import ROOT, start_server
from tests.service.bundles import add_regression_head, linked_repository

COMMAND = [sys.executable, "-m", "trunkline.cli.main"]
NOBODY = "127.0.0.1:9"  # the discard port: nothing listens there
RESULT_KEYS = ["image", "head", "version", "width", "height", "labels", "timings"]


def run(*arguments, cwd=ROOT, **environment) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def coffee(samples) -> Path:
    return samples / "coffee.jpg"


@pytest.fixture
def bad(tmp_path) -> Path:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"no picture")
    return path


# Start, help, wrong use ------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy():
    heavy = "{'grpc', 'numpy', 'PIL', 'pydantic', 'onnxruntime', 'torch'}"
    code = f"import sys, trunkline.cli.main; found = {heavy} & set(sys.modules); sys.exit(str(found) if found else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_client_imports_neither_onnxruntime_nor_torch():
    code = "import sys, trunkline.client; sys.exit(len({'onnxruntime', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_printed(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("trunkline 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["classify"],
        ["classify", "photo.jpg", "--top-k", "0"],
        ["classify", "photo.jpg", "--nonsense"],
        ["classify", "photo.jpg", "--draw", "out.xyz"],
        ["regress"],
        ["regress", "photo.jpg", "--top-k", "3"],
        ["analyze", "photo.jpg"],
        ["analyze", "photo.jpg", "--head", "imagenet", "--draw", "out.xyz"],
        ["models", "show"],
        ["models", "show", "imagenet/one"],
        ["serve", "nowhere"],
        ["serve", "gateway", "--split"],
        ["serve", "--task", "classification"],
        ["serve", "--log-level", "LOUD"],
    ],
    ids=" ".join,
)
def test_wrong_use_ends_with_status_2_and_prints_nothing_on_standard_output(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trunkline: ")
    assert len(done.stderr.splitlines()) == 1
    assert " -h" in done.stderr


def test_a_picture_may_be_named_by_its_folder_and_json_is_a_list(target, coffee, tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("a.jpg", "below/b.JPG"):
        shutil.copy(coffee, tmp_path / name)
    done = run("classify", tmp_path, "--json", "--target", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert [document["image"] for document in json.loads(done.stdout)] == [
        str(tmp_path / "a.jpg"),
        str(tmp_path / "below/b.JPG"),
    ]


# classify --------------------------------------------------------------------------------------------------


def test_json_of_one_picture_is_a_list_of_one(target, coffee):
    done = run("classify", coffee, "--json", "--top-k", 3, "--target", target)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    assert list(found) == RESULT_KEYS
    assert (found["image"], found["head"], found["version"]) == (str(coffee), "imagenet", "2")
    assert (found["width"], found["height"]) == (600, 400)
    assert [sorted(label) for label in found["labels"]] == [["index", "label", "score"]] * 3
    assert found["labels"][0]["label"] == "espresso"
    assert found["labels"][0]["score"] > 0.9
    assert sorted(found["timings"]) == ["backbone_ms", "decode_ms", "head_ms", "queue_ms", "total_ms"]


def test_a_bad_picture_among_several_hides_no_other(target, coffee, bad, tmp_path):
    gone = tmp_path / "gone.jpg"
    done = run("classify", bad, coffee, gone, coffee, "--json", "--target", target)
    refused, first, missing, last = json.loads(done.stdout)
    assert done.returncode == 1
    assert list(refused) == ["image", "error"]
    assert (refused["error"]["code"], refused["error"]["reason"]) == ("INVALID_ARGUMENT", "INVALID_IMAGE")
    assert missing["error"]["reason"] == "UNREADABLE_FILE"
    assert missing["error"]["message"] == f"there is no picture {gone}"
    assert first["labels"] == last["labels"]
    assert done.stderr.splitlines() == [
        f"trunkline: {bad}: {refused['error']['message']}",
        f"trunkline: there is no picture {gone}",
    ]


def test_a_table_shows_labels_probabilities_and_times(target, coffee, bad):
    done = run("classify", bad, coffee, TRUNKLINE_TARGET=target)
    assert done.returncode == 1
    for text in (str(coffee), "600x400", "espresso", " %", "decode", "backbone", "total", " ms"):
        assert text in done.stdout
    assert len(done.stderr.splitlines()) == 1


def test_a_file_name_is_shown_as_it_is(target, coffee, tmp_path):
    odd = tmp_path / "a [red]b :smile:.jpg"
    shutil.copy(coffee, odd)
    done = run("classify", odd, "--target", target)
    assert done.returncode == 0
    assert odd.name in done.stdout


def test_the_annotated_picture_is_written(target, coffee, tmp_path):
    out = tmp_path / "new folder/out.png"
    done = run("classify", coffee, "--json", "--draw", out, "--target", target)
    assert done.returncode == 0
    json.loads(done.stdout)
    with Image.open(out) as drawn:
        assert drawn.width == 960


def test_without_any_answer_no_picture_is_written(target, bad, tmp_path):
    out = tmp_path / "out.png"
    done = run("classify", bad, "--draw", out, "--target", target)
    assert done.returncode == 1
    assert "was not written" in done.stderr
    assert not out.exists()


def test_an_unknown_head_is_one_line_that_names_those_there_are(target, coffee):
    done = run("classify", coffee, "--head", "nope", "--target", target)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"trunkline: {coffee}: there is no head 'nope'; heads served: ")
    assert "imagenet" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", [["classify"], ["regress"], ["analyze", "--head", "imagenet"]])
def test_where_nothing_answers_one_line_says_so_for_all_pictures(coffee, command):
    done = run(*command, coffee, coffee, coffee, "--target", NOBODY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"trunkline: no service answers at {NOBODY}; start one with: trunkline serve\n"


def test_json_where_nothing_answers_is_still_one_document(coffee):
    done = run("classify", coffee, coffee, "--json", "--target", NOBODY)
    assert done.returncode == 1
    assert [entry["error"]["reason"] for entry in json.loads(done.stdout)] == ["UNREACHABLE"] * 2


def test_a_reader_that_goes_away_is_met_in_silence(target, coffee):
    with subprocess.Popen(
        [*COMMAND, "classify", coffee, "--json", "--target", target], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141  # as of other programs, by SIGPIPE


def test_ctrl_c_is_one_line_and_status_130(coffee):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        with subprocess.Popen([*COMMAND, "classify", coffee, "--target", target], stderr=subprocess.PIPE) as process:
            connection, _ = silent.accept()
            with connection:
                time.sleep(0.3)
                process.send_signal(signal.SIGINT)
                assert process.wait(timeout=20) == 130
            assert process.stderr.read() == b"trunkline: stopped after 0 of 1 pictures\n"


def test_label_maps_are_saved_under_the_names_of_their_pictures(target, coffee, tmp_path):
    other = tmp_path / "other" / coffee.name
    other.parent.mkdir()
    shutil.copy(coffee, other)
    done = run("segment", coffee, other, "--head", "camvid", "--save", tmp_path / "maps/new", "--target", target)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"label maps: 2 in {tmp_path / 'maps/new'}" in done.stdout
    for name in ("coffee.png", "coffee-2.png"):
        with Image.open(tmp_path / "maps/new" / name) as found:
            assert (found.mode, found.size) == ("P", (600, 400))
            assert max(found.getextrema()) < 11
    refused = run("segment", coffee, "--head", "camvid", "--save", coffee, "--target", target)
    assert (refused.returncode, refused.stderr) == (1, f"trunkline: cannot write {coffee}: File exists\n")


def test_analyze_without_a_head_says_where_they_are_listed(coffee):
    done = run("analyze", coffee, "--target", NOBODY)
    assert done.returncode == 2
    assert f"trunkline models list --target {NOBODY}" in done.stderr


# regress ---------------------------------------------------------------------------------------------------

TARGETS = [
    {"name": "size", "unit": "mm", "kind": "number", "low": 0.0, "high": 20.0},
    {"name": "tilt", "unit": "deg", "kind": "angle", "low": 90.0, "high": 270.0},
]


@pytest.fixture(scope="module")
def measuring(models, tmp_path_factory):
    """The address of a service with the shipped heads and `measures`: a size of 12345.6 mm, a tilt of 190 deg."""
    folder = tmp_path_factory.mktemp("measuring")
    repository = linked_repository(models, folder)
    turn = math.radians(190)
    weights = np.zeros((1280, 3))
    add_regression_head(repository, "measures", TARGETS, weights, [12345.6, math.cos(turn), math.sin(turn)])
    with start_server(folder / "log", TRUNKLINE_MODELS=str(repository)) as server:
        yield server.address


def test_json_of_estimates_has_value_and_unit(measuring, coffee, tmp_path):
    out = tmp_path / "out.png"
    done = run("regress", coffee, "--head", "measures", "--json", "--draw", out, "--target", measuring)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)
    assert list(found) == ["image", "head", "version", "width", "height", "values", "timings"]
    assert (found["image"], found["head"], found["version"]) == (str(coffee), "measures", "1")
    assert (found["width"], found["height"]) == (600, 400)
    assert [list(value) for value in found["values"]] == [["name", "value", "unit"]] * 2
    assert [(value["name"], value["unit"]) for value in found["values"]] == [("size", "mm"), ("tilt", "deg")]
    assert [value["value"] for value in found["values"]] == pytest.approx([12345.6, 190])
    assert sorted(found["timings"]) == ["backbone_ms", "decode_ms", "head_ms", "queue_ms", "total_ms"]
    with Image.open(out) as drawn:
        assert drawn.width == 960


def test_estimates_are_shown_and_a_bad_picture_hides_no_other(measuring, coffee, bad):
    done = run("regress", bad, coffee, "--head", "measures", "--target", measuring)
    assert done.returncode == 1
    for text in (str(coffee), "600x400", "size", "12345.6", "mm", "tilt", "190", "deg", "measures 1", "backbone"):
        assert text in done.stdout
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "head", "call"), [("regress", "imagenet", "Classify"), ("classify", "measures", "Regress")]
)
def test_the_wrong_command_for_a_head_is_one_line_that_names_the_right_call(measuring, coffee, command, head, call):
    done = run(command, coffee, "--head", head, "--target", measuring)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"use {call} or Analyze" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_analyze_shows_and_draws_labels_and_estimates(measuring, coffee, tmp_path):
    out = tmp_path / "out.png"
    heads = ["--head", "measures", "--head", "imagenet"]
    done = run("analyze", coffee, *heads, "--draw", out, "--target", measuring)
    assert (done.returncode, done.stderr) == (0, "")
    shown = " ".join(done.stdout.split())
    for text in ("size 12345.6 mm", "tilt 190 deg", "espresso", f"annotated picture: {out}"):
        assert text in shown
    with Image.open(out) as drawn:
        assert drawn.size == (960, 640 + (4 + 2 * (1 + 2 + 1 + 5)) * 24)


def test_analyze_draws_nothing_where_every_head_failed(target, coffee, tmp_path):
    out = tmp_path / "out.png"
    done = run("analyze", coffee, "--head", "nope", "--draw", out, "--target", target)
    assert done.returncode == 1
    assert "was not written" in done.stderr
    assert not out.exists()


# analyze ---------------------------------------------------------------------------------------------------


def test_analyze_has_an_outcome_for_each_head(target, coffee):
    done = run("analyze", coffee, "--head", "imagenet", "--head", "nope", "--json", "--target", target)
    (found,) = json.loads(done.stdout)
    good, failed = found["outcomes"]
    assert done.returncode == 1
    assert good["classification"]["labels"][0]["label"] == "espresso"
    assert failed["error"]["code"] == "NOT_FOUND"
    assert (found["width"], found["height"], found["backbone_passes"]) == (600, 400, 1)
    assert done.stderr == f"trunkline: {coffee}: {failed['error']['message']}\n"


def test_analyze_shows_a_row_for_each_head(target, coffee):
    done = run("analyze", coffee, "--head", "imagenet", "--head", "nope", "--target", target)
    assert done.returncode == 1
    assert "espresso" in done.stdout
    assert "NOT_FOUND" in done.stdout


# models ----------------------------------------------------------------------------------------------------


def test_models_lists_what_is_in_the_folder(models):
    done = run("models", "list", "--json", "--models", models)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (done.returncode, done.stderr) == (0, "")
    assert rows["efficientnet-lite0"]["kind"] == "backbone"
    assert (rows["imagenet"]["task"], rows["imagenet"]["mode"]) == ("classification", "pretrained")
    assert rows["imagenet"]["versions"] == ["2"]
    assert rows["imagenet"]["size_bytes"] > 1e6
    table = run("models", "list", "--models", models).stdout
    assert "imagenet" in table
    assert "MB" in table


def test_a_broken_bundle_hides_no_other(models, tmp_path):
    repository = tmp_path / "models"
    shutil.copytree(models, repository, ignore=shutil.ignore_patterns("*.onnx"))
    (repository / "heads/broken/1").mkdir(parents=True)
    (repository / "heads/broken/1/manifest.json").write_text("{}")
    rows = {row["name"]: row for row in json.loads(run("models", "list", "--json", "--models", repository).stdout)}
    assert "manifest.json" in rows["broken"]["fault"]
    assert "is missing" in rows["imagenet"]["fault"]


def test_show_prints_the_facts_and_the_card(models):
    shown = run("models", "show", "imagenet", "--models", models)
    assert shown.returncode == 0
    assert (models / "heads/imagenet/2/CARD.md").read_text() in shown.stdout
    document = json.loads(run("models", "show", "efficientnet-lite0/1", "--json", "--models", models).stdout)
    assert (document["kind"], document["version"]) == ("backbone", "1")
    assert document["manifest"]["preprocess"]["width"] == 224


@pytest.mark.parametrize("name", ["nope", "imagenet/99"])
def test_an_unknown_model_is_one_line_that_names_those_there_are(models, name):
    done = run("models", "show", name, "--models", models)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("trunkline: ")
    assert "known: " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_models_of_a_running_service(target):
    rows = json.loads(run("models", "list", "--target", target, "--json").stdout)
    assert ("head", "imagenet") in {(row["kind"], row["name"]) for row in rows}
    shown = json.loads(run("models", "show", "imagenet", "--target", target, "--json").stdout)
    assert len(shown["labels"]) == 1000
    assert "imagenet" in run("models", "show", "imagenet", "--target", target).stdout


def test_a_missing_model_folder_is_one_line_with_what_to_do(tmp_path):
    done = run("models", "list", "--models", tmp_path / "none")
    assert done.returncode == 1
    assert "--models DIR" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# demo ------------------------------------------------------------------------------------------------------


def test_the_demo_asks_each_image_what_makes_sense_for_it_and_stops_its_service(tmp_path):
    out = tmp_path / "demo.png"
    done = run("demo", "--draw", out)
    assert (done.returncode, done.stderr) == (0, "")
    for text in ("SERVING", "espresso", "dahlia", "tabby", "street.jpg", "backbone pass", "stopped cleanly"):
        assert text in done.stdout
    digit = done.stdout.partition("digit.png")[2].partition("backbone pass")[0]
    (angle,) = re.findall(r"angle +(-?[\d.]+) deg", digit)
    assert float(angle) == pytest.approx(25, abs=8)  # it was drawn so
    street = done.stdout.partition("street.jpg")[2].partition("backbone pass")[0]
    assert [head for head in ("coco", "camvid", "pennfudan", "digit-angle") if head in street] == [
        "coco",
        "camvid",
        "pennfudan",
    ]
    for sheet in (out, tmp_path / "demo-street.png"):
        with Image.open(sheet) as drawn:
            assert drawn.width > 960


def test_the_demo_works_from_any_folder_with_a_photograph_of_ones_own(coffee, tmp_path):
    done = run("demo", coffee, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/demo.png").is_file()


def test_a_service_that_cannot_start_is_explained_by_the_demo(tmp_path):
    done = run("demo", "--models", tmp_path / "none", cwd=tmp_path)
    assert done.returncode == 1
    assert "there is no model folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_no_service_behind(photos, tmp_path, number, status):
    many = [str(photo) for photo in photos] * 100
    with subprocess.Popen(
        [*COMMAND, "demo", *many, "--draw", tmp_path / "x.png"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert any("SERVING" in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.wait(timeout=40) == status
    assert children
    assert not any(child.is_running() for child in children)
