"""What a server's processes cost: CPU and memory of the whole tree."""

from contextlib import suppress

import psutil


def tree(process: psutil.Process) -> list[psutil.Process]:
    """A process and all below it."""
    return [process, *process.children(recursive=True)]


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of the tree so far."""
    return sum(sum(part.cpu_times()[:2]) for part in tree(process))


def memory_mib(process: psutil.Process) -> float:
    """Resident memory of the tree; pages that processes share count for each."""
    return sum(memory_by_process(process).values())


def memory_by_process(process: psutil.Process) -> dict[str, float]:
    """Resident memory in MiB by role and process id."""
    found = {}
    for part in tree(process):
        with suppress(psutil.NoSuchProcess):
            found[f"{_role(part)} {part.pid}"] = part.memory_info().rss / 2**20
    return found


def _role(process: psutil.Process) -> str:
    """For `… serve ROLE …` the role, otherwise the name of the program."""
    line = process.cmdline()
    role = line[line.index("serve") + 1] if "serve" in line[:-1] else ""
    if not role:
        return process.name()
    return {"--split": "supervisor"}.get(role, "all in one" if role.startswith("-") else role)
