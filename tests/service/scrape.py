"""Reads what a process shows at /metrics."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families


def get(address: str, path: str) -> tuple[int, str]:
    """Status and text of an HTTP answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.families = list(text_string_to_metric_families(text))
        self.samples = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum over the samples that have these labels; 0 where there are none."""
        return sum(found.value for found in self._matching(name, labels))

    def labels(self, name: str, label: str) -> set[str]:
        return {found.labels[label] for found in self._matching(name, {})}

    def _matching(self, name: str, labels: dict[str, str]) -> Iterator:
        return (each for each in self.samples if each.name == name and labels.items() <= each.labels.items())


async def scrape(address: str) -> Scrape:
    return Scrape((await asyncio.to_thread(get, address, "/metrics"))[1])


async def settled(address: str) -> Scrape:
    """A scrape at which no call is in flight: a caller hears of an error just before its call has ended."""
    for _ in range(300):
        found = await scrape(address)
        if found.value("trunkline_calls_in_flight") == 0:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("calls are still in flight")
