"""How many cores this process may use."""

import math
import os

from trunkline.core.cgroups import cgroup_quota

LOCAL_PROCESSES = "LOCAL_WORLD_SIZE"  # as torchrun names it


def available_cores() -> int:
    """Cores by affinity and by the CPU quotas of the cgroups, whichever is fewer; at least 1.

    The host's core count is never used: in a container with a quota of two, threads for 64 cores
    would only wait for each other. Processes of one torchrun share the cores.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    cores = affinity if quota is None else min(affinity, math.ceil(quota))
    processes = os.environ.get(LOCAL_PROCESSES, "")
    return max(1, cores // max(1, int(processes)) if processes.isdecimal() else cores)
