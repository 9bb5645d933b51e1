"""CPU quotas are read from the process's own cgroup and from all above it, in both versions."""

from pathlib import Path

import pytest

from trunkline.core.cgroups import cgroup_quota


class Machine:
    """A /proc/self and cgroup hierarchies in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.proc = folder / "proc"
        self.proc.mkdir()
        (self.proc / "cgroup").touch()
        (self.proc / "mountinfo").write_text("22 1 0:1 / /proc rw - proc proc rw\n")

    def mount(self, kind: str, options: str, path: str, root: str = "/") -> Path:
        """A hierarchy, with the process in the cgroup `path`; its mount shows what is below `root`."""
        point = self.folder / f"mount-{options.replace(',', '-')}"
        point.mkdir()
        names = "" if kind == "cgroup2" else options.removeprefix("rw,")
        with (self.proc / "cgroup").open("a") as file:
            file.write(f"{0 if kind == 'cgroup2' else 3}:{names}:{path}\n")
        with (self.proc / "mountinfo").open("a") as file:
            file.write(f"31 23 0:28 {root} {point} rw,nosuid shared:9 - {kind} {kind} {options}\n")
        return point

    def quota(self) -> float | None:
        return cgroup_quota(self.proc)


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"cpu.{name}").write_text(text)


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
        ("", None),
        ("200000\n", None),
    ],
)
def test_the_quota_of_cgroup_v2_is_read(machine, text, cores):
    write(machine.mount("cgroup2", "rw", "/"), max=text)
    assert machine.quota() == cores


@pytest.mark.parametrize(
    ("quota", "period", "cores"),
    [("300000\n", "100000\n", 3.0), ("-1\n", "100000\n", None), ("100000\n", "0\n", None), ("\n", "\n", None)],
)
def test_the_quota_of_cgroup_v1_is_read(machine, quota, period, cores):
    write(machine.mount("cgroup", "rw,cpu,cpuacct", "/"), cfs_quota_us=quota, cfs_period_us=period)
    assert machine.quota() == cores


def test_quotas_above_bind_too_and_the_smallest_counts(machine):
    point = machine.mount("cgroup2", "rw", "/slice/service/process")
    write(point / "slice", max="150000 100000")
    write(point / "slice/service", max="max 100000")
    write(point / "slice/service/process", max="400000 100000")
    assert machine.quota() == 1.5


def test_quotas_above_bind_in_v1(machine):
    point = machine.mount("cgroup", "rw,cpu", "/kubepods/pod7/container")
    write(point / "kubepods", cfs_quota_us="-1", cfs_period_us="100000")
    write(point / "kubepods/pod7", cfs_quota_us="200000", cfs_period_us="100000")
    write(point / "kubepods/pod7/container", cfs_quota_us="300000", cfs_period_us="100000")
    assert machine.quota() == 2.0


def test_a_neighbour_does_not_bind(machine):
    point = machine.mount("cgroup2", "rw", "/slice/mine")
    write(point / "slice/mine", max="max 100000")
    write(point / "slice/other", max="50000 100000")
    assert machine.quota() is None


def test_in_a_container_without_a_namespace_the_mount_shows_its_own_cgroup(machine):
    point = machine.mount("cgroup", "rw,cpu", "/docker/abc/inner", root="/docker/abc")
    write(point, cfs_quota_us="100000", cfs_period_us="50000")
    write(point / "inner", cfs_quota_us="-1", cfs_period_us="100000")
    assert machine.quota() == 2.0


def test_a_path_outside_of_the_namespace_leaves_the_mount_itself(machine):
    point = machine.mount("cgroup2", "rw", "/../elsewhere")
    write(point, max="100000 100000")
    assert machine.quota() == 1.0


def test_with_both_versions_each_is_read(machine):
    v1 = machine.mount("cgroup", "rw,cpu", "/a")
    v2 = machine.mount("cgroup2", "rw", "/b")
    write(v1 / "a", cfs_quota_us="300000", cfs_period_us="100000")
    assert machine.quota() == 3.0
    write(v2 / "b", max="200000 100000")
    assert machine.quota() == 2.0


def test_a_hierarchy_without_the_cpu_controller_is_not_asked(machine):
    write(machine.mount("cgroup", "rw,memory", "/"), cfs_quota_us="100000", cfs_period_us="100000")
    assert machine.quota() is None


def test_without_cgroups_there_is_no_quota(machine, tmp_path):
    assert machine.quota() is None
    assert cgroup_quota(tmp_path / "nowhere") is None
