"""Jobs with texts without end, and evaluations of data that was made to hurt."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from benchmarks.hostile.case import TRAINING, Case, Codes, Where, ask, at_once, channel, field

_MIB = 1 << 20


def _job_texts(where: Where) -> Codes:
    """Three jobs whose licence is 20 MiB, 300 small ones, and then the list that all others want to see."""
    found = Counter[str]()
    with closing(channel(where.address)) as opened:
        for number in range(303):
            licence = b"L" * (20 * _MIB if number < 3 else 50)
            request = field(1, b"job%d" % number) + field(2, str(where.folder).encode()) + field(18, licence)
            found[f"create {ask(opened, f'{TRAINING}CreateTrainingJob', field(2, request))}"] += 1
    with closing(channel(where.address)) as opened:
        for _ in range(10):
            found[f"list {ask(opened, f'{TRAINING}ListTrainingJobs', b'')}"] += 1
    return found


def _make_data(folder: Path) -> Mapping[str, str]:
    """Data sets below the working folder."""
    data = folder / "data"
    for name in ("yaml", "columns", "field", "deep", "fifo", "link"):
        (data / name).mkdir(parents=True)
    levels = ["a0: &a0 [w, w, w, w, w, w, w, w, w, w]"]
    levels += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 9)]
    (data / "yaml/data.yaml").write_text("\n".join([*levels, "names: *a8", "train: images", ""]))
    (data / "columns/labels.csv").write_text("file,label" + ",c" * 200_000 + "\n")
    (data / "field/labels.csv").write_text("file,label\n" + "a" * (50 * _MIB) + ",b\n")
    (data / "deep/train.json").write_text("[" * 500_000)
    os.mkfifo(data / "fifo/labels.csv")
    (data / "link/labels.csv").symlink_to("/etc/passwd")
    return {"TRUNKLINE_TRAINING_DATA_ROOTS": str(data)}


def _evaluations(where: Where) -> Codes:
    names = ("yaml", "columns", "field", "deep", "fifo", "link", "../..", "none")
    folders = [str(where.folder / "data" / name).encode() for name in names]
    folders += [b"/etc", b"/dev/zero"]
    with closing(channel(where.address)) as opened:
        return at_once(
            len(folders),
            lambda number: ask(
                opened, f"{TRAINING}EvaluateHead", field(1, b"pennfudan") + field(2, folders[number]), timeout_s=20
            ),
        )


CASES = (
    Case("jobs with texts of 20 MiB, 300 jobs", _job_texts),
    Case("EvaluateHead on 10 hostile data sets", _evaluations, prepare=_make_data),
)
