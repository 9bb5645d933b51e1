"""The HTTP port of the whole command, in both forms, and what happens where its packages are missing."""

import json
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.conftest import ROOT, free_port, start_server


@pytest.mark.parametrize("form", [(), ("--split",)])
def test_serve_answers_over_http(form, photos, tmp_path):
    port = free_port()
    listen = ("--http", f"127.0.0.1:{port}")
    with start_server(tmp_path / "log", *form, *listen, TRUNKLINE_HEADS="imagenet") as server:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/images:classify?top_k=1&head=imagenet",
            (ROOT / "tests/samples/coffee.jpg").read_bytes(),
            {"Content-Type": "image/jpeg"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            outcome = json.load(answer)["outcome"]
        assert outcome["classification"]["labels"][0]["label"] == "espresso"
        assert server.stop() == 0
    assert "Traceback" not in server.log


@pytest.mark.parametrize("form", [(), ("--split",), ("gateway",)])
def test_a_taken_port_is_one_line_before_anything_is_loaded(form):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "trunkline.cli.main",
                "serve",
                *form,
                "--http",
                address,
                "--address",
                "127.0.0.1:0",
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"trunkline: cannot listen on {address}: the port is taken or not ours; choose another with --http HOST:PORT"
    ]


def test_missing_packages_are_one_line_before_anything_is_loaded():
    code = "import sys; sys.modules.update(starlette=None, uvicorn=None); from trunkline.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "serve", "--http", "127.0.0.1:0", "--address", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert "pip install 'trunkline[cpu,http]'" in done.stderr
    assert "Traceback" not in done.stderr
