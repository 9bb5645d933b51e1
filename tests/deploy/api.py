"""The few answers of a Kubernetes API that `helm template --dry-run=server` asks for, over loopback."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.chart import NAMESPACE, Manifest

VERSION = "v1.34.1"
_NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@contextmanager
def cluster_with(live: list[Manifest], kinds: list[Manifest], folder: Path) -> Iterator[Path]:
    """A kubeconfig that leads to a cluster which holds `live` and knows the kinds of `kinds`."""
    answers = {**_discovery([*live, *kinds]), **{_path(each): each for each in live}}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = answers.get(self.path.partition("?")[0])
            body = json.dumps(
                found or {"kind": "Status", "apiVersion": "v1", "reason": "NotFound", "code": 404}
            ).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a failing test shows what Helm says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield _kubeconfig(f"http://127.0.0.1:{server.server_port}", folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _discovery(manifests: list[Manifest]) -> dict[str, Any]:
    kinds: dict[str, set[str]] = {}
    for each in manifests:
        kinds.setdefault(each["apiVersion"], set()).add(each["kind"])
    groups = [
        {
            "name": version.partition("/")[0],
            "versions": [{"groupVersion": version, "version": version.partition("/")[2]}],
        }
        for version in kinds
        if "/" in version
    ]
    lists = {
        f"/{_root(version)}": {
            "kind": "APIResourceList",
            "groupVersion": version,
            "resources": [
                {"name": _plural(kind), "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]}
                for kind in found
            ],
        }
        for version, found in kinds.items()
    }
    return {
        **lists,
        "/version": {"major": "1", "minor": VERSION.split(".")[1], "gitVersion": VERSION},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }


def _path(manifest: Mapping[str, Any]) -> str:
    name = manifest["metadata"]["name"]
    return f"/{_root(manifest['apiVersion'])}/namespaces/{NAMESPACE}/{_plural(manifest['kind'])}/{name}"


def _root(version: str) -> str:
    return f"apis/{version}" if "/" in version else f"api/{version}"


def _plural(kind: str) -> str:
    name = kind.lower()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def _kubeconfig(url: str, folder: Path) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": url}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "users": [{"name": "test", "user": {}}],
            }
        )
    )
    return path
