"""HDR histograms of latencies: microseconds, to three digits, which add up over processes without loss.

Source: G. Tene, HdrHistogram, https://hdrhistogram.github.io/HdrHistogram/.
"""

from collections.abc import Iterable

from hdrh.histogram import HdrHistogram

_LONGEST_US = 600_000_000
_DIGITS = 3
SHARES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)


def new_histogram(digits: int = _DIGITS) -> HdrHistogram:
    """For microseconds, 1 to ten minutes, to `digits` digits."""
    return HdrHistogram(1, _LONGEST_US, digits)


def record_s(histogram: HdrHistogram, seconds: float) -> None:
    """Add a duration; one beyond the ends counts as the end."""
    histogram.record_value(min(_LONGEST_US, max(1, round(seconds * 1e6))))


def percentile_ms(histogram: HdrHistogram, share: float) -> float:
    """Latency in milliseconds that `share` percent of the calls did not exceed; nan where there were none."""
    if not histogram.get_total_count():
        return float("nan")
    return float(histogram.get_value_at_percentile(share)) / 1000


def mean_ms(histogram: HdrHistogram) -> float:
    """Mean in milliseconds; nan where there were none."""
    return float(histogram.get_mean_value()) / 1000 if histogram.get_total_count() else float("nan")


def encoded(histogram: HdrHistogram) -> str:
    """The histogram as text: HdrHistogram's own compressed form, V2, in base64."""
    return str(histogram.encode().decode())


def merged(texts: Iterable[str], digits: int = _DIGITS) -> HdrHistogram:
    """One histogram of several that were encoded."""
    total = new_histogram(digits)
    for text in texts:
        total.add(HdrHistogram.decode(text.encode()))
    return total
