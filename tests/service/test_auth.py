"""How callers show who they are: keys, tokens, certificates; and how far a process may be reached without."""

import asyncio
import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import jwt
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.certificates import Authority
from tests.conftest import free_port
from tests.service.access import access_of_roles, credentials_of, key_of, write_access
from tests.service.triton import triton_process
from trunkline.client import AsyncClient, Credentials, ServiceError
from trunkline.core.errors import ConfigurationError, InvalidRequestError, NotFoundError
from trunkline.serving.security import tokens
from trunkline.serving.security.access_file import read_access
from trunkline.serving.security.callers import Role
from trunkline.serving.security.keys import digest_of, keys_of, new_key, revoke
from trunkline.serving.security.security import Security
from trunkline.testing import serve, serve_split
from trunkline.testing.serve import local_settings

HEADS = ("imagenet",)
SEEN_WITHIN_S = 5.0


def with_keys(file: Path, **more) -> dict[str, object]:
    return {"auth": ("keys",), "access_file": str(file), "heads": HEADS, **more}


async def code_of(address: str, credentials: Credentials) -> str:
    async with AsyncClient(address, credentials) as client:
        try:
            await client.get_head("imagenet")
        except ServiceError as error:
            return error.code
        return "OK"


async def comes_to(address: str, credentials: Credentials, code: str) -> bool:
    """Whether calls end so within a few seconds."""
    ends_at = time.monotonic() + SEEN_WITHIN_S
    while await code_of(address, credentials) != code:
        if time.monotonic() > ends_at:
            return False
        await asyncio.sleep(0.1)
    return True


# How far a process may be reached ------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["address", "http_address", "admin_address"])
def test_beyond_loopback_nothing_starts_that_nobody_guards(which):
    with pytest.raises(ConfigurationError, match=r"in plain text and by anyone: set TRUNKLINE_TLS_CERT.*--insecure"):
        Security(local_settings(**{which: "0.0.0.0:8500"}))


def test_who_means_it_is_warned_in_one_line(caplog):
    Security(local_settings(address="0.0.0.0:8500", insecure=True))
    assert [record.message for record in caplog.records] == [
        "0.0.0.0:8500 can be reached from other machines, in plain text and by anyone"
    ]


def test_loopback_needs_nothing(caplog):
    Security(local_settings(http_address="[::1]:8080", admin_address="localhost:9000"))
    assert not caplog.records


def test_with_tls_and_keys_nothing_is_missing(tmp_path, caplog):
    cert, key = Authority(tmp_path).issue("server")
    file = access_of_roles(tmp_path / "access.json")
    Security(local_settings(address="0.0.0.0:8500", tls_cert=str(cert), tls_key=str(key), **with_keys(file)))
    assert not caplog.records


def test_keys_in_plain_text_need_to_be_meant(tmp_path):
    file = access_of_roles(tmp_path / "access.json")
    with pytest.raises(ConfigurationError, match=r"from other machines, in plain text: "):
        Security(local_settings(address="0.0.0.0:8500", **with_keys(file)))


async def test_a_client_sends_no_token_in_plain_text_to_others():
    with pytest.raises(ValueError, match=r"over TLS alone"):
        AsyncClient("192.0.2.1:8500", Credentials(token="x"))


# Keys ----------------------------------------------------------------------------------------------------------


async def test_keys_are_added_revoked_and_expire_while_it_serves(tmp_path):
    file = write_access(tmp_path / "access.json", {"shop": {"roles": ["infer"]}})
    async with serve(**with_keys(file)) as host:
        assert await code_of(host.address, credentials_of("shop")) == "OK"
        text, key = new_key(file, "other", [Role.INFER], [], None)
        assert await comes_to(host.address, Credentials(token=text), "OK")
        revoke(file, key.id)
        assert await comes_to(host.address, Credentials(token=text), "UNAUTHENTICATED")
        assert await code_of(host.address, credentials_of("shop")) == "OK"
        text, _ = new_key(file, "shop", [], [], 1e-5)
        assert await comes_to(host.address, Credentials(token=text), "UNAUTHENTICATED")


async def test_a_damaged_file_keeps_what_was_good(tmp_path, caplog):
    file = write_access(tmp_path / "access.json", {"shop": {"roles": ["infer"]}})
    async with serve(**with_keys(file)) as host:
        for damage in ('{"identities": {', '{"identities": {"shop": {"roles": ["king"]}}}', ""):
            file.write_text(damage)
            await asyncio.sleep(1.5)
            assert await code_of(host.address, credentials_of("shop")) == "OK"
        file.unlink()
        await asyncio.sleep(1.5)
        assert await code_of(host.address, credentials_of("shop")) == "OK"
        assert "what it said before goes on" in caplog.text
        write_access(file, {"else": {"roles": ["infer"]}})
        assert await comes_to(host.address, credentials_of("shop"), "UNAUTHENTICATED")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "cannot be read: No such file"),
        ("{", "is damaged"),
        ('{"keys": [{"identity": "x", "sha256": "1", "created": "2026-01-01T00:00:00Z"}]}', "keys.0.sha256"),
        ('{"identities": {"a": {"roles": [], "quota": {"calls": 1}}}}', "identities.a.quota.calls"),
        (
            '{"issuers": [{"issuer": "i", "audience": "a", "jwks": "http://x"}]}',
            "neither a file nor a URL with https",
        ),
        ('{"issuers": [{"issuer": "i", "audience": "a", "jwks": "x", "algorithms": ["HS256"]}]}', "algorithms"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path, text, fault):
    file = tmp_path / "access.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigurationError, match=fault):
        Security(local_settings(**with_keys(file)))


def test_an_access_file_is_needed():
    with pytest.raises(ConfigurationError, match="TRUNKLINE_ACCESS_FILE"):
        Security(local_settings(auth=("keys",)))


def test_ways_are_known_and_off_is_alone():
    for value in ("magic", "off,keys"):
        with pytest.raises(ConfigurationError, match="off, or some of keys,jwt,mtls"):
            local_settings(auth=value)
    assert local_settings(auth="off").auth == ()
    assert local_settings(auth="keys, jwt").auth == ("keys", "jwt")


def test_keys_are_made_listed_and_revoked(tmp_path):
    file = tmp_path / "access.json"
    text, key = new_key(file, "shop", [Role.INFER], ["imagenet"], 30)
    assert len(text) > 43
    assert text not in file.read_text()
    assert digest_of(text).hex() == key.sha256
    second, other = new_key(file, "shop", [], [], None)
    assert second != text
    assert [(each.id, sorted(who.roles)) for each, who in keys_of(file)] == [
        (key.id, ["infer"]),
        (other.id, ["infer"]),
    ]
    with pytest.raises(InvalidRequestError, match="give its roles"):
        new_key(file, "new", [], [], None)
    with pytest.raises(InvalidRequestError, match="leave out --role"):
        new_key(file, "shop", [Role.ADMIN], [], None)
    with pytest.raises(InvalidRequestError, match="is no name"):
        new_key(file, "a b", [Role.INFER], [], None)
    assert [gone.id for gone in revoke(file, key.id)] == [key.id]
    with pytest.raises(NotFoundError):
        revoke(file, key.id)
    assert [each.id for each, _ in keys_of(file)] == [other.id]
    assert file.stat().st_mode & 0o077 == 0
    file.chmod(0o640)  # for the group of the service
    new_key(file, "shop", [], [], None)
    assert file.stat().st_mode & 0o777 == 0o640


def test_changes_at_the_same_time_lose_none(tmp_path):
    file = tmp_path / "access.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: new_key(file, f"caller-{number}", [Role.INFER], [], None), range(24)))
    assert len(read_access(file).keys) == 24


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer", "Bearer ", "bearer tlk_wrong", "Bearer a.b.c"])
async def test_headers_that_show_nobody(tmp_path, header):
    file = access_of_roles(tmp_path / "access.json")
    async with serve(**with_keys(file)) as host, grpc.aio.insecure_channel(host.address) as channel:
        call = channel.unary_unary("/trunkline.api.vision.v1.VisionService/ListHeads")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"", metadata=(("authorization", header),))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_http_says_how_to_show_who_asks(tmp_path):
    file = access_of_roles(tmp_path / "access.json")
    async with serve(**with_keys(file, http_address="127.0.0.1:0")) as host:

        def ask(key: str) -> tuple[int, str, dict]:
            request = urllib.request.Request(f"http://{host.http_address}/v1/models")
            if key:
                request.add_header("Authorization", f"Bearer {key}")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return answer.status, "", json.load(answer)
            except urllib.error.HTTPError as error:
                return error.code, error.headers.get("WWW-Authenticate", ""), json.load(error)

        code, header, body = await asyncio.to_thread(ask, "")
        assert (code, header) == (401, "Bearer")
        assert body["details"][0]["reason"] == "UNAUTHENTICATED"
        code, _, body = await asyncio.to_thread(ask, key_of("infer"))
        assert code == 403
        assert body["details"][0]["reason"] == "PERMISSION_DENIED"
        assert (await asyncio.to_thread(ask, key_of("admin")))[0] == 200


@pytest.mark.parametrize(
    ("said", "caller", "answered"),
    [("off", "admin", False), ("auth", "infer", True), ("auth", "", False), ("on", "", True)],
)
async def test_reflection_is_off_for_callers_or_on(tmp_path, said, caller, answered):
    file = write_access(
        tmp_path / "access.json", {"infer": {"roles": ["infer"]}, "admin": {"roles": ["admin"]}}, reflection=said
    )
    async with serve(**with_keys(file)) as host, grpc.aio.insecure_channel(host.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        metadata = (("authorization", f"Bearer {key_of(caller)}"),) if caller else ()
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        try:
            found = [each async for each in stub.ServerReflectionInfo(asked, metadata=metadata)]
        except grpc.aio.AioRpcError:
            found = []
    assert bool(found) == answered


@pytest.mark.parametrize("kind", ["grpc", "http"])
async def test_an_unmodified_tritonclient_sends_a_key(tmp_path, photos, kind):
    pytest.importorskip("tritonclient", reason="needs tritonclient: make .venv/.dev")
    file = access_of_roles(tmp_path / "access.json")
    picture = {"image": np.array([photos[0].read_bytes()], object)}
    with triton_process() as triton:
        async with serve(**with_keys(file, http_address="127.0.0.1:0")) as host:
            address = host.address if kind == "grpc" else host.http_address
            header = {"authorization": f"Bearer {key_of('infer')}"}
            found = await triton.run("infer", kind, address, "imagenet", picture, headers=header)
            assert found["model_version"] == "2"
            refused = await triton.run("infer", kind, address, "imagenet", picture)
            assert refused[0] == "error"
            assert await triton.run("call", kind, address, "is_server_ready")


# Tokens --------------------------------------------------------------------------------------------------------


class Signer:
    """An issuer of tokens with its keys in a file."""

    def __init__(self, folder: Path) -> None:
        self.jwks = folder / "jwks.json"
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        self._kid, self._key = kid, ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key()))
        fresh = self.jwks.with_suffix(".new")
        fresh.write_text(json.dumps({"keys": [{**public, "kid": kid, "use": "sig", "alg": "ES256"}]}))
        fresh.replace(self.jwks)

    def token(self, subject: str = "svc-shop", **claims) -> str:
        said = {
            "iss": "https://issuer.example",
            "aud": "trunkline",
            "sub": subject,
            "exp": datetime.now(UTC) + timedelta(minutes=5),
            **claims,
        }
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(said, self._key, algorithm="ES256", headers={"kid": self._kid})

    def settings(self, folder: Path, *, ways=("jwt",), jwks: str = "") -> dict[str, object]:
        issuer = {"issuer": "https://issuer.example", "audience": "trunkline", "jwks": jwks or str(self.jwks)}
        identities = {"shop": {"roles": ["infer"], "subjects": ["svc-*"]}}
        file = write_access(folder / "access.json", identities, issuers=[issuer])
        return {"auth": ways, "access_file": str(file), "heads": HEADS}


async def test_tokens_of_a_known_issuer(tmp_path):
    signer = Signer(tmp_path)
    async with serve(**signer.settings(tmp_path)) as host:

        async def code(token: str) -> str:
            return await code_of(host.address, Credentials(token=token))

        assert await code(signer.token()) == "OK"
        assert await code(signer.token("somebody")) == "UNAUTHENTICATED"
        assert await code(signer.token(aud="else")) == "UNAUTHENTICATED"
        assert await code(signer.token(iss="https://else.example")) == "UNAUTHENTICATED"
        assert await code(signer.token(exp=datetime.now(UTC) - timedelta(minutes=5))) == "UNAUTHENTICATED"
        assert await code(signer.token(nbf=datetime.now(UTC) + timedelta(minutes=5))) == "UNAUTHENTICATED"
        for missing in ("exp", "aud", "sub", "iss"):
            assert await code(signer.token(**{missing: None})) == "UNAUTHENTICATED", missing
        head, body, _ = signer.token().split(".")
        assert await code(f"{head}.{body}.") == "UNAUTHENTICATED"
        unsigned = jwt.encode({"iss": "https://issuer.example", "aud": "trunkline", "sub": "svc-1"}, None, "none")
        assert await code(unsigned) == "UNAUTHENTICATED"
        # The public key taken for a secret: the algorithm is not the token's to choose.
        assert await code(key_of("shop")) == "UNAUTHENTICATED"  # keys are not taken here


async def test_keys_of_issuers_are_read_again(tmp_path):
    signer = Signer(tmp_path)
    async with serve(**signer.settings(tmp_path)) as host:
        assert await code_of(host.address, Credentials(token=signer.token())) == "OK"
        before = signer.token()
        assert await code_of(host.address, Credentials(token=before)) == "OK"
        signer.rotate("second")
        assert await comes_to(host.address, Credentials(token=signer.token()), "OK")
        assert await comes_to(host.address, Credentials(token=before), "UNAUTHENTICATED")  # its key is gone
        signer.jwks.write_text("{")
        await asyncio.sleep(1.5)
        assert await code_of(host.address, Credentials(token=signer.token())) == "OK"


async def test_keys_of_issuers_come_from_a_url_that_may_be_away_at_first(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tokens, "_AGAIN_S", 0.2)
    authority, signer, port = Authority(tmp_path), Signer(tmp_path), free_port()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    given = signer.settings(tmp_path, jwks=f"https://localhost:{port}/jwks.json")
    async with serve(**given) as host:
        assert "its tokens are refused until they can" in caplog.text
        assert await code_of(host.address, Credentials(token=signer.token())) == "UNAUTHENTICATED"
        handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
        with ThreadingHTTPServer(("localhost", port), handler) as server:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*authority.issue("issuer"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            try:
                assert await comes_to(host.address, Credentials(token=signer.token()), "OK")
                signer.rotate("second")  # a token with a key that is not known yet has it looked for
                assert await comes_to(host.address, Credentials(token=signer.token()), "OK")
            finally:
                server.shutdown()
                serving.join()
        assert await code_of(host.address, Credentials(token=signer.token())) == "OK"  # it goes on without the issuer


async def test_keys_and_tokens_go_together(tmp_path):
    signer = Signer(tmp_path)
    async with serve(**signer.settings(tmp_path, ways=("keys", "jwt"))) as host:
        assert await code_of(host.address, credentials_of("shop")) == "OK"
        assert await code_of(host.address, Credentials(token=signer.token())) == "OK"


def test_issuers_are_needed_for_tokens_and_their_files_too(tmp_path):
    file = access_of_roles(tmp_path / "access.json")
    with pytest.raises(ConfigurationError, match="needs issuers"):
        Security(local_settings(auth=("jwt",), access_file=str(file)))
    signer = Signer(tmp_path)
    settings = local_settings(**signer.settings(tmp_path))
    signer.jwks.unlink()
    with pytest.raises(ConfigurationError, match=r"keys of issuer https://issuer\.example cannot be had"):
        Security(settings)


# Certificates --------------------------------------------------------------------------------------------------


async def test_certificates_are_identities_over_grpc_and_http(tmp_path):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    file = write_access(
        tmp_path / "access.json",
        {"shop": {"roles": ["infer"], "certificates": ["spiffe://example/shop"]}, "key": {"roles": ["admin"]}},
    )
    settings = {
        "auth": ("mtls", "keys"),
        "access_file": str(file),
        "heads": HEADS,
        "http_address": "127.0.0.1:0",
        "tls_cert": str(cert),
        "tls_key": str(key),
        "tls_client_ca": str(authority.ca),
    }
    known = authority.issue("shop", "spiffe://example/shop")
    unknown = authority.issue("stranger", "spiffe://example/stranger")
    async with serve(**settings) as host:
        for (own, private), wanted in ((known, "OK"), (unknown, "UNAUTHENTICATED")):
            assert await code_of(host.address, Credentials(ca=authority.ca, cert=own, key=private)) == wanted

            context = ssl.create_default_context(cafile=str(authority.ca))
            context.load_cert_chain(own, private)

            def ask(path: str, token: str = "", context: ssl.SSLContext = context) -> int:
                request = urllib.request.Request(f"https://{host.http_address}{path}")
                if token:
                    request.add_header("Authorization", f"Bearer {token}")
                try:
                    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                        return answer.status
                except urllib.error.HTTPError as error:
                    return error.code

            assert await asyncio.to_thread(ask, "/v1/heads") == (200 if wanted == "OK" else 401)
            assert await asyncio.to_thread(ask, "/v1/models") == (403 if wanted == "OK" else 401)
            assert await asyncio.to_thread(ask, "/v1/models", key_of("key")) == 200  # a key goes before a certificate


async def test_services_take_a_gateway_by_its_certificate(tmp_path, photos):
    """The gateway is a peer by the name in its certificate."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("gateway", "localhost", "127.0.0.1", "spiffe://example/gateway")
    file = write_access(
        tmp_path / "access.json",
        {
            "gateway": {"roles": ["peer"], "certificates": ["spiffe://example/gateway"]},
            "shop": {"roles": ["infer"], "certificates": ["spiffe://example/shop"]},
        },
    )
    settings = {
        "auth": ("mtls",),
        "access_file": str(file),
        "heads": HEADS,
        "tls_cert": str(cert),
        "tls_key": str(key),
        "tls_client_ca": str(authority.ca),
    }
    own, private = authority.issue("shop", "spiffe://example/shop")
    shop = Credentials(ca=authority.ca, cert=own, key=private)
    async with serve_split(**settings) as host, AsyncClient(host.address, shop) as client:
        await client.wait_ready(30)
        assert (await client.classify(photos[0], "imagenet")).result.labels


def test_mtls_needs_an_authority(tmp_path):
    file = access_of_roles(tmp_path / "access.json")
    with pytest.raises(ConfigurationError, match="TRUNKLINE_TLS_CLIENT_CA"):
        Security(local_settings(auth=("mtls",), access_file=str(file)))


# A port for operators ------------------------------------------------------------------------------------------


async def test_catalog_and_training_have_a_port_of_their_own(tmp_path):
    admin = f"127.0.0.1:{free_port()}"
    async with serve(heads=HEADS, admin_address=admin, http_address="127.0.0.1:0") as host:
        assert host.admin_address == admin
        method = "/trunkline.api.catalog.v1.CatalogService/ListModels"
        async with grpc.aio.insecure_channel(host.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(method)(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        async with grpc.aio.insecure_channel(admin) as channel:
            await channel.unary_unary(method)(b"")
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/trunkline.api.vision.v1.VisionService/ListHeads")(b"")
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

        def ask() -> int:
            try:
                with urllib.request.urlopen(f"http://{host.http_address}/v1/models", timeout=30) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        assert await asyncio.to_thread(ask) == 501
