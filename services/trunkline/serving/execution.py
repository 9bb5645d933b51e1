"""Where models run: ONNX Runtime's providers by short names, and no silent fall-back from one to another."""

import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trunkline.core.errors import ConfigurationError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provider:
    """A provider as ONNX Runtime names it. `device` is where its outputs can stay; empty for the host's memory."""

    name: str
    needs: str
    options: Mapping[str, str] = field(default_factory=dict)
    device: str = ""


PROVIDERS: Mapping[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", "pip install 'trunkline[cpu]'"),
    "cuda": Provider(
        "CUDAExecutionProvider",
        "pip install 'trunkline[gpu]' (never beside onnxruntime), with CUDA, cuDNN and a driver that go with it",
        # TF32 is off the golden values. The exhaustive search takes seconds for each new picture size, and its
        # choice, so the last bits of the answers, would differ from start to start.
        {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"},
        "cuda",
    ),
    "tensorrt": Provider(
        "TensorrtExecutionProvider",
        "pip install 'trunkline[gpu]' (never beside onnxruntime), with CUDA, cuDNN, a driver and TensorRT",
        {"trt_fp16_enable": "0"},
        "cuda",
    ),
    "openvino": Provider(
        "OpenVINOExecutionProvider",
        "pip install onnxruntime-openvino in place of onnxruntime, never beside it",
        {"device_type": "CPU", "precision": "FP32"},
    ),
}


@dataclass(frozen=True)
class Execution:
    """How a process runs its models.

    `providers` are keys of PROVIDERS, the preferred one first; with `allow_fallback` the CPU may stand in for one
    that cannot be had. `wide_threads` is how many threads a pass gets that runs alone on the CPU; 1 for no such pass.
    """

    providers: tuple[str, ...] = ("cpu",)
    allow_fallback: bool = False
    wide_threads: int = 1

    def usable(self, available: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
        """Names and options for a session, of what ONNX Runtime was built with. Raises ConfigurationError."""
        wanted = [PROVIDERS[key] for key in self.providers]
        self.check([provider.name for provider in wanted if provider.name in available], available)
        usable = [provider for provider in wanted if provider.name in available] or [PROVIDERS["cpu"]]
        return [(provider.name, dict(provider.options)) for provider in usable]

    def check(self, got: Sequence[str], available: Sequence[str]) -> None:
        """Raises ConfigurationError where `got` lacks a provider that was asked for and nothing may stand in."""
        for key in self.providers:
            if PROVIDERS[key].name in got:
                continue
            if not self.allow_fallback:
                raise ConfigurationError(_missing(key, available))
            _warn(_missing(key, available))


CPU = Execution()


def device_of(got: Sequence[str]) -> str:
    """Where the outputs of a session with these providers can stay; empty for the host's memory."""
    by_name = {provider.name: provider.device for provider in PROVIDERS.values()}
    return by_name.get(got[0], "") if got else ""


def preload_libraries(runtime: Any, execution: Execution) -> None:
    """Load CUDA and cuDNN from their Python packages, if they came that way; ONNX Runtime does not look there."""
    if any(PROVIDERS[key].device == "cuda" for key in execution.providers) and hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()


def _missing(key: str, available: Sequence[str]) -> str:
    by_name = {provider.name: short for short, provider in PROVIDERS.items()}
    have = ", ".join(by_name.get(name, name) for name in available)
    return (
        f"provider {key!r} cannot be had: ONNX Runtime here was built with {have}; {key} needs: "
        f"{PROVIDERS[key].needs}; or set TRUNKLINE_PROVIDERS=cpu, or TRUNKLINE_ALLOW_FALLBACK=true"
    )


@functools.cache  # every model has a session, one line is enough
def _warn(message: str) -> None:
    _log.warning("%s; using what is available, since TRUNKLINE_ALLOW_FALLBACK is set", message)
