"""CPU quotas of the cgroups that this process is in, version 1 and 2, its own and those above."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_PROC = Path("/proc/self")


def cgroup_quota(proc: Path = _PROC) -> float | None:
    """The smallest quota, in cores; None where there is none.

    A cgroup's quota binds those below it. A process without a namespace of its own sees the whole way down to its
    cgroup, so each step is read; with one, the mount is where its view begins.
    """
    quotas = [quota for folder in _folders(proc) if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def _folders(proc: Path) -> Iterator[Path]:
    """Folders of the cgroups with a CPU controller, the own ones and all above that can be seen."""
    paths = dict(_paths(proc))
    for controllers, root, mount in _mounts(proc):
        path = paths.get("cpu" if "cpu" in controllers else "", "/")
        below = PurePosixPath(path)
        inside = below.relative_to(root) if below.is_relative_to(root) else PurePosixPath()
        steps = [] if ".." in inside.parts else inside.parts
        yield from (mount.joinpath(*steps[:count]) for count in range(len(steps) + 1))


def _paths(proc: Path) -> Iterator[tuple[str, str]]:
    """Controller and path of each line `ID:CONTROLLERS:PATH`; the controller of version 2 is empty."""
    for line in _lines(proc / "cgroup"):
        _, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if found:
            yield from ((controller, path) for controller in controllers.split(","))


def _mounts(proc: Path) -> Iterator[tuple[set[str], str, Path]]:
    """Controllers ({""} for version 2), root within the hierarchy and mount point of each CPU hierarchy."""
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        controllers = set(kind[2].split(","))
        if kind[0] == "cgroup2":
            yield {""}, fields[3], Path(fields[4])
        elif kind[0] == "cgroup" and "cpu" in controllers:
            yield controllers, fields[3], Path(fields[4])


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:  # no Linux
        return []


def _quota(folder: Path) -> float | None:
    """Of one cgroup: `cpu.max` holds "QUOTA PERIOD", version 1 has a file for each."""
    values = _words(folder / "cpu.max") or [
        *_words(folder / "cpu.cfs_quota_us"),
        *_words(folder / "cpu.cfs_period_us"),
    ]
    if len(values) != 2 or not all(value.isdecimal() for value in values) or int(values[1]) == 0:
        return None  # "max" and "-1" among them
    return int(values[0]) / int(values[1])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
