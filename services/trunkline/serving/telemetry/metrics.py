"""The metrics of one process in a registry of its own. Imported only where metrics are on."""

import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from trunkline.serving.telemetry import catalogue
from trunkline.serving.telemetry.call import OTHER, Call
from trunkline.serving.telemetry.catalogue import Metric
from trunkline.serving.telemetry.tally import Distribution, Tally

Reading = float | Mapping[tuple[str, ...], float]
_log = logging.getLogger(__name__)


class Metrics(Collector):
    """Counters and histograms that are updated as things happen, and values that are read at each scrape."""

    def __init__(self) -> None:
        self._readings: list[tuple[Metric, Callable[[], Reading]]] = []
        self._histograms: list[tuple[Metric, Distribution]] = []
        self.started = self._counter(catalogue.CALL_STARTED)
        self.in_flight = self._counter(catalogue.CALLS_IN_FLIGHT)
        self.refused = self._counter(catalogue.REFUSED)
        self.duration = self._histogram(catalogue.CALL_DURATION)
        self.received = self._histogram(catalogue.CALL_RECEIVED)
        self.sent = self._histogram(catalogue.CALL_SENT)
        self.pass_duration = self._histogram(catalogue.PASS_DURATION)
        self.queue = self._histogram(catalogue.QUEUE_DURATION)
        self.decode = self._histogram(catalogue.DECODE_DURATION)
        self.backbone = self._histogram(catalogue.BACKBONE_DURATION)
        self.head = self._histogram(catalogue.HEAD_DURATION)
        self.passes = self._histogram(catalogue.PASSES)
        self.registry = CollectorRegistry()
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def read(self, metric: Metric, value: Callable[[], Reading]) -> None:
        """At each scrape show value(): a number, or for a metric with labels a number for each tuple of theirs.

        It is called on a thread of its own, so it reads and changes nothing. A counter's value never falls.
        Raises ValueError for a metric that is read already: what is summed or labelled is one reading.
        """
        if any(metric.name == known.name for known, _ in self._readings):
            raise ValueError(f"{metric.name} is read already")
        self._readings.append((metric, value))

    def call_began(self, method: str) -> None:
        self.started.add(1, method)
        self.in_flight.add(1, method)

    def call_ended(self, call: Call, status: str, seconds: float) -> None:
        method = call.method
        self.in_flight.add(-1, method)
        self.duration.add(seconds, method, status)
        self.received.add(call.received_bytes, method, status)
        if call.streams or status != "OK":  # an only answer is counted where it is serialized, after this
            self.sent.add(call.sent_bytes, method, status)
        if call.passes is not None and not call.streams:
            self.passes.add(call.passes)

    def passed(self, backbone: str, queue_s: float, decode_s: float, backbone_s: float) -> None:
        """Where the time of a pass went; a stage that took none did not happen, and nothing waited for none."""
        if decode_s > 0 or backbone_s > 0:
            self.queue.add(queue_s)
        if decode_s > 0:
            self.decode.add(decode_s)
        if backbone_s > 0:
            self.backbone.add(backbone_s, backbone)

    def head_ended(self, head: str | None, status: str, seconds: float) -> None:
        """`head` is None where there is no such head: names that callers make up must not become labels."""
        self.head.add(seconds, OTHER if head is None else head, status)

    def collect(self) -> Iterable[Family]:
        """All of it, for a scrape."""
        for metric, value in list(self._readings):
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.name, metric.meaning, labels=metric.labels)
            for labels, number in _samples(metric, value):
                family.add_metric(labels, number)
            yield family
        for metric, distribution in self._histograms:
            histogram = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
            for labels, buckets, total in distribution.read():
                histogram.add_metric(labels, buckets, total)
            yield histogram

    def _counter(self, metric: Metric) -> Tally:
        tally = Tally()
        self.read(metric, tally.read)
        return tally

    def _histogram(self, metric: Metric) -> Distribution:
        distribution = Distribution(metric.buckets, len(metric.labels))
        self._histograms.append((metric, distribution))
        return distribution


def _samples(metric: Metric, value: Callable[[], Reading]) -> list[tuple[tuple[str, ...], float]]:
    """Labels and number of each series. A reading that fails costs its metric, not the scrape."""
    try:
        found = value()
        return list(found.items()) if isinstance(found, Mapping) else [((), found)]
    except Exception:
        _log.exception("bug in reading the metric %s", metric.name)
        return []
