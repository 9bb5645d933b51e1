"""TLS on gRPC and HTTP, certificates on both sides between services, and files that are replaced."""

import asyncio
import json
import socket
import ssl
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.certificates import Authority
from trunkline.assembly import roles
from trunkline.client import AsyncClient, Client, Credentials, UnreachableError
from trunkline.core.errors import ConfigurationError
from trunkline.serving.security.tls import TlsFiles
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

HEADS = ("imagenet",)


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


def pair(authority: Authority, name: str = "server") -> dict[str, str]:
    cert, key = authority.issue(name)
    return {"tls_cert": str(cert), "tls_key": str(key)}


async def check(address: str, credentials: Credentials) -> None:
    async with AsyncClient(address, credentials) as client:
        await client.wait_ready(timeout_s=5)


async def test_grpc_and_http_are_tls_and_nothing_else(authority, photos):
    async with serve(heads=HEADS, http_address="127.0.0.1:0", **pair(authority)) as host:
        trusting = Credentials(ca=authority.ca)
        async with AsyncClient(host.address, trusting) as client:
            answer = await client.classify(photos[0], "imagenet")
        assert answer.result.labels
        context = ssl.create_default_context(cafile=str(authority.ca))

        def ask(scheme: str) -> dict[str, object]:
            request = urllib.request.Request(
                f"{scheme}://{host.http_address}/v1/images:classify?head=imagenet",
                photos[0].read_bytes(),
                {"Content-Type": "image/jpeg"},
            )
            with urllib.request.urlopen(request, timeout=60, context=context if scheme == "https" else None) as found:
                return json.load(found)

        over_http = await asyncio.to_thread(ask, "https")
        assert over_http["outcome"]["classification"]["labels"][0]["label"] == answer.result.labels[0].label
        with pytest.raises(OSError, match=r".+"):
            await asyncio.to_thread(ask, "http")
        with pytest.raises(UnreachableError):
            async with AsyncClient(host.address, Credentials()) as client:
                await client.get_head("imagenet", timeout_s=3)


async def test_a_certificate_of_another_authority_is_not_trusted(authority, tmp_path):
    other = Authority(tmp_path, "other")
    async with serve(heads=HEADS, **pair(authority)) as host:
        with pytest.raises(UnreachableError):
            async with AsyncClient(host.address, Credentials(ca=other.ca)) as client:
                await client.get_head("imagenet", timeout_s=3)


async def test_callers_show_a_certificate_where_an_authority_is_named(authority):
    callers = {"tls_client_ca": str(authority.ca)}
    cert, key = authority.issue("caller")
    async with serve(heads=HEADS, **pair(authority), **callers) as host:
        await check(host.address, Credentials(ca=authority.ca, cert=cert, key=key))
        with pytest.raises(UnreachableError):
            async with AsyncClient(host.address, Credentials(ca=authority.ca)) as client:
                await client.get_head("imagenet", timeout_s=3)


async def test_services_show_each_other_their_certificates(authority, photos):
    cert, key = authority.issue("caller")
    trusting = Credentials(ca=authority.ca, cert=cert, key=key)
    async with (
        serve_split(heads=HEADS, **pair(authority), tls_client_ca=str(authority.ca)) as host,
        AsyncClient(host.address, trusting) as client,
    ):
        await client.wait_ready(timeout_s=30)
        assert (await client.classify(photos[0], "imagenet")).result.labels


async def test_a_gateway_with_tls_does_not_go_on_in_plain_text(authority):
    settings = local_settings(backbone_address="10.1.2.3:8501", **pair(authority))
    with pytest.raises(ConfigurationError, match=r"10.1.2.3:8501 would be reached in plain text"):
        async with roles.gateway(settings):
            pass


@pytest.mark.parametrize("which", ["tls_cert", "tls_key", "tls_client_ca"])
async def test_a_missing_file_stops_the_start(authority, which, tmp_path):
    named = {**pair(authority), "tls_client_ca": str(authority.ca), which: str(tmp_path / "missing.pem")}
    with pytest.raises(ConfigurationError, match=r"missing.pem: No such file"):
        TlsFiles.of(local_settings(**named))


@pytest.mark.parametrize("given", [{"tls_cert": "a.pem"}, {"tls_key": "a.key"}, {"tls_client_ca": "ca.pem"}])
def test_half_of_a_pair_stops_the_start(given):
    with pytest.raises(ConfigurationError, match=r"TRUNKLINE_TLS_CERT and TRUNKLINE_TLS_KEY"):
        TlsFiles.of(local_settings(**given))


def test_a_key_of_another_certificate_stops_the_start(authority):
    named = {**pair(authority), "tls_key": str(authority.issue("other")[1])}
    with pytest.raises(ConfigurationError, match=r"(?i)mismatch"):
        TlsFiles.of(local_settings(**named))


def test_a_half_replaced_pair_changes_nothing(authority, caplog):
    named = pair(authority)
    files = TlsFiles.of(local_settings(**named))
    before = files.latest
    whole = Path(named["tls_cert"]).read_bytes()
    Path(named["tls_cert"]).write_bytes(whole[: len(whole) // 2])
    files.look()
    assert files.latest is before
    assert "the certificate before goes on" in caplog.text
    pair(authority)
    files.look()
    assert files.latest.number == before.number + 1
    assert files.latest.chain != before.chain


async def test_no_call_is_lost_while_all_certificates_are_replaced(authority):
    """That of each server, and that with which the gateway shows itself to the services behind."""
    cert, key = authority.issue("caller")
    named = {**pair(authority), "tls_client_ca": str(authority.ca)}
    trusting = Credentials(ca=authority.ca, cert=cert, key=key)
    stop, done, lost = asyncio.Event(), 0, []
    async with serve_split(heads=HEADS, **named) as host:

        async def ask() -> None:
            nonlocal done
            while not stop.is_set():
                async with AsyncClient(host.address, trusting) as client:
                    for _ in range(20):
                        try:
                            await client.get_head("imagenet")
                            done += 1
                        except Exception as error:
                            lost.append(error)

        await check(host.address, trusting)
        before = await asyncio.to_thread(presented, host.address, trusting)
        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for _ in range(2):
            pair(authority)
            await asyncio.sleep(2.5)
        stop.set()
        await asyncio.gather(*asking)
        after = await asyncio.to_thread(presented, host.address, trusting)
    assert before != after
    assert lost == []
    assert done > 100


def presented(address: str, credentials: Credentials) -> str:
    """The certificate that a new connection to the server sees."""
    context = ssl.create_default_context(cafile=str(credentials.ca))
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(str(credentials.cert), str(credentials.key))
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as raw, context.wrap_socket(raw, server_hostname=host) as tls:
        found = tls.getpeercert(binary_form=True)
    assert found is not None
    return found.hex()


async def test_health_and_the_plain_client_reach_it(authority):
    async with serve(heads=HEADS, **pair(authority)) as host:

        def ask() -> int:
            with Client(host.address, Credentials(ca=authority.ca)) as client:
                client.wait_ready(5)
            # A probe in the same container needs no certificate.
            with grpc.insecure_channel(host.own_address) as channel:
                return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5).status

        assert await asyncio.to_thread(ask) == health_pb2.HealthCheckResponse.SERVING
