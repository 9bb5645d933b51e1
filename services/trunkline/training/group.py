"""The processes that torchrun started for one run: they share its work, and the first of them answers for it.

Without torchrun there is one process, and everything here does nothing.
"""

import logging
import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from trunkline.core.cpu import LOCAL_PROCESSES
from trunkline.core.errors import TrunklineError
from trunkline.core.progress import Watcher

_STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"
_PATIENCE = timedelta(hours=6)  # for a process that still works on its share
_log = logging.getLogger(__name__)
T = TypeVar("T")


def size() -> int:
    """How many processes there are, on all machines."""
    return int(os.environ["WORLD_SIZE"]) if _STARTED_BY_TORCHRUN in os.environ else 1


def rank() -> int:
    """Number of this process, from 0; that one watches, exports, evaluates and publishes."""
    return int(os.environ["RANK"]) if size() > 1 else 0


def shares() -> bool:
    """Whether there are several, and their common work goes on: from `join` to `leave`."""
    if size() == 1:
        return False
    import torch.distributed as dist

    return dist.is_initialized()


def join() -> None:
    """Find the other processes. Before all that follows."""
    if size() == 1:
        return
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo", timeout=_PATIENCE)
        _log.info("process %d of %d", rank() + 1, size())


def leave() -> None:
    """The common work is done. What comes is for one process, which may use all cores."""
    if size() == 1:
        return
    import torch.distributed as dist

    dist.barrier()
    dist.destroy_process_group()
    os.environ.pop(LOCAL_PROCESSES, None)


def together(work: Callable[[], T]) -> T:
    """Do this in all processes and wait for all. A TrunklineError of one is raised in each of them."""
    if size() == 1:
        return work()
    import torch.distributed as dist

    done: T | None = None
    failure: TrunklineError | None = None
    try:
        done = work()
    except TrunklineError as error:
        failure = error
    failures: list[TrunklineError | None] = [None] * size()
    dist.all_gather_object(failures, failure)
    for each in failures:
        if each is not None:
            raise each
    return done  # type: ignore[return-value]


def agreed(value: T) -> T:
    """What the first process says, where the disks of others may show something else."""
    if size() == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def trainer_options() -> dict[str, Any]:
    """For Lightning's Trainer."""
    if size() == 1:
        return {}
    from lightning.pytorch.strategies import DDPStrategy

    local = int(os.environ[LOCAL_PROCESSES])
    return {
        "strategy": DDPStrategy(process_group_backend="gloo", timeout=_PATIENCE),
        "devices": local,
        "num_nodes": size() // local,
    }


def silent(watcher: Watcher) -> Watcher:
    """The watcher in the first process, and one that tells nobody in the others."""
    return watcher if rank() == 0 else Watcher(lambda stage, done, total: None, lambda epoch: None)
