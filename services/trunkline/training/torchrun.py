"""A job in several processes of this machine: `python -m trunkline.training.torchrun JOB`.

torchrun starts and watches the workers; where one dies it ends the others, and the attempt is over.
"""

import os
import shutil
import sys
from contextlib import suppress

from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from trunkline.core.cpu import available_cores
from trunkline.jobs.database import Database
from trunkline.jobs.launcher import OWNER, WORKER_MODULE
from trunkline.jobs.leases import Claim, LeaseLostError, Leases
from trunkline.jobs.local import PARENT
from trunkline.jobs.sweep import job_folder
from trunkline.serving.logs import set_up_logs
from trunkline.serving.settings import Settings, read_settings
from trunkline.training.process import die_with_parent


def main() -> int:
    """Status 0 where the job has another state by now, which may be FAILED."""
    die_with_parent()
    settings = read_settings()
    set_up_logs(settings.log_level, f"torchrun {sys.argv[1]}", settings.log_format)
    if PARENT in os.environ:
        os.environ[PARENT] = str(os.getpid())
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // settings.training_processes)))
    try:
        run.main(_arguments(settings, sys.argv[1]))
    except SignalException:
        _hand_back(settings, sys.argv[1])
    except ChildFailedError:  # it has logged which
        return 1
    return 0


def _arguments(settings: Settings, job: str) -> list[str]:
    logs = job_folder(settings.training_work, job) / "torchrun"
    where = ["--standalone", "--local-addr", "127.0.0.1", "--log-dir", str(logs)]
    return [
        *where,
        "--nproc-per-node",
        str(settings.training_processes),
        "--max-restarts",
        "0",
        "-m",
        WORKER_MODULE,
        job,
    ]


def _hand_back(settings: Settings, job: str) -> None:
    """Told to stop: that is no death of the job."""
    with suppress(LeaseLostError):
        leases = Leases(Database(settings.training_database))
        if leases.stopped(Claim(job, os.environ.get(OWNER, ""))).final:
            shutil.rmtree(job_folder(settings.training_work, job), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
