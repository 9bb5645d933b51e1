"""Threads come from the cgroup's quota and the affinity, not from the host."""

import os

import pytest

from trunkline.core import cpu


@pytest.fixture
def files(tmp_path):
    """Paths of the three cgroup files; a test writes those that it needs."""
    return {"v2": tmp_path / "cpu.max", "v1_quota": tmp_path / "quota", "v1_period": tmp_path / "period"}


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("200000 100000\n", 2.0),
        ("150000 100000\n", 1.5),
        ("50000 100000\n", 0.5),
        ("max 100000\n", None),
        ("100000 0\n", None),
        ("-5 100000\n", None),
        ("many 100000\n", None),
    ],
)
def test_the_quota_of_cgroup_v2_is_read(files, text, cores):
    files["v2"].write_text(text)
    assert cpu.cgroup_quota(**files) == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("300000\n", "100000\n", 3.0), ("-1\n", "100000\n", None), ("100000\n", "0\n", None), ("\n", "\n", None)],
)
def test_the_quota_of_cgroup_v1_is_read(files, quota, period, cores):
    files["v1_quota"].write_text(quota)
    files["v1_period"].write_text(period)
    assert cpu.cgroup_quota(**files) == cores


@pytest.mark.parametrize("text", ["", "\n", "200000\n"])
def test_a_v2_file_without_two_values_leaves_the_word_to_v1(files, text):
    files["v2"].write_text(text)
    files["v1_quota"].write_text("100000")
    files["v1_period"].write_text("50000")
    assert cpu.cgroup_quota(**files) == 2.0


def test_v2_goes_before_v1(files):
    files["v2"].write_text("100000 100000")
    files["v1_quota"].write_text("900000")
    files["v1_period"].write_text("100000")
    assert cpu.cgroup_quota(**files) == 1.0


def test_without_cgroup_files_there_is_no_quota(files):
    assert cpu.cgroup_quota(**files) is None
    files["v1_quota"].write_text("100000")
    assert cpu.cgroup_quota(**files) is None


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
