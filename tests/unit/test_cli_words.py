"""What the command line shows: tables at 80 columns, progress without a terminal, words on Ctrl-C and wrong use."""

import io
import itertools
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from trunkline.cli import output, plain_progress
from trunkline.cli.plain_progress import PlainProgress
from trunkline.cli.stages import stages

COMMAND = [sys.executable, "-m", "trunkline.cli.main"]


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def shown(capsys, made) -> list[str]:
    output.show(made)
    return capsys.readouterr().out.splitlines()


# Tables ----------------------------------------------------------------------------------------------------


def test_words_are_cut_with_an_ellipsis_and_rows_stay_one_line(narrow, capsys):
    made = output.table("label", "probability", right=("probability",))
    made.add_row("x" * 100, "16.1 %")
    made.add_row("bobsled", "12.3 %")
    lines = shown(capsys, made)
    assert [line.rstrip()[-6:] for line in lines[3:5]] == ["16.1 %", "12.3 %"]
    assert "…" in lines[3]
    assert max(map(len, lines)) <= 80


def test_texts_go_over_several_lines_between_words(narrow, capsys):
    made = output.table("name", "fault", text=("fault",))
    made.add_row("efficientnet-lite0", " ".join(["such a long reason"] * 8))
    lines = shown(capsys, made)
    assert sum("efficientnet-lite0" in line for line in lines) == 1
    assert " ".join(" ".join(lines).split()).count("such a long reason") == 8
    assert max(map(len, lines)) <= 80


def test_digests_are_whole(narrow, capsys):
    output.show_facts([("digest", "0123456789abcdef" * 8)])
    assert "".join(capsys.readouterr().out.split()).endswith("digest" + "0123456789abcdef" * 8)


def test_a_column_without_anything_is_left_out(capsys):
    made = output.table("name", "fault", "size", right=("size",))
    made.add_row("a", "", "1 MB")
    assert "fault" not in "\n".join(shown(capsys, made))


def test_a_file_holds_words_whole(monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    made = output.table("label")
    made.add_row("x" * 300)
    assert "".join(shown(capsys, made)).count("x") == 300


@pytest.mark.parametrize("columns", [80, 100])
@pytest.mark.parametrize("command", [["list"], ["versions", "flowers102"], ["show", "imagenet"]])
def test_tables_of_models_fit_and_break_no_name(command, columns):
    environment = {**os.environ, "COLUMNS": str(columns), "TRUNKLINE_MODELS": str(ROOT / "models")}
    done = subprocess.run([*COMMAND, "models", *command], env=environment, capture_output=True, text=True, check=True)
    table = done.stdout.strip("\n").split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= columns
    if command == ["list"]:
        for name in ("efficientnet-lite0", "flowers102", "digit-angle", "classification", "pretrained", "finetune"):
            assert name in table


# Progress --------------------------------------------------------------------------------------------------


def test_a_line_each_ten_seconds_and_where_a_stage_begins(monkeypatch, capsys):
    clock = itertools.count(0, 3)
    monkeypatch.setattr(plain_progress.time, "monotonic", lambda: next(clock))
    progress = PlainProgress()
    for number in range(1, 9):
        progress.tell("features", number, 1000)
    progress.tell("epochs", 1, 30, "loss 0.500")
    assert capsys.readouterr().err.splitlines() == [
        "trunkline: features: 1 of 1,000",
        "trunkline: features: 5 of 1,000",
        "trunkline: epochs: loss 0.500, 1 of 30",
    ]


def test_each_phase_of_training_has_a_line_however_short(capsys):
    with stages() as told:
        for number in range(1, 5):
            told.stage("features", number, 4)
        for number in range(1, 4):
            told.stage("steps", 2, 2)
            told.stage("epochs", number, 30, "loss 0.500")
        told.stage("evaluation", 5, 5)
    assert capsys.readouterr().err.splitlines() == [
        "trunkline: features: 4 of 4",
        "trunkline: steps: 2 of 2",
        "trunkline: epochs: loss 0.500, 3 of 30",
        "trunkline: evaluation: 5 of 5",
    ]


def test_steps_have_no_line_where_epochs_are_short(monkeypatch, capsys):
    clock = itertools.count(0, 3)
    monkeypatch.setattr(plain_progress.time, "monotonic", lambda: next(clock))
    progress = PlainProgress()
    for number in range(1, 9):
        progress.tell("epochs", number, 30)
        progress.tell("steps", 1, 4)
    said = capsys.readouterr().err
    assert said.count("epochs") > 1
    assert "steps" not in said


def test_a_short_run_says_nothing(capsys):
    progress = PlainProgress()
    for number in range(100):
        progress.tell("pictures", number, 100)
    assert capsys.readouterr().err == ""


def on_a_terminal(code: str) -> str:
    """What a program writes to a terminal of 80 columns."""
    above, below = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=below, stderr=below, env=environment) as process:
        os.close(below)
        said = io.BytesIO()
        while True:
            try:
                part = os.read(above, 4096)
            except OSError:
                break
            if not part:
                break
            said.write(part)
    os.close(above)
    assert process.returncode == 0
    return said.getvalue().decode()


def test_a_stage_that_ends_early_is_whole_on_a_terminal():
    """As epochs are that bring nothing better."""
    code = """
from trunkline.cli.stages import stages
with stages() as told:
    for number in range(1, 30):
        told.stage("epochs", number, 33)
    told.stage("evaluation", 5, 5)
"""
    last = on_a_terminal(code).rsplit("epochs", 1)[-1]
    assert "29/29" in last
    assert "29/33" not in last


def test_nothing_is_shown_where_it_is_not_wanted(capsys):
    with stages(shown=False) as told:
        told.stage("epochs", 1, 2)
        told.line("no")
    assert capsys.readouterr().err == ""


# Ctrl-C ----------------------------------------------------------------------------------------------------


def many(folder: Path, count: int) -> Path:
    """Two classes of so many large pictures, which take a while to look at."""
    one = folder.with_name("one.jpg")
    Image.effect_noise((2000, 2000), 50).save(one)
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            os.link(one, folder / name / f"{number}.jpg")
    return folder


@pytest.mark.timeout(240)
def test_ctrl_c_says_in_one_line_what_is_left(tmp_path):
    """All processes of the command get it, as on a terminal."""
    pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")
    command = [*COMMAND, "data", "check", str(many(tmp_path / "data", 1000))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr.readline().startswith("trunkline: looking at pictures: ")  # no terminal: a line
        os.killpg(process.pid, signal.SIGINT)
        said, complained = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "")
    assert complained.splitlines()[-1] == "trunkline: stopped: the data was not looked at whole"
    assert "Traceback" not in complained


# Mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (["--split", "trian"], "no pictures of split trian; the data has ['test', 'train']"),
        (["--task", "detecton"], "task 'detecton' cannot be trained; tasks that can: "),
        (["--backbone", "nope"], "there is no backbone 'nope'"),
        (["--test-split", "train"], "cannot be learned from and evaluated on"),
    ],
)
def test_train_says_what_it_cannot_do_before_torch_is_imported(tmp_path, mistake, said):
    pytest.importorskip("faster_coco_eval", reason="needs the train extra: pip install -e '.[train]'")
    for split, name in itertools.product(("train", "test"), ("a", "b")):
        (tmp_path / "data" / split / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "data" / split / name / f"{number}.png")
    code = """
import sys
from trunkline.cli.main import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stdout)
"""
    arguments = ["train", "--data", tmp_path / "data", "--name", "x", "--models", ROOT / "models", *mistake]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_help_of_train_is_in_groups_and_flags_have_no_value_beside_them():
    done = subprocess.run(
        [*COMMAND, "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    for panel in ("Options", "Numbers (regression)", "Splits", "Net", "What the net sees", "Fitting", "Where"):
        assert f"─ {panel} ─" in done.stdout
    assert "<bool>" not in done.stdout
    assert "--column" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["segment", "a.jpg", "--masks", "foo"],
            "invalid value for '--masks': 'foo' is not one of 'png', 'rle', 'both'",
        ),
        (["clasify", "a.jpg"], "no such command 'clasify'. Did you mean 'classify'?"),
        (["classify"], "missing argument 'IMAGE|DIR'"),
        (["classify", "a.jpg", "--top-k", "0"], "invalid value for '--top-k': "),
        (["analyze", "a.jpg", "--head", "h", "--budget", "0"], "--budget 0: write SECONDS or HEAD=SECONDS"),
    ],
)
def test_wrong_use_is_one_line_in_our_own_words(arguments, said):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"trunkline: {said}")
    assert "Value error" not in line
    assert line.endswith(" -h")


def test_nothing_asked_for_is_the_help():
    done = subprocess.run([*COMMAND, "models"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: trunkline models" in done.stderr + done.stdout
