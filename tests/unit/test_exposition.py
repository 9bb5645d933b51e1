"""The port of metrics, with connections that do nothing."""

import socket
import threading
import time
import urllib.request

from prometheus_client import CollectorRegistry, Gauge

from trunkline.serving.telemetry.exposition import Exposition

IDLE = 100


def test_idle_connections_take_no_more_threads_than_a_few_and_no_scrape():
    registry = CollectorRegistry()
    Gauge("warmth", "of the room", registry=registry).set(21)
    exposition = Exposition("127.0.0.1:0", registry, lambda: True)
    host, _, port = exposition.address.partition(":")
    before = threading.active_count()
    idle = []
    try:
        for _ in range(IDLE):
            idle.append(socket.create_connection((host, int(port)), timeout=10))
        with urllib.request.urlopen(f"http://{exposition.address}/metrics", timeout=10) as answer:
            assert b"warmth 21.0" in answer.read()
        # Within less than the time after which each goes by itself.
        ends_at = time.monotonic() + 5
        while threading.active_count() - before > IDLE // 4 and time.monotonic() < ends_at:
            time.sleep(0.05)
        assert threading.active_count() - before <= IDLE // 4
        assert idle[0].recv(1) == b""
    finally:
        for each in idle:
            each.close()
        exposition.close()
