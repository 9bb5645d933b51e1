"""The HTTP port of a process: /metrics for Prometheus, /healthz and /readyz for those who cannot ask over gRPC."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import make_wsgi_app

from trunkline.core.host_port import parse_host_port

# Prometheus and probes need a few; each has a thread and a descriptor.
_MOST_CONNECTIONS = 16
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]


class Exposition:
    """Serves on threads of its own, so that a scrape never waits for the event loop, nor the loop for a scrape."""

    def __init__(self, address: str, registry: CollectorRegistry, ready: Callable[[], bool]) -> None:
        """Listens. Raises OSError where the address cannot be had. `address` then has the real port."""
        parsed = parse_host_port(address)
        host = parsed.bare_host
        self._metrics = make_wsgi_app(registry)
        self._ready = ready
        kind = _IPv6Server if ":" in host else _Server
        self._server = make_server(host, parsed.port, self._answer, kind, _Handler)
        self.address = str(parsed._replace(port=self._server.server_port))
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start_response)  # type: ignore[no-any-return]
            case "/healthz":
                return _say(start_response, "200 OK", "alive")
            case "/readyz":
                ready = self._ready()
                return _say(
                    start_response,
                    "200 OK" if ready else "503 Service Unavailable",
                    "ready" if ready else "not ready",
                )
        return _say(start_response, "404 Not Found", "here are /metrics, /healthz and /readyz")


def _say(start_response: Any, status: str, text: str) -> list[bytes]:
    start_response(status, _TEXT)
    return [text.encode() + b"\n"]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self._open: dict[Any, None] = {}  # the oldest first; each has a thread
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= _MOST_CONNECTIONS:
                self._end(next(iter(self._open)))
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def _end(self, request: Any) -> None:
        """Its thread finds that nothing more comes."""
        del self._open[request]
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        # HTTPServer's own would look up the name of the host, which may take seconds.
        self.allow_reuse_address = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = 10.0  # of a connection on which nothing comes, seconds

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name is the base class's)
        """Scrapes are no news."""
