"""A gRPC process: server, health, reflection, and a drain that loses nothing."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from trunkline.core.errors import ConfigurationError
from trunkline.core.host_port import is_socket, parse_host_port
from trunkline.serving.accepting import make_server
from trunkline.serving.budget import ByteBudget
from trunkline.serving.channel import message_limits
from trunkline.serving.connections import connection_options
from trunkline.serving.interceptors import GuardInterceptor
from trunkline.serving.parent import port_is_kept
from trunkline.serving.reads import in_thread
from trunkline.serving.receiving import Receiver, Rules, rules_of
from trunkline.serving.security.own_socket import own_socket, remove_socket
from trunkline.serving.security.security import Security
from trunkline.serving.settings import Settings
from trunkline.serving.telemetry import catalogue
from trunkline.serving.telemetry.interceptor import ObservingInterceptor
from trunkline.serving.telemetry.telemetry import Telemetry

OVERALL = ""  # the name under which grpc.health.v1 keeps the state of the whole process
_LOOK_S = 1.0  # between two looks at the files that are read again when they change
LIVE = "live"  # and the one under which it says that the process answers at all, ready or not
_log = logging.getLogger(__name__)


class Host:
    """One server with grpc.health.v1 and reflection.

    Everything is NOT_SERVING until it is said to be ready. Names of health: "" for the process, each service's
    full name, "head/NAME" for each head, and "live", which is SERVING from the first moment until the drain.
    """

    def __init__(self, settings: Settings, role: str = "all-in-one") -> None:
        """`role` is for metrics and traces.

        Raises ConfigurationError where traces are wanted and cannot be had, or files of certificates not be used.
        """
        self._settings = settings
        self.security = Security(settings)
        self.telemetry = Telemetry(settings, role)
        self.budget = ByteBudget(settings.request_memory_mib * 1024 * 1024)
        self._receiver = Receiver(self.budget, ByteBudget(self.budget.limit_bytes // 2))
        self.telemetry.read(catalogue.DENIED, self.security.record.counts)
        self._server = self._made_server()
        self._admin: grpc.aio.Server | None = None  # of the services for those who operate it, where that is apart
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._services: list[str] = []
        self._admin_services: list[str] = []
        self._when_ready: list[Callable[[], None]] = []
        self._before_drain: list[Callable[[], None]] = []
        self._down: set[str] = set()  # services that cannot serve just now, while the process does
        self._is_ready = False
        self._following: asyncio.Task[None] | None = None
        self.address = settings.address
        self.admin_address = ""  # where catalog and training are, if that is a port of their own
        self.own_address = ""  # a socket at which this process alone reaches itself, where something needs that
        self.http_address = ""  # of the HTTP port before this server, where there is one

    def _made_server(self) -> grpc.aio.Server:
        made: grpc.aio.Server = make_server(
            [ObservingInterceptor(self.telemetry), GuardInterceptor(self._receiver, self._rules, self.security)],
            [
                *message_limits(self._settings.max_message_bytes),
                *connection_options(),
                # Otherwise a second server could take the same port unseen, and half of the calls. Where the port is
                # kept by who started this process, nobody else gets it.
                ("grpc.so_reuseport", int(port_is_kept())),
                # Clients ask every 10 s whether a quiet stream or an idle connection still stands; by default that is
                # taken for abuse. More often it is: a third ping too soon ends the connection.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                *_connection_age(self._settings.connection_age_s),
            ],
        )
        return made

    def add(self, service: str, register: Callable[[grpc.aio.Server], None], *, for_operators: bool = False) -> None:
        """Serve the gRPC service of this full name; before start().

        for_operators: at TRUNKLINE_ADMIN_ADDRESS alone, where that is set.
        """
        if not for_operators or not self._settings.admin_address:
            register(self._server)
            self._services.append(service)
            return
        if self._admin is None:
            self._admin = self._made_server()
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._admin)
        register(self._admin)
        self._admin_services.append(service)

    async def start(self) -> None:
        """Listen. Raises ConfigurationError where the address cannot be had. `address` then has the real port."""
        await self.set_ready([OVERALL, *self._services, *self._admin_services], ready=False)
        await self.set_ready([LIVE], ready=True)
        self._reflect(self._server, self._services)
        self.address = self._listen(self._server, self._settings.address)
        if self._admin is not None:
            self._reflect(self._admin, self._admin_services)
            self.admin_address = self._listen(self._admin, self._settings.admin_address)
            await self._admin.start()
        if self._settings.http_address or self.security.tls is not None:
            self.own_address = own_socket(self.address)
            if self.own_address != self.address:
                self._listen(self._server, self.own_address)
        await self._server.start()
        self._receiver.receipts.start()
        self._following = asyncio.create_task(self._follow())
        self.telemetry.start()

    async def set_ready(self, names: Iterable[str], *, ready: bool) -> None:
        """Tell health checks and watchers about these names."""
        names = tuple(names)
        if OVERALL in names:
            self.telemetry.ready = ready
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in names:
            await self._health.set(name, status)

    async def ready(self, *further: str) -> None:
        """The process, its services and these further names serve from now on."""
        self._is_ready = True
        services = {*self._services, *self._admin_services}
        await self.set_ready([*(services - self._down), *further, OVERALL], ready=True)
        for act in self._when_ready:
            act()

    async def set_service(self, name: str, *, ready: bool) -> None:
        """One service alone can serve, or cannot: it is shown as soon as the process is ready."""
        self._down = self._down - {name} if ready else self._down | {name}
        if self._is_ready:
            await self.set_ready([name], ready=ready)

    def when_ready(self, act: Callable[[], None]) -> None:
        """Call this when the process is said to be ready."""
        self._when_ready.append(act)

    def before_drain(self, act: Callable[[], None]) -> None:
        """Call this when the drain begins: what would hold calls open, or goes on by itself, is told to end."""
        self._before_drain.append(act)

    async def drain(self) -> None:
        """Say NOT_SERVING, wait until it was seen, refuse new calls, finish those in flight within bounds."""
        _log.info("draining: NOT_SERVING for %.1f s, then calls in flight", self._settings.drain_pause_s)
        for act in self._before_drain:
            act()
        self.telemetry.ready = False
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_pause_s)
        servers = [server for server in (self._server, self._admin) if server is not None]
        await asyncio.gather(*(server.stop(self._settings.drain_s) for server in servers))
        await self._receiver.close()
        await self.telemetry.stop()
        if self.own_address not in ("", self.address):
            remove_socket(self.own_address)
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    def _reflect(self, server: grpc.aio.Server, services: Sequence[str]) -> None:
        if self.security.reflection:
            reflection.enable_server_reflection([health.SERVICE_NAME, reflection.SERVICE_NAME, *services], server)

    def _listen(self, server: grpc.aio.Server, address: str) -> str:
        """With TLS where there are certificates and others can hear; the address with its real port.

        Raises ConfigurationError.
        """
        try:
            if self.security.tls is None or is_socket(address):
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, self.security.tls.server_credentials())
            return address if is_socket(address) else str(parse_host_port(address)._replace(port=port))
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot listen on {address}: the port is taken or not ours; choose another with --address HOST:PORT"
            ) from error

    async def _follow(self) -> None:
        """See each second what was put in the place of the files that this process was started with."""
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await in_thread(self.security.look)
            except Exception:
                _log.exception("bug in looking at the files of certificates and callers")

    def _rules(self, method: str) -> Rules:
        return rules_of(method, self._settings.max_image_bytes, self._settings.max_message_bytes)


def _connection_age(age_s: float) -> list[tuple[str, int]]:
    """A connection that is too old takes no new calls and ends with its last one, however long that takes."""
    return [("grpc.max_connection_age_ms", round(1000 * age_s))] if age_s else []
