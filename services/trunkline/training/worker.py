"""The program of one job: `python -m trunkline.training.worker JOB`, with the token in TRUNKLINE_WORKER_OWNER.

Under torchrun it is one of several that share the job. It knows the job from the database alone, so it may run on
any machine that reaches the database, the data and the folders.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from trunkline.core.bundle import Bundle, HeadManifest, read_bundle
from trunkline.core.errors import ServiceUnavailableError, TrunklineError
from trunkline.core.jobs import JobError
from trunkline.core.progress import Watcher
from trunkline.core.roots import DataRoots
from trunkline.core.store import ModelStore
from trunkline.jobs.database import Database
from trunkline.jobs.launcher import OWNER
from trunkline.jobs.leases import Claim, LeaseLostError, Leases, Work
from trunkline.jobs.sweep import job_folder
from trunkline.serving.ends import end_with
from trunkline.serving.logs import set_up_logs
from trunkline.serving.settings import Settings, read_settings
from trunkline.serving.status import error_info, to_status
from trunkline.serving.store.opening import open_models
from trunkline.training import group
from trunkline.training.data.accept import accept_data
from trunkline.training.data.reading import confine, limit_annotations
from trunkline.training.heartbeat import LEASE_S, Heartbeat
from trunkline.training.process import Sigterm, die_with_parent, ignore_sigterm
from trunkline.training.published import find_published
from trunkline.training.recorder import Recorder

_TELL_FOR_S = 60.0
_log = logging.getLogger(__name__)


def main() -> int:
    """Status 0 where the job has another state by now, which may be FAILED."""
    die_with_parent()
    settings = read_settings()
    job, owner = sys.argv[1], os.environ.get(OWNER, "")
    set_up_logs(settings.log_level, f"worker {job}", settings.log_format)
    confine(DataRoots(settings.training_data_roots))
    limit_annotations(settings.training_annotations_mib)
    if group.rank():
        return _help(settings, job, owner)
    for talkative in ("onnx_ir", "onnxscript"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    sigterm = Sigterm()
    leases, claim = Leases(Database(settings.training_database)), Claim(job, owner)
    try:
        work = leases.begin(claim, LEASE_S)
        with Heartbeat(leases, claim):
            _tell(_work(leases, claim, work, settings, sigterm))
    except LeaseLostError as error:
        _log.warning("%s", error)
    return 0


def _help(settings: Settings, job: str, owner: str) -> int:
    """In the other processes of a group: the same work up to the trained net. What it is worth the first one tells.

    SIGTERM ends these at once.
    """
    try:
        work = Leases(Database(settings.training_database)).begin(Claim(job, owner), LEASE_S)
        store = open_models(work.models, settings.models_cache)
        if work.job.attempt > 1 and find_published(work, store) is not None:
            return 0
        _trained(work, store, settings, Watcher(lambda stage, done, total: None, lambda epoch: None))
    except (LeaseLostError, TrunklineError) as error:
        _log.warning("%s", error)
    return 0


def _work(leases: Leases, claim: Claim, work: Work, settings: Settings, sigterm: Sigterm) -> Callable[[], object]:
    """Do the job, and return what is to be written about it."""
    folder = job_folder(settings.training_work, claim.job)
    try:
        store = open_models(work.models, settings.models_cache)
        found = find_published(work, store) if work.job.attempt > 1 else None
        found = found or _train(leases, claim, work, store, settings, folder)
    except (SystemExit, Exception) as error:
        # A library whose import a SIGTERM breaks off says so with an error of its own.
        if not sigterm.seen:
            if isinstance(error, SystemExit) or (group.size() > 1 and not isinstance(error, TrunklineError)):
                raise  # a library gave up, or another process of the group died: that is a death like any other
            ignore_sigterm()
            failure = _failure(error)
            shutil.rmtree(folder, ignore_errors=True)
            return lambda: leases.failed(claim, failure)
        ignore_sigterm()
        # Between the moment in which it is published and the end of the function that did it.
        found = find_published(work, open_models(work.models, settings.models_cache))
        if found is None and group.size() > 1:
            raise  # why, whoever started the group knows: another process of it may have died
        if found is None:
            return lambda: _stopped(leases, claim, folder)
    ignore_sigterm()
    shutil.rmtree(folder, ignore_errors=True)
    manifest = found.manifest
    return lambda: leases.succeeded(claim, str(manifest.version), manifest.metrics)


def _trained(work: Work, store: ModelStore, settings: Settings, watcher: Watcher) -> Path | None:
    from trunkline.training.run import Places, train_head

    places = Places(store.root, settings.training_cache, job_folder(settings.training_work, work.job.id))
    return train_head(work.job.request, places, watcher, store.publish)


def _train(
    leases: Leases, claim: Claim, work: Work, store: ModelStore, settings: Settings, folder: Path
) -> Bundle[HeadManifest]:
    recorder = Recorder(leases, claim)
    if group.size() == 1:
        # Bad data fails before torch is there.
        found = accept_data(work.job.request, folder, partial(recorder.stage, "data"))
        recorder.data(found.remarks.total(), found.remarks.left_out.total())
    path = _trained(work, store, settings, recorder.watcher)
    recorder.flush()
    assert path is not None
    bundle = read_bundle(path)
    assert isinstance(bundle.manifest, HeadManifest)
    return Bundle(bundle.path, bundle.manifest)


def _stopped(leases: Leases, claim: Claim, folder: Path) -> None:
    if leases.stopped(claim).final:
        shutil.rmtree(folder, ignore_errors=True)


def _failure(error: Exception) -> JobError:
    if not isinstance(error, TrunklineError):
        _log.error("bug in a job", exc_info=error)
    else:
        _log.error("%s", error)
    status = to_status(error)
    info = error_info(status)
    assert info is not None
    return JobError(status.code, info.reason, status.message, dict(info.metadata))


def _tell(write: Callable[[], object]) -> None:
    """The outcome must not be lost because the database is away for a moment."""
    ends_at = time.monotonic() + _TELL_FOR_S
    while True:
        try:
            write()
        except ServiceUnavailableError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    end_with(main)
