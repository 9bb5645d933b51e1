"""100 swaps of a head under load: not one failed and not one wrong answer."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.service.bundles import linked_repository
from tests.service.versions import known_answer, write_version
from trunkline.client import AsyncCatalogClient, AsyncClient
from trunkline.core.catalog import pin_default
from trunkline.testing import serve, serve_split

VERSIONS = 8
CALLERS = 4
# The grace is so short that a version may be dropped before its turn comes again; then the swap loads and checks it.
QUICK = {"catalog_poll_s": 0.02, "refresh_s": 0.05, "request_timeout_s": 0.2}
# Longer than the grace and a look after it. Without some rests, a fast machine comes round to each version within it.
REST_S = 0.6
SWAPS_TO_A_REST = 2 * VERSIONS


@dataclass
class Seen:
    """What the callers got."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "swaps"), [(serve, 100), (serve_split, 100)])
async def test_swaps_under_load_lose_and_spoil_no_answer(form, swaps, models, tmp_path, photos, capsys, caplog):
    caplog.set_level(logging.INFO, "trunkline.serving.session")
    store = linked_repository(models, tmp_path)
    for version in range(1, VERSIONS + 1):
        write_version(store, "dots", version)
        pin_default(store, "dots")
    photo = photos[0].read_bytes()
    expected = {str(v): known_answer(store, "dots", v, photos[0]) for v in range(1, VERSIONS + 1)}
    seen = Seen()
    async with form(models=store, **QUICK) as host, AsyncClient(host.address) as client:
        await client.wait_ready(timeout_s=30)
        stop = asyncio.Event()
        callers = [asyncio.create_task(call(client, photo, expected, seen, stop)) for _ in range(CALLERS)]
        async with AsyncCatalogClient(host.address) as catalog:
            for swap in range(1, swaps + 1):
                await swap_to(catalog, swap % VERSIONS + 1, seen, callers)
                if swap % SWAPS_TO_A_REST == 0:
                    await asyncio.sleep(REST_S)
            revision = (await catalog.model("dots")).catalog.revision
        stop.set()
        await asyncio.gather(*callers)
    total, loads = sum(seen.answers.values()), sum(" loaded" in line and "dots/" in line for line in caplog.messages)
    with capsys.disabled():
        print(f"\n{form.__name__}: {swaps} swaps, {loads} loads, {total} calls by {CALLERS} callers")
    assert seen.failed == []
    assert seen.wrong == []
    assert revision == swaps
    assert set(seen.answers) == set(expected)
    assert total >= swaps
    assert loads > VERSIONS  # versions came back after they had been dropped


async def swap_to(catalog: AsyncCatalogClient, version: int, seen: Seen, callers: list[asyncio.Task[None]]) -> None:
    """Promote, then wait until a caller got an answer of the new version."""
    model = await catalog.promote("dots", version, force=True)
    assert model.catalog.default == version
    before = seen.answers[str(version)]
    async with asyncio.timeout(30):
        while seen.answers[str(version)] == before:
            seen.arrived.clear()
            await seen.arrived.wait()
    assert not any(caller.done() for caller in callers)


async def call(
    client: AsyncClient, photo: bytes, expected: dict[str, dict[str, float]], seen: Seen, stop: asyncio.Event
) -> None:
    """Ask one question after the other; each answer must be that of the version that it names."""
    while not stop.is_set():
        try:
            answer = await client.classify(photo, "dots", timeout_s=30)
        except Exception as error:
            seen.failed.append(error)
        else:
            got = {label.label: label.score for label in answer.result.labels}
            if got != pytest.approx(expected[answer.version], abs=1e-5):
                seen.wrong.append(f"{answer.version}: {got}")
            seen.answers[answer.version] += 1
        seen.arrived.set()


def test_the_versions_differ_by_more_than_rounding(models, tmp_path, photos: list[Path]):
    """Otherwise a wrong answer would not be seen."""
    store = linked_repository(models, tmp_path)
    answers = {}
    for version in range(1, VERSIONS + 1):
        write_version(store, "dots", version)
        scores = known_answer(store, "dots", version, photos[0])
        assert all(label.startswith(f"v{version} ") for label in scores)
        answers[version] = [round(score, 3) for score in scores.values()]
    assert len({tuple(scores) for scores in answers.values()}) == VERSIONS
