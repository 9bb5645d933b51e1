"""Serving processes run in uvloop where it is installed, in asyncio's own loop elsewhere."""

import asyncio
import sys

import pytest

from trunkline.serving.loop import run_loop


async def kind_of_loop() -> str:
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__


def test_a_serving_process_runs_in_uvloop():
    pytest.importorskip("uvloop")
    assert run_loop(kind_of_loop()) == "uvloop"


def test_without_uvloop_the_loop_of_asyncio_serves(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run_loop(kind_of_loop()).startswith("asyncio")


def test_what_the_main_coroutine_raises_comes_out():
    async def fails() -> None:
        raise LookupError("as it is")

    with pytest.raises(LookupError, match="as it is"):
        run_loop(fails())
