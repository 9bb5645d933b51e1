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


def clear(work: Path, job: str) -> bool:
    """Remove the folder of a job; whether nothing of it is left."""
    folder = job_folder(work, job)
    if folder.parent != work or folder.name in ("", ".."):
        return True  # an id that is none of ours, in a database that is damaged
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def sweep(ended: Iterable[str], work: Path, models: Path) -> list[str]:
    """Remove what is left of jobs that have ended and whose worker is gone; returns those of which nothing is."""
    swept = [job for job in ended if clear(work, job)]
    for folder in sweep_staging(models):
        _log.info("removed %s, left by a process that has ended", folder)
    return swept
