"""A real name server on a free port, whose answers a test changes as a cluster does those for headless Services."""

from collections.abc import Iterator
from contextlib import contextmanager

from dnslib import QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer


class Names(BaseResolver):
    """Answers with the `addresses` of the first label of a name, as an A record each."""

    def __init__(self, addresses: dict[str, list[str]]) -> None:
        self.addresses = addresses
        self.port = 0

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        answer = request.reply()
        if request.q.qtype == QTYPE.A:
            for address in self.addresses.get(str(request.q.qname).partition(".")[0], []):
                answer.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(address), ttl=1))
        return answer


@contextmanager
def name_server(addresses: dict[str, list[str]]) -> Iterator[Names]:
    """Serve names at 127.0.0.1:`port` of what is yielded."""
    names = Names(addresses)
    server = DNSServer(names, address="127.0.0.1", port=0, logger=DNSLogger(logf=DNSLogger.log_pass))
    names.port = server.server.server_address[1]
    server.start_thread()
    try:
        yield names
    finally:
        server.stop()
        server.server.server_close()
