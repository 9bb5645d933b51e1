"""The metrics of one process in a registry of its own. Imported only where metrics are on."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from trunkline.serving.telemetry import catalogue
from trunkline.serving.telemetry.call import Call
from trunkline.serving.telemetry.catalogue import Metric

Reading = float | Mapping[tuple[str, ...], float]
_OTHER = "other"
_log = logging.getLogger(__name__)


class Metrics:
    """Counters and histograms that are updated as things happen, and values that are read at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._readings = _Readings()
        self.registry.register(self._readings)
        ProcessCollector(registry=self.registry)
        self.started = self._counter(catalogue.CALL_STARTED)
        self.duration = self._histogram(catalogue.CALL_DURATION)
        self.received = self._histogram(catalogue.CALL_RECEIVED)
        self.sent = self._histogram(catalogue.CALL_SENT)
        self.pass_duration = self._histogram(catalogue.PASS_DURATION)
        self.queue = self._histogram(catalogue.QUEUE_DURATION)
        self.decode = self._histogram(catalogue.DECODE_DURATION)
        self.backbone = self._histogram(catalogue.BACKBONE_DURATION)
        self.head = self._histogram(catalogue.HEAD_DURATION)
        self.passes = self._histogram(catalogue.PASSES)
        self.refused = self._counter(catalogue.REFUSED)
        self._in_flight: dict[tuple[str, ...], float] = {}
        self.read(catalogue.CALLS_IN_FLIGHT, lambda: self._in_flight)

    def read(self, metric: Metric, value: Callable[[], Reading]) -> None:
        """At each scrape show value(): a number, or for a metric with labels a number for each tuple of theirs.

        It is called on a thread of its own, so it reads and changes nothing. A counter's value never falls.
        """
        self._readings.add(metric, value)

    def call_began(self, method: str) -> None:
        self.started.labels(method).inc()
        self._in_flight[method,] = self._in_flight.get((method,), 0) + 1

    def call_ended(self, call: Call, status: str, seconds: float) -> None:
        method = call.method
        self._in_flight[method,] -= 1
        self.duration.labels(method, status).observe(seconds)
        self.received.labels(method, status).observe(call.received_bytes)
        if call.streams or status != "OK":  # an only answer is counted where it is serialized, after this
            self.sent.labels(method, status).observe(call.sent_bytes)
        if call.passes is not None and not call.streams:
            self.passes.observe(call.passes)

    def passed(self, queue_s: float, decode_s: float, backbone_s: float) -> None:
        """Where the time of a pass went; what took none did not happen."""
        self.queue.observe(queue_s)
        self.decode.observe(decode_s)
        if backbone_s > 0:
            self.backbone.observe(backbone_s)

    def head_ended(self, head: str | None, status: str, seconds: float) -> None:
        """`head` is None where there is no such head: names that callers make up must not become labels."""
        self.head.labels(_OTHER if head is None else head, status).observe(seconds)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)


class _Readings(Collector):
    """Values that are kept elsewhere and read at each scrape."""

    def __init__(self) -> None:
        self._values: list[tuple[Metric, Callable[[], Reading]]] = []
        self._adding = threading.Lock()

    def add(self, metric: Metric, value: Callable[[], Reading]) -> None:
        with self._adding:
            self._values = [*self._values, (metric, value)]

    def collect(self) -> Iterable[Family]:
        for metric, value in self._values:
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.meaning, labels=metric.labels)
            for labels, number in _samples(metric, value):
                family.add_metric(labels, number)
            yield family


def _samples(metric: Metric, value: Callable[[], Reading]) -> list[tuple[tuple[str, ...], float]]:
    """Labels and number of each series. A reading that fails costs its metric, not the scrape."""
    try:
        found = value()
        return list(found.items()) if isinstance(found, Mapping) else [((), found)]
    except Exception:
        _log.exception("bug in reading the metric %s", metric.name)
        return []
