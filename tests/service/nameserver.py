"""A real name server on a free port, whose answers a test changes as a cluster does those for headless Services."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dnslib import QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer


class Names(BaseResolver):
    """Answers with the `addresses` of the first label of a name, as an A record each.

    keep_s: for how many seconds it gives the answer that it gave first, as the cache of a cluster's DNS does.
    """

    def __init__(self, addresses: dict[str, list[str]], keep_s: float = 0) -> None:
        self.addresses = addresses
        self.port = 0
        self._keep_s = keep_s
        self._kept: dict[str, tuple[float, list[str]]] = {}  # by label: when it ends, and what it says

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        answer = request.reply()
        if request.q.qtype == QTYPE.A:
            ends_at, found = self.look_up(str(request.q.qname).partition(".")[0])
            ttl = max(1, math.ceil(ends_at - time.monotonic()))
            for address in found:
                answer.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=ttl))
        return answer

    def look_up(self, label: str) -> tuple[float, Sequence[str]]:
        """When the answer ends, by time.monotonic(), and its addresses."""
        now = time.monotonic()
        if label not in self._kept or self._kept[label][0] <= now:
            self._kept[label] = now + self._keep_s, list(self.addresses.get(label, []))
        return self._kept[label]

    def refresh(self, label: str) -> None:
        """Forget what is kept and keep what holds now: the worst moment for a change to come."""
        self._kept.pop(label, None)
        self.look_up(label)


@contextmanager
def name_server(
    addresses: dict[str, list[str]], keep_s: float = 0, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Names]:
    """Serve names at `host` and at `port` of what is yielded; 0 takes a free one."""
    names = Names(addresses, keep_s)
    server = DNSServer(names, address=host, port=port, logger=DNSLogger(logf=DNSLogger.log_pass))
    names.port = server.server.server_address[1]
    server.start_thread()
    try:
        yield names
    finally:
        server.stop()
        server.server.server_close()
