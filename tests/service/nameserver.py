"""A real name server on a free port: one name, whose addresses a test changes as a headless Service does."""

from collections.abc import Iterator
from contextlib import contextmanager

from dnslib import QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer


class Names(BaseResolver):
    """Answers every name that begins with `label` with `addresses`, as an A record each."""

    def __init__(self, label: str, addresses: list[str]) -> None:
        self.label, self.addresses = label, addresses
        self.asked = 0
        self.port = 0

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        answer = request.reply()
        if request.q.qtype == QTYPE.A and str(request.q.qname).startswith(self.label):
            self.asked += 1
            for address in self.addresses:
                answer.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=1))
        return answer


@contextmanager
def name_server(label: str, addresses: list[str]) -> Iterator[Names]:
    """Serve names at 127.0.0.1:`port` of what is yielded."""
    names = Names(label, addresses)
    server = DNSServer(names, address="127.0.0.1", port=0, logger=DNSLogger(logf=DNSLogger.log_pass))
    names.port = server.server.server_address[1]
    server.start_thread()
    try:
        yield names
    finally:
        server.stop()
        server.server.server_close()
