"""Threads come from the cgroup's quota and the affinity, not from the host."""

import os

import pytest

from trunkline.core import cpu


@pytest.mark.parametrize(
    ("affinity", "quota", "cores"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 2), (8, 0.1, 1), (2, 16.0, 2), (1, None, 1)],
)
def test_the_fewer_of_affinity_and_quota_count(monkeypatch, affinity, quota, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: quota)
    assert cpu.available_cores() == cores


@pytest.mark.parametrize(("processes", "cores"), [("", 8), ("2", 4), ("3", 2), ("16", 1), ("0", 8), ("x", 8)])
def test_processes_of_one_torchrun_share_the_cores(monkeypatch, processes, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)), raising=False)
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: None)
    monkeypatch.setenv(cpu.LOCAL_PROCESSES, processes)
    assert cpu.available_cores() == cores


def test_a_system_without_affinity_gives_its_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(cpu, "cgroup_quota", lambda: None)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu.available_cores() == 1
