"""Settings are read once, checked, and refused with what to do."""

import pytest

from trunkline.core.errors import ConfigurationError
from trunkline.serving.settings import read_settings


def test_settings_come_from_the_environment_and_arguments_win(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_ADDRESS", "0.0.0.0:9000")
    monkeypatch.setenv("TRUNKLINE_HEADS", "imagenet, pets")
    assert read_settings().address == "0.0.0.0:9000"
    assert read_settings().heads == ("imagenet", "pets")
    assert read_settings(address="127.0.0.1:1", heads=None).address == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADDRESS", "nowhere"),
        ("THREADS", "-1"),
        ("THREADS", "many"),
        ("MAX_QUEUE", "0"),
        ("REFRESH_S", "0"),
        ("LOG_LEVEL", "FOO"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"TRUNKLINE_{name}", value)
    with pytest.raises(ConfigurationError, match=f"TRUNKLINE_{name}"):
        read_settings()


def test_threads_follow_the_cores_unless_they_are_set(monkeypatch):
    from trunkline.core.cpu import available_cores

    assert read_settings().worker_threads == available_cores()
    assert read_settings(threads=5).worker_threads == 5
