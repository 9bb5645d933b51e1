"""Networks of timm."""

from pathlib import Path
from typing import Any

import huggingface_hub
import timm
import torch
from timm.models.efficientnet import EfficientNet
from torch import Tensor, nn

from trunkline.core.bundle import Origin
from trunkline.core.errors import TrunklineError
from trunkline.core.preprocess import PreprocessSpec
from trunkline.training.export.network import (
    POOLED,
    Network,
    first_line,
    last_of_each_stride,
    no_features,
    probe,
    stride_of,
)
from trunkline.training.export.request import Weights
from trunkline.training.export.unknown import unknown_architecture
from trunkline.training.export.weights import (
    file_origin,
    fit_state,
    no_download,
    random_origin,
    read_state,
    require_host,
)

_POOLING_TOLERANCE = 1e-4


def load(name: str, weights: Weights) -> Network:
    """Raises NotFoundError, InvalidRequestError or ServiceUnavailableError, each with what to do."""
    architecture = f"timm/{name}"
    if not timm.is_model(name):
        raise unknown_architecture(architecture, known())
    net = _create(name, architecture) if weights == "default" else timm.create_model(name)
    if isinstance(weights, Path):
        fit_state(net, read_state(weights), weights)
    return describe(architecture, net, _origin(net, weights))


def describe(architecture: str, net: nn.Module, origin: Origin) -> Network:
    """A Network of a timm module. Raises InvalidRequestError where it has no usable features."""
    net.eval()
    cfg: dict[str, Any] = net.pretrained_cfg  # type: ignore[assignment]
    return Network(
        architecture=architecture,
        net=net,
        extractor=_extractor(architecture, net).eval(),
        mean=cfg["mean"],
        std=cfg["std"],
        preprocess=_preprocess(cfg),
        origin=origin,
    )


def known() -> list[str]:
    """All architectures of this library."""
    return [f"timm/{name}" for name in timm.list_models()]


class BlockFeatures(nn.Module):
    """Features of an EfficientNet, the output of the stage before the last among them.

    float32 (N, 3, H, W) -> c2 c3 c4 c5, pooled and, where the last two stages both have stride 32, `stage<I>`,
    which is what a fine-tuned copy of the last stage alone would take.
    """

    def __init__(self, net: EfficientNet) -> None:
        super().__init__()
        self.net = net
        with torch.inference_mode():
            stages = self._stages(probe())
        self.keys = last_of_each_stride(stages)
        before_last = str(len(stages) - 2)
        if stride_of(stages.get(before_last)) == 32:
            self.keys[f"stage{before_last}"] = before_last

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        stages = self._stages(pixels)
        last = stages[str(len(stages) - 1)]
        features = {name: stages[key] for name, key in self.keys.items()}
        features[POOLED] = self.net.forward_head(self.net.bn2(self.net.conv_head(last)), pre_logits=True)
        return features

    def _stages(self, pixels: Tensor) -> dict[str, Tensor]:
        value = self.net.bn1(self.net.conv_stem(pixels))
        stages: dict[str, Tensor] = {}
        for index, stage in enumerate(self.net.blocks):
            value = stages[str(index)] = stage(value)
        return stages


class IntermediateFeatures(nn.Module):
    """Features of any timm network that gives out its intermediate maps; float32 (N, 3, H, W) -> by name.

    pooled is the vector before the classifier where that depends on the mean of the last map alone; else, as
    with VGG, whose head sees where things are, it is the mean of c5.
    """

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net
        with torch.inference_mode():
            final, maps = net.forward_intermediates(probe())
            self.keys = last_of_each_stride({str(index): value for index, value in enumerate(maps)})
            self.pools = _pools(net, final)
        self.names = sorted(self.keys, key=lambda name: int(self.keys[name]))  # in the order of the maps
        self.indices = [int(self.keys[name]) for name in self.names]

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        final, maps = self.net.forward_intermediates(pixels, indices=self.indices)
        features = dict(zip(self.names, maps, strict=True))
        features[POOLED] = self.net.forward_head(final, pre_logits=True) if self.pools else maps[-1].mean((2, 3))
        return features


def _extractor(architecture: str, net: nn.Module) -> nn.Module:
    if isinstance(net, EfficientNet):
        return BlockFeatures(net)
    try:
        found = IntermediateFeatures(net)
    except Exception as error:  # what a network says of sizes it cannot take is its own affair
        raise no_features(architecture, first_line(error)) from error
    if not found.keys:
        raise no_features(architecture, "none of its maps has a stride of 4, 8, 16 or 32")
    return found


def _pools(net: Any, final: Tensor) -> bool:
    if final.ndim != 4:
        return False
    whole = net.forward_head(final, pre_logits=True)
    of_mean = net.forward_head(final.mean((2, 3), keepdim=True), pre_logits=True)
    return whole.ndim == 2 and torch.allclose(whole, of_mean, rtol=_POOLING_TOLERANCE, atol=_POOLING_TOLERANCE)


def _create(name: str, architecture: str) -> nn.Module:
    cfg = timm.models.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise no_download(architecture, "timm has none for it")
    _require_source(cfg, architecture)
    try:
        net: nn.Module = timm.create_model(name, pretrained=True)
    except TrunklineError:
        raise
    except Exception as error:  # HTTP clients, file systems and caches each have their own
        raise no_download(architecture, first_line(error)) from error
    return net


def _require_source(cfg: Any, architecture: str) -> None:
    if not cfg.hf_hub_id:
        require_host(cfg.url, architecture)
        return
    files = ("model.safetensors", "pytorch_model.bin")
    if not any(isinstance(huggingface_hub.try_to_load_from_cache(cfg.hf_hub_id, file), str) for file in files):
        require_host(huggingface_hub.constants.ENDPOINT, architecture)


def _origin(net: nn.Module, weights: Weights) -> Origin:
    if isinstance(weights, Path):
        return file_origin(weights)
    if weights == "none":
        return random_origin()
    cfg: dict[str, Any] = net.pretrained_cfg  # type: ignore[assignment]
    return Origin(
        source=f"timm {timm.__version__}, {cfg.get('hf_hub_id') or cfg.get('url')}",
        licence=str(cfg.get("license") or "not stated by timm"),
        data=f"timm tag {cfg['tag']}" if cfg.get("tag") else "not stated by timm",
    )


def _preprocess(cfg: dict[str, Any]) -> PreprocessSpec:
    _, height, width = cfg["input_size"]
    squash = cfg.get("crop_mode") == "squash"
    return PreprocessSpec(
        resize="squash" if squash else "crop",
        width=max(32, round(width / 32) * 32),
        height=max(32, round(height / 32) * 32),
        crop_share=1.0 if squash else min(1.0, cfg["crop_pct"]),
        interpolation="bilinear" if cfg["interpolation"] == "bilinear" else "bicubic",
    )
