"""docs/reference/metrics.md, from the catalogue of metrics."""

from docs.generate.tables import table
from trunkline.serving.telemetry.catalogue import METRICS

_INTRODUCTION = """\
# Metrics

This page is generated from `services/trunkline/serving/telemetry/catalogue.py` by `python -m docs.generate`.
[Monitoring](../operate/monitoring.md) says how to switch metrics on and what is counted where.

"""


def page() -> str:
    """The page, Markdown."""
    rows = [
        (f"`{each.name}`", each.kind, " ".join(f"`{label}`" for label in each.labels) or "none", each.meaning)
        for each in METRICS
    ]
    return _INTRODUCTION + table(("metric", "kind", "labels", "meaning"), rows) + "\n"
