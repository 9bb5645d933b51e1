"""Processes under the memory limits of the chart's containers: in cgroups, which the kernel enforces. Needs root."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

_CHART = Path(__file__).parents[2] / "deploy/chart/values.yaml"
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class Containers:
    """A cgroup for each process, with the limit of the container that runs it in a cluster."""

    def __init__(self) -> None:
        self._made: dict[str, Path] = {}
        self._known: set[int] = set()

    def confine(self, processes: Iterable[psutil.Process]) -> None:
        """Put those that serve into a cgroup each, as soon as they are there: what they hold by then stays outside.

        Raises OSError where that cannot be had.
        """
        for process in processes:
            if process.pid in self._known:
                continue
            with suppress(psutil.Error, ProcessLookupError):
                role = _role(process.cmdline())
                if role:
                    self._put(process.pid, role)
                    self._known.add(process.pid)

    def close(self) -> str:
        """Remove them; says how often each came to its limit, and how many of it were killed."""
        said = []
        for role, group in self._made.items():
            peak, killed = _peak_mib(group), _killed(group)
            said.append(f"{role} {peak:.0f} of {_limit_mib(role)} MiB{f', {killed} KILLED' if killed else ''}")
            for pid in (group / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    (group.parent / "cgroup.procs").write_text(pid)
            with suppress(OSError):
                group.rmdir()
        self._made = {}
        return "; ".join(said)

    def _put(self, pid: int, role: str) -> None:
        group = self._made.get(role)
        if group is None:
            root = _V1 if _V1.is_dir() else _V2
            group = root / f"trunkline-{os.getpid()}-{role.replace(' ', '-')}"
            group.mkdir()
            self._made[role] = group
            limit = str(_limit_mib(role) * 2**20)
            if root == _V1:
                (group / "memory.limit_in_bytes").write_text(limit)
            else:
                (group / "memory.max").write_text(limit)
        (group / "cgroup.procs").write_text(str(pid))


def _role(command: Sequence[str]) -> str:
    """Of `trunkline serve …`; "" for the supervisor and for what is no service."""
    if "serve" not in command or "--split" in command:
        return ""
    words = command[command.index("serve") + 1 :]
    if "--task" in words:
        return f"head {words[words.index('--task') + 1]}"
    return words[0] if words and not words[0].startswith("-") else "all in one"


def _limit_mib(role: str) -> int:
    values = yaml.safe_load(_CHART.read_text())
    part = values.get("allInOne" if role == "all in one" else role, values["headDefaults"])
    for head in values["headServices"]:
        if role == f"head {head['name']}":
            part = {**values["headDefaults"], **head}
    if role == "head":
        part = next(head for head in values["headServices"] if head["name"] == "segmentation")
    text = str(part["resources"]["limits"]["memory"])
    return int(text[:-2]) * (1024 if text.endswith("Gi") else 1)


def _peak_mib(group: Path) -> float:
    for name in ("memory.max_usage_in_bytes", "memory.peak"):
        with suppress(OSError):
            return int((group / name).read_text()) / 2**20
    return float("nan")


def _killed(group: Path) -> int:
    for name in ("memory.oom_control", "memory.events"):
        with suppress(OSError):
            counts = dict(line.split() for line in (group / name).read_text().splitlines())
            return int(counts.get("oom_kill", 0))
    return 0
