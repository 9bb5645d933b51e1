"""What jobs leave behind: work folders of those that ended, staging folders of workers that were killed."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from trunkline.core.staging import sweep_staging

_log = logging.getLogger(__name__)


def job_folder(work: Path, job: str) -> Path:
    """The folder of a job: its checkpoints, for as long as it has not ended."""
    return work / job


def sweep(ended: Iterable[str], work: Path, models: Path) -> list[str]:
    """Remove what is left of jobs that have ended and whose worker is gone; returns those of which nothing is."""
    swept = []
    for job in ended:
        shutil.rmtree(job_folder(work, job), ignore_errors=True)
        if not job_folder(work, job).exists():
            swept.append(job)
    for folder in sweep_staging(models):
        _log.info("removed %s, which a process that is gone had left", folder)
    return swept
