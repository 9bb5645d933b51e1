"""Messages of the command line say what to do instead."""

from pathlib import Path

import pytest
from PIL import Image

from trunkline.cli.ask import Asked, complain_about
from trunkline.cli.draw import save_picture
from trunkline.client import ServiceError
from trunkline.serving.misspelt import misspelt


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TRUNKLINE_MAXQUEUE", "TRUNKLINE_MAX_QUEUE"),
        ("TRUNKLINE_MAX_QUEU", "TRUNKLINE_MAX_QUEUE"),
        ("TRUNKLINE_HTTP_ADRESS", "TRUNKLINE_HTTP_ADDRESS"),
    ],
)
def test_a_variable_that_is_nearly_a_setting_is_told(name, meant):
    assert list(misspelt([name])) == [(name, meant)]


@pytest.mark.parametrize(
    "name",
    [
        "TRUNKLINE_MAX_QUEUE",
        "TRUNKLINE_TARGET",
        "TRUNKLINE_PORT_8500_TCP_ADDR",
        "TRUNKLINE_HEADS_SERVICE_HOST",
        "HOME",
    ],
)
def test_settings_and_what_others_set_are_not(name):
    assert list(misspelt([name])) == []


def test_the_command_of_a_task_is_named(capsys):
    error = ServiceError(
        "INVALID_ARGUMENT", "WRONG_TASK", "head 'camvid' does segmentation", {"task": "segmentation"}
    )
    assert complain_about([Asked(Path("x.jpg"), error=error)])
    said = "trunkline: x.jpg: head 'camvid' does segmentation; here: trunkline segment\n"
    assert capsys.readouterr().err == said


def test_a_drawing_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot write .*file/out\.png: "):
        save_picture(Image.new("RGB", (1, 1)), tmp_path / "file/out.png")
