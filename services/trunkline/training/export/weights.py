"""Weights: local files, downloads, and what the manifest says of their origin."""

import hashlib
import pickle
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn

from trunkline.core.bundle import Origin
from trunkline.core.errors import InvalidRequestError, ServiceUnavailableError
from trunkline.training.data.reading import is_file, open_data

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys under which checkpoints keep their weights
_KEYS_SHOWN = 3
_LARGEST = 2**31  # bytes
_CONNECT_TIMEOUT_S = 5.0

State = Mapping[str, Tensor]


def read_state(path: Path) -> State:
    """Weights by key from a .safetensors file or one that torch saved; nothing in it is ever executed.

    Raises InvalidRequestError where the file is missing or holds no weights.
    """
    if not is_file(path):
        raise InvalidRequestError(f"there is no weights file {path}: name one that exists, or --weights none")
    try:
        with open_data(path, _LARGEST) as file:
            stored = _read(file, path)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise InvalidRequestError(f"{path} holds no weights that can be read safely") from error
    state = _unwrapped(stored)
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InvalidRequestError(f"{path} holds no table of weights (a state dict)")
    return state


def fit_state(net: nn.Module, state: State, path: Path) -> None:
    """Put all of `state` into `net`. Raises InvalidRequestError that names the first keys that do not fit."""
    wanted = net.state_dict()
    faults = [
        _fault("missing", [key for key in wanted if key not in state]),
        _fault("unexpected", [key for key in state if key not in wanted]),
        _fault(
            "of another shape",
            [key for key in wanted if key in state and state[key].shape != wanted[key].shape],
        ),
    ]
    if any(faults):
        raise InvalidRequestError(f"{path} does not fit this architecture: " + "; ".join(filter(None, faults)))
    net.load_state_dict(state, strict=True)


def file_origin(path: Path) -> Origin:
    """Origin of weights from a file of which nothing else is known; its name alone, no folder."""
    return Origin(
        source=f"local file {path.name}",
        licence="not stated: that of the file",
        data="not stated",
        weights_sha256=file_sha256(path),
    )


def random_origin() -> Origin:
    return Origin(source="random numbers (torch, seed 0)", licence="none needed", data="none")


def file_sha256(path: Path) -> str:
    with open_data(path, _LARGEST) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_host(url: str, architecture: str) -> None:
    """Find out within seconds whether a download can work; the libraries themselves try again for a minute.

    Raises ServiceUnavailableError. With a proxy nothing can be known beforehand, and nothing is checked.
    """
    parts = urlsplit(url)
    if getproxies().get(parts.scheme):
        return
    address = (parts.hostname or "", parts.port or 443)
    try:
        socket.create_connection(address, timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise no_download(architecture, f"{parts.hostname} cannot be reached") from error


def no_download(architecture: str, reason: str) -> ServiceUnavailableError:
    return ServiceUnavailableError(
        f"the weights of {architecture} cannot be downloaded ({reason}): name a local file with "
        "--weights FILE, or take random ones with --weights none"
    )


def _read(file: BinaryIO, path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load

        return load(file.read())
    return torch.load(file, map_location="cpu", weights_only=True)


def _unwrapped(stored: Any) -> dict[str, Any]:
    if not isinstance(stored, Mapping):
        return {}
    inner = next((stored[key] for key in _WRAPPERS if isinstance(stored.get(key), Mapping)), stored)
    return {str(key): value for key, value in inner.items()}


def _fault(kind: str, keys: list[str]) -> str:
    if not keys:
        return ""
    more = f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else ""
    return f"{kind} {', '.join(keys[:_KEYS_SHOWN])}{more}"
