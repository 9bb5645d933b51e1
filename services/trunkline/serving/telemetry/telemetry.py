"""What of metrics, traces and access log is switched on in a process. What is off is not even imported."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from trunkline import __version__
from trunkline.core.errors import ConfigurationError
from trunkline.serving.settings import Settings
from trunkline.serving.telemetry import catalogue
from trunkline.serving.telemetry.catalogue import Metric

if TYPE_CHECKING:
    from trunkline.serving.telemetry.exposition import Exposition
    from trunkline.serving.telemetry.metrics import Metrics
    from trunkline.serving.telemetry.tracing import Tracing

_OTLP_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_log = logging.getLogger(__name__)


class Telemetry:
    """`metrics` and `tracing` are None where they are off."""

    def __init__(self, settings: Settings, role: str) -> None:
        """Raises ConfigurationError where traces are wanted and their packages are missing."""
        self._wanted = settings.metrics_address
        self._exposition: Exposition | None = None
        self.metrics: Metrics | None = _metrics() if self._wanted else None
        self.tracing: Tracing | None = _tracing(settings.otel_endpoint, role)
        self.access_log = settings.access_log
        self.ready = False
        self.read(catalogue.READY, lambda: float(self.ready))
        self.read(catalogue.BUILD_INFO, lambda: {(role, __version__): 1.0})

    @property
    def on(self) -> bool:
        """Whether anything looks at what happens within a call."""
        return self.metrics is not None or self.tracing is not None or self.access_log

    @property
    def address(self) -> str:
        """Where metrics are served; empty where they are not."""
        return self._exposition.address if self._exposition is not None else ""

    def read(self, metric: Metric, value: Callable[[], float | Mapping[tuple[str, ...], float]]) -> None:
        """At each scrape show value(); see Metrics.read. Nothing where metrics are off."""
        if self.metrics is not None:
            self.metrics.read(metric, value)

    def start(self) -> None:
        """Listen for scrapes. A port that cannot be had costs the metrics, not the service."""
        if self.metrics is None:
            return
        from trunkline.serving.telemetry.exposition import Exposition

        try:
            self._exposition = Exposition(self._wanted, self.metrics.registry, lambda: self.ready)
        except OSError as error:
            _log.warning(
                "no metrics: cannot listen on %s (%s); choose another address with --metrics-address HOST:PORT",
                self._wanted,
                error.strerror or error,
            )
        else:
            _log.info("metrics at http://%s/metrics", self.address)

    async def stop(self) -> None:
        """Send the spans that are left, and stop listening."""
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        if self._exposition is not None:
            await asyncio.to_thread(self._exposition.close)


def _metrics() -> "Metrics":
    from trunkline.serving.telemetry.metrics import Metrics

    return Metrics()


def _tracing(endpoint: str, role: str) -> "Tracing | None":
    if not endpoint and not any(map(os.environ.get, _OTLP_VARIABLES)):
        return None
    try:
        from trunkline.serving.telemetry.tracing import Tracing
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"traces need {error.name}, which is not installed: pip install 'trunkline[otel]', or unset "
            "TRUNKLINE_OTEL_ENDPOINT and OTEL_EXPORTER_OTLP_ENDPOINT"
        ) from error
    return Tracing(endpoint or None, role)
