"""Classification networks of torchvision."""

from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from trunkline.core.bundle import Origin
from trunkline.core.preprocess import PreprocessSpec
from trunkline.training.export.network import (
    POOLED,
    Network,
    first_line,
    last_of_each_stride,
    no_features,
    probe,
)
from trunkline.training.export.request import Weights
from trunkline.training.export.unknown import unknown_architecture
from trunkline.training.export.weights import (
    file_origin,
    file_sha256,
    fit_state,
    no_download,
    random_origin,
    read_state,
    require_host,
)


def load(name: str, weights: Weights) -> Network:
    """Raises NotFoundError, InvalidRequestError or ServiceUnavailableError, each with what to do."""
    architecture = f"torchvision/{name}"
    if architecture not in known():
        raise unknown_architecture(architecture, known())
    published = get_model_weights(name).DEFAULT
    net = _create(name, architecture, published) if weights == "default" else get_model(name, weights=None)
    if isinstance(weights, Path):
        fit_state(net, read_state(weights), weights)
    preset = published.transforms()
    return Network(
        architecture=architecture,
        net=net.eval(),
        extractor=_extractor(architecture, net),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        preprocess=_preprocess(preset),
        origin=_origin(published, weights),
    )


def known() -> list[str]:
    """All architectures of this library that classify."""
    return [f"torchvision/{name}" for name in list_models(module=torchvision.models)]


class AveragedFeatures(nn.Module):
    """An extractor whose `pooled` is the mean of its deepest map: (N, C, H, W) -> (N, C)."""

    def __init__(self, extractor: nn.Module, deepest: str) -> None:
        super().__init__()
        self.extractor = extractor
        self.deepest = deepest

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features: dict[str, Tensor] = self.extractor(pixels)
        return features | {POOLED: features[self.deepest].mean((2, 3))}


def _extractor(architecture: str, net: nn.Module) -> nn.Module:
    """Maps are the last tensor of each stride; pooled is the first vector after them, if it has their channels."""
    try:
        values = _node_values(net)
    except Exception as error:  # what a network says of sizes it cannot take is its own affair
        raise no_features(architecture, first_line(error)) from error
    maps = last_of_each_stride(values)
    if not maps:
        raise no_features(architecture, "none of its maps has a stride of 4, 8, 16 or 32")
    deepest = list(maps)[-1]
    vector = _pooled_node(values, maps[deepest])
    nodes = {node: name for name, node in maps.items()} | ({vector: POOLED} if vector else {})
    extractor: nn.Module = create_feature_extractor(net, nodes, suppress_diff_warning=True).eval()
    return extractor if vector else AveragedFeatures(extractor, deepest).eval()


@torch.inference_mode()
def _node_values(net: nn.Module) -> dict[str, Any]:
    """Whatever each node of the network's graph gives for `probe()`, in the order of the graph."""
    _, nodes = get_graph_node_names(net, suppress_diff_warning=True)
    values = create_feature_extractor(net, nodes[1:], suppress_diff_warning=True).eval()(probe())
    return {node: values[node] for node in nodes[1:]}


def _pooled_node(values: dict[str, Any], deepest: str) -> str | None:
    keys = list(values)
    for key in keys[keys.index(deepest) + 1 :]:
        value = values[key]
        if isinstance(value, Tensor) and value.ndim == 2:
            return key if value.shape[1] == values[deepest].shape[1] else None
    return None


def _create(name: str, architecture: str, published: Any) -> nn.Module:
    if not _cached(published).is_file():
        require_host(published.url, architecture)
    try:
        net: nn.Module = get_model(name, weights=published)
    except (OSError, RuntimeError) as error:
        raise no_download(architecture, first_line(error)) from error
    return net


def _cached(published: Any) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name


def _origin(published: Any, weights: Weights) -> Origin:
    if isinstance(weights, Path):
        return file_origin(weights)
    if weights == "none":
        return random_origin()
    return Origin(
        source=f"torchvision {torchvision.__version__.partition('+')[0]}, {published}, {published.url}",
        licence=published.meta.get("license", "BSD-3-Clause (torchvision)"),
        data="ImageNet-1k (ILSVRC 2012), as torchvision states for these weights",
        weights_sha256=file_sha256(_cached(published)),
    )


def _preprocess(preset: Any) -> PreprocessSpec:
    crop, resize = preset.crop_size[0], preset.resize_size[0]
    side = max(32, round(crop / 32) * 32)
    bilinear = preset.interpolation.value == "bilinear"
    return PreprocessSpec(
        width=side,
        height=side,
        crop_share=min(1.0, crop / resize),
        interpolation="bilinear" if bilinear else "bicubic",
    )
