"""What is off is not even imported, and what is missing is said."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

SERVE_AND_ASK = """
import asyncio, sys
from trunkline.client import AsyncClient
from trunkline.testing import serve, serve_split

async def main():
    for form in (serve, serve_split):
        async with form(heads=("imagenet",)) as host, AsyncClient(host.address) as client:
            await client.wait_ready(timeout_s=60)
            assert (await client.classify("tests/samples/coffee.jpg")).result.labels

asyncio.run(main())
print([name for name in sys.modules if name.split(".")[0] in ("opentelemetry", "prometheus_client", "wsgiref")])
"""


def test_metrics_and_traces_that_are_off_are_not_imported():
    done = subprocess.run(
        [sys.executable, "-c", SERVE_AND_ASK], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("variable", ["TRUNKLINE_OTEL_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_traces_without_their_packages_end_with_one_line(variable, monkeypatch):
    monkeypatch.setenv(variable, "http://127.0.0.1:4317")
    code = "import sys; sys.modules['opentelemetry'] = None"
    code += "; sys.argv = ['trunkline', 'serve', 'catalog', '--address', '127.0.0.1:0']"
    code += "; from trunkline.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "pip install 'trunkline[otel]'" in done.stderr
    assert "Traceback" not in done.stderr
