"""No mix of pictures within the limits of the settings kills a process with the memory that the chart gives it."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.hostile.case import SPLIT
from benchmarks.hostile.cases import CASES
from benchmarks.hostile.cgroups import Containers
from benchmarks.hostile.run import measured

MIXES = ("60 pictures of 16 MiB", "120 photographs", "16 photographs", "64 pictures", "12 AVIF bombs")


@pytest.mark.containers
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", MIXES)
def test_no_process_is_killed_and_no_other_call_is_lost(name):
    if os.geteuid() != 0:
        pytest.skip("needs root, for cgroups: make test-containers")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (case,) = (each for each in CASES if name in each.name)
    found = measured(case, SPLIT, Path(__file__).parents[2], seconds=5, containers=Containers())
    assert not found.end, found
    assert "backbone" in found.limits
    assert "KILLED" not in found.limits
    assert not found.lost
