"""Parts that break: files that hang or are damaged, processes that stop."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import psutil

from benchmarks.hostile.case import CATALOG, GALLERIES, SPLIT, TRAINING, Case, Codes, Where, ask, channel


def _hanging_catalog(where: Where) -> Codes:
    """A FIFO in the place of the catalog of one head: a read of it never ends, as on a network disk that is away."""
    catalog = where.models / "heads/pets/catalog.json"
    if catalog.exists():
        catalog.unlink()
    os.mkfifo(catalog)
    found = Counter[str]()
    ends_at = time.monotonic() + where.seconds
    with closing(channel(where.address)) as opened:
        while time.monotonic() < ends_at:
            found[f"list models {ask(opened, f'{CATALOG}ListModels', b'', timeout_s=2)}"] += 1
            time.sleep(0.5)
    return found


def _damage(folder: Path) -> Mapping[str, str]:
    rubbish = random.Random(8).randbytes(40_000)
    paths = folder / "galleries.db", folder / "jobs.db"
    for path in paths:
        path.write_bytes(rubbish)
    return {
        "TRUNKLINE_GALLERY_DATABASE": f"sqlite:///{paths[0]}",
        "TRUNKLINE_TRAINING_DATABASE": f"sqlite:///{paths[1]}",
    }


def _damaged_databases(where: Where) -> Codes:
    found = Counter[str]()
    ends_at = time.monotonic() + where.seconds
    with closing(channel(where.address)) as opened:
        while time.monotonic() < ends_at:
            found[f"galleries {ask(opened, f'{GALLERIES}ListGalleries', b'', timeout_s=5)}"] += 1
            found[f"jobs {ask(opened, f'{TRAINING}ListTrainingJobs', b'', timeout_s=5)}"] += 1
            time.sleep(0.2)
    return found


def _stopped_children(where: Where) -> Codes:
    """All children that the good calls do not need stand still; those of others are asked meanwhile."""
    stopped = [each for each in psutil.Process(where.pid).children(recursive=True) if _is_spare(each)]
    for each in stopped:
        each.send_signal(signal.SIGSTOP)
    found = Counter({"stopped": len(stopped)})
    ends_at = time.monotonic() + where.seconds
    try:
        with closing(channel(where.address)) as opened:
            while time.monotonic() < ends_at:
                found[f"list models {ask(opened, f'{CATALOG}ListModels', b'', timeout_s=2)}"] += 1
                found[f"list jobs {ask(opened, f'{TRAINING}ListTrainingJobs', b'', timeout_s=2)}"] += 1
    finally:
        for each in stopped:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signal.SIGCONT)
    return found


def _is_spare(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        words = process.cmdline()
        return bool({"catalog", "training", "segmentation", "regression"} & set(words))
    return False


CASES = (
    Case("a FIFO in the place of a catalog.json", _hanging_catalog),
    Case("both databases damaged", _damaged_databases, prepare=_damage),
    Case("stopped children", _stopped_children, (SPLIT,)),
)
