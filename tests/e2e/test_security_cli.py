"""The whole command with TLS and keys, in both forms: keys are made, used and revoked, and nothing is open beside."""

import json
import os
import re
import subprocess
import sys
import time

import grpc
import pytest

from tests.certificates import Authority
from tests.conftest import ROOT, free_port, start_server


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "trunkline.cli.main", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, check=False, timeout=120
    )


@pytest.mark.parametrize("form", [(), ("--split",)])
def test_a_service_with_tls_and_keys(form, tmp_path, monkeypatch, photos):
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    access = tmp_path / "access.json"
    made = run("keys", "new", "shop", "--role", "infer", "--file", str(access), "--json")
    shop = json.loads(made.stdout)
    token = tmp_path / "token"
    token.write_text(shop["key"] + "\n")
    monkeypatch.setenv("TRUNKLINE_CA", str(authority.ca))  # for who waits until it is ready, too
    http = f"127.0.0.1:{free_port()}"
    settings = {
        "TRUNKLINE_TLS_CERT": str(cert),
        "TRUNKLINE_TLS_KEY": str(key),
        "TRUNKLINE_AUTH": "keys",
        "TRUNKLINE_ACCESS_FILE": str(access),
        "TRUNKLINE_HEADS": "imagenet",
    }
    with start_server(tmp_path / "log", *form, "--http", http, **settings) as server:
        asked = ("classify", str(photos[0]), "--target", server.address, "--json")
        done = run(*asked, "--token-file", str(token))
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["labels"]
        assert run("health", server.address).stdout.strip() == "SERVING"
        refused = run(*asked)
        assert refused.returncode == 1
        assert "no key came with the call" in refused.stderr + refused.stdout
        denied = run("models", "versions", "imagenet", "--target", server.address, "--token-file", str(token))
        assert denied.returncode == 1
        assert "it needs one of the roles admin, train" in denied.stderr
        untrusted = run(*asked, "--token-file", str(token), TRUNKLINE_CA="", TRUNKLINE_TLS="1")
        assert "name its CA with --ca FILE" in untrusted.stderr + untrusted.stdout
        for address in re.findall(r"--address (127\.0\.0\.1:\d+)", server.log):
            if address != server.address:
                assert _code(address) is grpc.StatusCode.UNAUTHENTICATED
        assert run("keys", "revoke", shop["id"], "--file", str(access)).returncode == 0
        ends_at = time.monotonic() + 10
        while run(*asked, "--token-file", str(token)).returncode == 0:
            assert time.monotonic() < ends_at, "a revoked key is still taken"
        assert server.stop() == 0
    assert "Traceback" not in server.log
    lines = [json.loads(line) for line in server.log.splitlines() if line.startswith('{"audit"')]
    assert {line["result"] for line in lines if line["audit"] == "denial"} >= {"UNAUTHENTICATED", "PERMISSION_DENIED"}
    assert ("key", shop["id"], "revoked") in {(line["audit"], line["object"], line["result"]) for line in lines}
    assert shop["key"] not in server.log


def _code(address: str) -> grpc.StatusCode:
    """How a service behind the gateway answers one who has nothing to show."""
    for method in ("BackboneService/DescribeBackbone", "HeadService/DescribeHeads"):
        with grpc.insecure_channel(address) as channel:
            try:
                channel.unary_unary(f"/trunkline.api.inference.v1.{method}")(b"", timeout=10)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    return error.code()
            else:
                return grpc.StatusCode.OK
    return grpc.StatusCode.UNAUTHENTICATED  # catalog: its calls have tests of their own


def test_beyond_loopback_the_start_says_what_is_missing():
    done = run("serve", "--address", f"0.0.0.0:{free_port()}")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "can be reached from other machines, in plain text and by anyone" in line
    assert "--insecure" in line
