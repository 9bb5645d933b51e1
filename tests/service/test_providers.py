"""Providers by setting: what cannot be had stops the start with one line, or is allowed to be the CPU."""

import asyncio
from pathlib import Path

import onnxruntime as ort
import pytest

from trunkline.client import AsyncClient
from trunkline.core.errors import ConfigurationError
from trunkline.core.results import Classification
from trunkline.serving.settings import read_settings
from trunkline.testing import serve, serve_split

ROOT = Path(__file__).parents[2]
COFFEE = ROOT / "tests/samples/coffee.jpg"
FORMS = [serve, serve_split]
ABSENT = next(
    key
    for key, name in [("openvino", "OpenVINOExecutionProvider"), ("cuda", "CUDAExecutionProvider")]
    if name not in ort.get_available_providers()
)


@pytest.mark.parametrize("form", FORMS)
async def test_a_process_whose_provider_is_absent_does_not_start(form):
    with pytest.raises(ConfigurationError, match=f"provider '{ABSENT}' cannot be had.*pip install"):
        async with form(models=ROOT / "models", heads="imagenet", providers=ABSENT):
            pytest.fail("it started")


async def ask(form, alone: int = 1, together: int = 0, **settings) -> list[Classification]:
    """Answers about one picture, asked one after the other, then all at once."""
    async with (
        form(models=ROOT / "models", heads="imagenet", **settings) as host,
        AsyncClient(host.address) as client,
    ):
        await client.wait_ready()
        answers = [await client.classify(COFFEE, head="imagenet") for _ in range(alone)]
        answers += await asyncio.gather(*(client.classify(COFFEE, head="imagenet") for _ in range(together)))
        return [answer.result for answer in answers]


@pytest.mark.parametrize("form", FORMS)
async def test_with_fallback_allowed_the_answers_are_those_of_the_cpu(form):
    expected = await ask(form, providers="cpu")
    assert await ask(form, providers=ABSENT, allow_fallback=True) == expected


@pytest.mark.parametrize("form", FORMS)
async def test_callers_alone_and_together_get_the_same_bits(form):
    """Alone on two threads, together on one each, as without wide passes."""
    [expected] = await ask(form, threads=2, wide_threads=1)
    assert set(await ask(form, threads=2, alone=5, together=20)) == {expected}


@pytest.mark.parametrize("text", ["gpu", "cpu,gpu", ","])
def test_an_unknown_provider_is_refused_with_those_known(text):
    with pytest.raises(ConfigurationError, match="known: cpu, cuda, tensorrt, openvino"):
        read_settings(providers=text)
