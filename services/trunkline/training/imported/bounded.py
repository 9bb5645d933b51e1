"""An import: what a file from outside does happens in a process with bounds; its outcome is published from here."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from google.rpc import status_pb2

from trunkline.core.bundle import HeadManifest, read_bundle
from trunkline.core.errors import ModelInvalidError
from trunkline.core.repository import Repository
from trunkline.core.staging import staging
from trunkline.core.store import FolderStore, Publish
from trunkline.core.watch import GIB, LOOK_S, memory_limit, resident_bytes
from trunkline.jobs.local import PARENT
from trunkline.serving.status import from_status
from trunkline.training.imported.request import ImportReport, ImportRequest, is_weights, question_of

LONGEST_S = 180.0
_EXPORT_S = 540.0  # more, where torch has to make the graph from weights first
_MODULE = "trunkline.training.imported.worker"
_MEMORY, _COPIES = 3 * GIB, 12  # without the file, and how many times it is in memory while parts are joined to it


def import_detector(request: ImportRequest, models: Path, publish: Publish | None = None) -> ImportReport:
    """Wrap, check, and publish as the next version of a head on `image`. Whole, or not at all.

    publish: that of a store whose folder `models` is; into the folder itself where none is given.
    Raises InvalidRequestError (names, sizes, files that cannot be read), ModelInvalidError for a file that is no
    detector of a known layout or takes too much time or memory, NotFoundError for the backbone.
    """
    Repository(models)
    with staging(models) as aside:
        report = _built(request, models, aside / "head")
        manifest = read_bundle(report.folder).manifest
        assert isinstance(manifest, HeadManifest)
        folder = (publish or FolderStore(models).publish)([(report.folder, manifest)])[0]
    return replace(report, folder=folder)


def _built(request: ImportRequest, models: Path, folder: Path) -> ImportReport:
    question = json.dumps({**question_of(request), "models": str(models), "folder": str(folder)})
    # A file each, as nobody reads them before the process has ended.
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
        asked.write(question.encode())
        asked.seek(0)
        status = _run(asked, said, request.file)
        said.seek(0)
        answer = _parsed(said.read())
    if answer is None:
        raise ModelInvalidError(f"{request.file} cannot be checked: the process that tried {_fate(status)}")
    if "error" in answer:
        raise from_status(status_pb2.Status.FromString(bytes.fromhex(answer["error"])))
    return ImportReport(**{**answer, "folder": folder})


def _run(asked: IO[bytes], said: IO[bytes], file: Path) -> int:
    memory = memory_limit(_MEMORY + _COPIES * _size(file))
    longest_s = LONGEST_S + (_EXPORT_S if is_weights(file) else 0)
    with _started(asked, said) as process:
        ends_at = time.monotonic() + longest_s
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(LOOK_S)
            if resident_bytes(process.pid) > memory:
                raise ModelInvalidError(
                    f"{file} takes more than {memory // 2**20} MiB of memory to check: it cannot be served"
                )
            if time.monotonic() > ends_at:
                raise ModelInvalidError(f"{file} takes longer than {longest_s:.0f} s to check: it cannot be served")


@contextlib.contextmanager
def _started(asked: IO[bytes], said: IO[bytes]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        [sys.executable, "-m", _MODULE],
        stdin=asked,
        stdout=said,
        stderr=subprocess.DEVNULL,  # libraries say there what the answer says in one line
        env={**os.environ, PARENT: str(os.getpid())},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _parsed(answer: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _fate(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0  # who reads it says what is wrong
