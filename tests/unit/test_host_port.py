"""HOST:PORT is read in one place, and what is none is refused with what to write."""

import asyncio
import socket

import pytest
import typer
from typer.testing import CliRunner

from tests.service.raw_http import send
from trunkline.assembly.split import Plan, with_metrics
from trunkline.cli.main import app
from trunkline.client import Client, UnreachableError
from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import HostPort, check_listening, check_target, parse_host_port
from trunkline.gateway.rest.listening import listen
from trunkline.serving.settings import read_settings
from trunkline.testing import serve


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:65535", "[::1]", 65535), ("heads.example.com:8502", None, 8502)],
)
def test_a_host_and_a_port_are_told_apart(text, host, port):
    assert parse_host_port(text) == HostPort(host or "heads.example.com", port)
    assert str(parse_host_port(text)) == text


WRONG = [
    ("127.0.0.1:99999", "number up to 65535"),
    ("127.0.0.1:65536", "number up to 65535"),
    ("127.0.0.1:-1", "number up to 65535"),
    ("127.0.0.1:abc", "number up to 65535"),
    ("127.0.0.1:", "number up to 65535"),
    ("127.0.0.1:٨٥٠٠", "number up to 65535"),
    (":9143", "has no host"),
    ("[]:9143", "has no host"),
    ("127.0.0.1", "has no port"),
    ("[::1]", "has no port"),
    ("::1:8500", "brackets"),
    ("http://127.0.0.1:9143", "is a URL"),
    ("grpc://gpu:9143", "is a URL"),
    ("", "has no port"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_is_no_address_is_refused_everywhere(text, said):
    for check in (parse_host_port, check_listening, check_target):
        with pytest.raises(ValueError, match=said):
            check(text)
    with pytest.raises(ValueError, match=said):
        Client(text)
    for name in ("address", "backbone_address", "catalog_address", "training_address", "head_addresses"):
        with pytest.raises(ConfigurationError, match=f"TRUNKLINE_{name.upper()}: .*{said}"):
            read_settings(**{name: (text,) if name == "head_addresses" else text})
    for name in ("http_address", "metrics_address"):
        if text:
            with pytest.raises(ConfigurationError, match=said):
                read_settings(**{name: text})


def test_sockets_are_for_grpc_alone():
    assert check_listening("unix:/run/x.sock") == check_target("unix:/run/x.sock") == "unix:/run/x.sock"
    with pytest.raises(ConfigurationError, match=r"TRUNKLINE_HTTP_ADDRESS: .*has no port"):
        read_settings(http_address="unix:/run/x.sock")


@pytest.mark.parametrize("target", ["dns:///heads:8502", "ipv4:10.0.0.1:1,10.0.0.2:1", "xds:///heads"])
def test_names_that_grpc_resolves_are_left_to_it(target):
    assert check_target(target) == target
    assert read_settings(head_addresses=(target,)).head_addresses == (target,)


def test_nothing_is_called_at_port_0():
    with pytest.raises(ValueError, match="port 0"):
        check_target("127.0.0.1:0")


@pytest.mark.parametrize("command", [["classify", "x.jpg", "--target"], ["models", "list", "--target"], ["health"]])
def test_a_target_that_is_none_is_wrong_use(command):
    done = CliRunner().invoke(app, [*command, "http://127.0.0.1:8500"])
    assert done.exit_code == typer.BadParameter.exit_code == 2
    assert "is a URL" in done.output


def test_metrics_of_the_split_form_end_at_the_last_port():
    plans = [Plan(str(number), (), {}) for number in range(3)]
    given = [plan.environment["TRUNKLINE_METRICS_ADDRESS"] for plan in with_metrics(plans, "[::1]:65533")]
    assert given == ["[::1]:65534", "[::1]:65535", "[::1]:65533"]
    with pytest.raises(ConfigurationError, match="no ports for the metrics of 3 processes"):
        with_metrics(plans, "[::1]:65534")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_http_listens_on_both_families_as_grpc_does():
    with listen("[::]:0") as listener:
        port = listener.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


async def test_the_http_port_says_that_it_is_none_for_grpc():
    async with serve(heads=("imagenet",), http_address="127.0.0.1:0") as host:

        def ask() -> None:
            with Client(host.http_address) as client:
                client.list_heads(timeout_s=10)

        with pytest.raises(UnreachableError, match="is an HTTP port: give the HOST:PORT of gRPC"):
            await asyncio.to_thread(ask)


async def test_http_before_a_socket_of_grpc(tmp_path):

    address = f"unix:{tmp_path}/s.sock"
    async with serve(heads=("imagenet",), address=address, http_address="127.0.0.1:0") as host:
        assert host.address == address
        request = b"GET /v1/heads HTTP/1.1\r\nHost: x\r\n\r\n"
        status, _ = await asyncio.to_thread(send, host.http_address, request)
        assert status == 200
