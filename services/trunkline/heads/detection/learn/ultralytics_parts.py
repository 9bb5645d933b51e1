"""Ultralytics, imported where it is used alone: quiet, offline, installing nothing, keeping nothing.

It is an extra of its own, under AGPL-3.0. Left to itself it looks up hosts, writes a settings file into the home
folder that lets it send events, and installs packages that it misses.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from tempfile import TemporaryDirectory
from typing import Any

from trunkline.core.errors import ConfigurationError

_SWITCHES = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}
_FOLDER = "YOLO_CONFIG_DIR"


@dataclass(frozen=True)
class Parts:
    """Detect, Conv, C2f: classes of modules. detection_loss: class of the loss. initialise: of weights, in place."""

    detect: Any
    conv: Any
    c2f: Any
    detection_loss: Any
    initialise: Any


@cache
def ultralytics_parts() -> Parts:
    """Raises ConfigurationError where Ultralytics is not installed."""
    if importlib.util.find_spec("ultralytics") is None:
        raise ConfigurationError(
            "--net yolo needs Ultralytics (AGPL-3.0), which is not installed: pip install 'trunkline[ultralytics]'"
        )
    with _kept_to_itself():
        settings = importlib.import_module("ultralytics").settings
        settings.update({"sync": False})
        modules = importlib.import_module("ultralytics.nn.modules")
        return Parts(
            detect=modules.Detect,
            conv=modules.Conv,
            c2f=modules.C2f,
            detection_loss=importlib.import_module("ultralytics.utils.loss").v8DetectionLoss,
            initialise=importlib.import_module("ultralytics.utils.torch_utils").initialize_weights,
        )


@contextmanager
def _kept_to_itself() -> Iterator[None]:
    """The switches stay, as it reads some of them later; its folder of settings goes once it is imported."""
    os.environ.update(_SWITCHES)
    before = os.environ.get(_FOLDER)
    with TemporaryDirectory(prefix="trunkline-yolo-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[_FOLDER]
            else:
                os.environ[_FOLDER] = before
