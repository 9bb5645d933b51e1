"""How many cores this process may use."""

import math
import os
from pathlib import Path

LOCAL_PROCESSES = "LOCAL_WORLD_SIZE"  # as torchrun names it
_CGROUP_V2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_V1_QUOTA = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
_CGROUP_V1_PERIOD = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us")


def available_cores() -> int:
    """Cores by affinity and by the cgroup's CPU quota, whichever is fewer; at least 1.

    The host's core count is never used: in a container with a quota of two, threads for 64 cores
    would only wait for each other. Processes of one torchrun share the cores.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    cores = affinity if quota is None else min(affinity, math.ceil(quota))
    processes = os.environ.get(LOCAL_PROCESSES, "")
    return max(1, cores // max(1, int(processes)) if processes.isdecimal() else cores)


def cgroup_quota(
    v2: Path = _CGROUP_V2, v1_quota: Path = _CGROUP_V1_QUOTA, v1_period: Path = _CGROUP_V1_PERIOD
) -> float | None:
    """CPU quota of the cgroup in cores, or None where there is none."""
    try:
        quota, period = v2.read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota, period = v1_quota.read_text().strip(), v1_period.read_text().strip()
        except OSError:
            return None
    if quota in ("max", "-1") or not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)
