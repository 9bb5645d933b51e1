"""A provider that cannot be had is an error that says what to do, or a warning where that is allowed."""

import logging

import onnxruntime as ort
import pytest

from trunkline.core.errors import ConfigurationError
from trunkline.serving import execution
from trunkline.serving.execution import PROVIDERS, Execution, device_of, preload_libraries

CPU_BUILD = ["AzureExecutionProvider", "CPUExecutionProvider"]
GPU_BUILD = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture(autouse=True)
def _new_warnings():
    execution._warn.cache_clear()


@pytest.mark.parametrize("key", ["cuda", "tensorrt", "openvino"])
def test_a_provider_that_was_not_built_in_is_an_error_that_says_what_to_do(key):
    with pytest.raises(ConfigurationError, match=rf"provider '{key}'.*built with .*cpu; {key} needs: pip install"):
        Execution((key,)).usable(CPU_BUILD)


def test_with_fallback_allowed_the_cpu_stands_in_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        usable = Execution(("cuda",), allow_fallback=True).usable(CPU_BUILD)
    assert [name for name, _ in usable] == ["CPUExecutionProvider"]
    assert "provider 'cuda' cannot be had" in caplog.text


def test_a_silent_fall_back_after_load_is_an_error():
    """As where the GPU build finds no driver: the session is made, and runs on the CPU."""
    wanted = Execution(("tensorrt", "cuda"))
    assert [name for name, _ in wanted.usable(GPU_BUILD)] == GPU_BUILD[:2]
    wanted.check(GPU_BUILD, GPU_BUILD)
    with pytest.raises(ConfigurationError, match="provider 'tensorrt'"):
        wanted.check(GPU_BUILD[1:], GPU_BUILD)
    with pytest.raises(ConfigurationError, match="provider 'cuda'"):
        Execution(("cuda",)).check(["CPUExecutionProvider"], GPU_BUILD)


def test_the_fall_back_is_logged_once_for_all_models(caplog):
    allowed = Execution(("cuda",), allow_fallback=True)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            allowed.check(["CPUExecutionProvider"], GPU_BUILD)
    assert len(caplog.records) == 1


def test_features_stay_on_the_device_of_the_provider_that_runs():
    assert device_of(GPU_BUILD) == "cuda"
    assert device_of(["CPUExecutionProvider"]) == ""
    assert device_of(["OpenVINOExecutionProvider", "CPUExecutionProvider"]) == ""


def test_every_name_is_one_that_onnx_runtime_knows():
    assert {provider.name for provider in PROVIDERS.values()} <= set(ort.get_all_providers())


def test_the_libraries_of_cuda_are_loaded_only_where_it_is_wanted():
    class Runtime:
        loaded = 0

        def preload_dlls(self):
            self.loaded += 1

    runtime = Runtime()
    preload_libraries(runtime, Execution(("cpu",)))
    assert not runtime.loaded
    preload_libraries(runtime, Execution(("tensorrt",)))
    assert runtime.loaded
    preload_libraries(object(), Execution(("cuda",)))  # an older ONNX Runtime
