"""Machines that never were: trees of /proc and /sys, and what is read from them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sdcpu.hardware import Hardware, detect_hardware

GIB = 1024**3
Tree = dict[str, str]


def machine(folder: Path, tree: Tree) -> Hardware:
    """Write the files of a machine and look at it."""
    for name, text in tree.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return detect_hardware(folder)


def cores(*siblings: str) -> Tree:
    """Topology files: for each hardware thread the list of threads that share its core."""
    folder = "sys/devices/system/cpu"
    tree = {f"{folder}/cpu{n}/topology/core_cpus_list": text for n, text in enumerate(siblings)}
    return tree | {f"{folder}/online": f"0-{len(siblings) - 1}"}


def memory(total: int = 16 * GIB, available: int = 12 * GIB) -> Tree:
    lines = f"MemTotal: {total // 1024} kB\nMemFree: 1024 kB\nMemAvailable: {available // 1024} kB"
    return {"proc/meminfo": lines}


def allowed(cpus: str) -> Tree:
    return {"proc/self/status": f"Name:\tpython\nCpus_allowed_list:\t{cpus}\n"}


CGROUP_V2 = {
    "proc/self/cgroup": "0::/user.slice/job\n",
    "proc/self/mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
}
CGROUP_V1 = {
    "proc/self/cgroup": "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n",
    "proc/self/mountinfo": (
        "31 20 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n"
        "32 20 0:28 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n"
    ),
}


@pytest.mark.parametrize(
    ("siblings", "affinity", "physical", "usable"),
    [
        pytest.param(("0", "1", "2", "3"), "0-3", 4, 4, id="four cores"),
        pytest.param(("0,2", "1,3", "0,2", "1,3"), "0-3", 2, 2, id="threads count once"),
        pytest.param(("0-1", "0-1", "2-3", "2-3"), "0,1", 2, 1, id="both threads of one core"),
        pytest.param(("0-1", "0-1", "2-3", "2-3"), "1-2", 2, 2, id="one thread of each core"),
        pytest.param(("0", "1"), "0-127", 2, 2, id="more allowed than there are"),
        pytest.param(("0", "1"), "", 2, 2, id="no affinity told"),
    ],
)
def test_cores_within_the_affinity(
    tmp_path: Path, siblings: tuple[str, ...], affinity: str, physical: int, usable: int
) -> None:
    hardware = machine(tmp_path, memory() | cores(*siblings) | allowed(affinity))
    assert hardware.logical_cores == len(siblings)
    assert hardware.physical_cores == physical
    assert hardware.usable_cores == usable


def test_cpuinfo_tells_the_cores_where_sys_does_not(tmp_path: Path) -> None:
    block = (
        "processor : {}\nmodel name : Old CPU\nphysical id : 0\ncore id : {}\nflags : sse2 avx2\n"
    )
    cpuinfo = "\n".join(block.format(number, number // 2) for number in range(4))
    hardware = machine(tmp_path, memory() | {"proc/cpuinfo": cpuinfo})
    assert (hardware.logical_cores, hardware.physical_cores) == (4, 2)
    assert hardware.cpu_name == "Old CPU"
    assert hardware.cpu_features == {"sse2", "avx2"}


def test_intel_hybrid(tmp_path: Path) -> None:
    tree = memory() | cores("0-1", "0-1", "2-3", "2-3", "4", "5", "6", "7") | allowed("0-7")
    tree |= {"sys/devices/cpu_core/cpus": "0-3", "sys/devices/cpu_atom/cpus": "4-7"}
    hardware = machine(tmp_path, tree)
    assert (hardware.physical_cores, hardware.performance_cores) == (6, 2)
    assert hardware.usable_performance_cores == 2


@pytest.mark.parametrize(
    ("file", "speeds", "fast"),
    [
        ("cpu_capacity", (446, 446, 1024, 1024), 2),
        ("cpufreq/cpuinfo_max_freq", (3300000, 3300000, 3300000, 5100000), 1),
        pytest.param("cpufreq/cpuinfo_max_freq", (5100000, 5200000), None, id="favoured core"),
    ],
)
def test_slow_cores_by_their_speed(
    tmp_path: Path, file: str, speeds: tuple[int, ...], fast: int | None
) -> None:
    tree = memory() | cores(*(str(number) for number in range(len(speeds))))
    for number, speed in enumerate(speeds):
        tree[f"sys/devices/system/cpu/cpu{number}/{file}"] = str(speed)
    assert machine(tmp_path, tree).performance_cores == fast


def test_performance_cores_outside_the_affinity(tmp_path: Path) -> None:
    tree = memory() | cores("0", "1", "2", "3") | allowed("2-3")
    tree |= {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-3"}
    hardware = machine(tmp_path, tree)
    assert (hardware.performance_cores, hardware.usable_performance_cores) == (2, 0)


@pytest.mark.parametrize(
    ("limits", "quota"),
    [
        ({"": "max 100000", "user.slice": "max 100000", "user.slice/job": "max 100000"}, None),
        ({"user.slice/job": "150000 100000"}, 1.5),
        ({"user.slice": "50000 100000", "user.slice/job": "400000 100000"}, 0.5),
        ({"user.slice/job": "nonsense"}, None),
    ],
)
def test_cpu_quota_version_2(tmp_path: Path, limits: Tree, quota: float | None) -> None:
    files = {f"sys/fs/cgroup/{group}/cpu.max": text for group, text in limits.items()}
    assert machine(tmp_path, memory() | CGROUP_V2 | files).cpu_quota == quota


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", None), ("250000", 2.5), ("0", None), ("", None)]
)
def test_cpu_quota_version_1(tmp_path: Path, quota: str, expected: float | None) -> None:
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    assert machine(tmp_path, memory() | CGROUP_V1 | files).cpu_quota == expected


def test_the_smallest_memory_limit_wins_version_2(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/user.slice"
    files = {
        f"{group}/memory.max": str(4 * GIB),
        f"{group}/memory.current": str(3 * GIB),
        f"{group}/memory.stat": f"anon 5\ninactive_file {GIB}\nactive_file {GIB // 2}\n",
        f"{group}/job/memory.max": "max",
        f"{group}/job/memory.high": str(8 * GIB),
        f"{group}/job/memory.current": str(GIB),
    }
    hardware = machine(tmp_path, memory() | CGROUP_V2 | files)
    assert hardware.memory_limit == 4 * GIB
    assert hardware.memory_limit_available == 2.5 * GIB


def test_memory_limit_version_1_inside_a_container(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/memory"
    files = {
        f"{group}/memory.limit_in_bytes": str(2 * GIB),
        f"{group}/memory.usage_in_bytes": str(GIB),
        f"{group}/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB // 4}\n",
    }
    hardware = machine(tmp_path, memory() | CGROUP_V1 | files)
    assert hardware.memory_limit == 2 * GIB
    assert hardware.memory_limit_available == 1.25 * GIB


@pytest.mark.parametrize("limit", ["9223372036854771712", str(64 * GIB), "max", "-"])
def test_a_limit_above_the_memory_is_none(tmp_path: Path, limit: str) -> None:
    files = {"sys/fs/cgroup/user.slice/job/memory.max": limit}
    hardware = machine(tmp_path, memory() | CGROUP_V2 | files)
    assert hardware.memory_limit is None
    assert hardware.memory_limit_available is None


def test_a_group_outside_the_mount_is_read_at_the_mount(tmp_path: Path) -> None:
    tree = {**CGROUP_V2, "proc/self/cgroup": "0::/../../other\n"}
    tree |= {"sys/fs/cgroup/memory.max": str(GIB), "sys/fs/cgroup/memory.current": "0"}
    assert machine(tmp_path, memory() | tree).memory_limit == GIB


def test_memory_in_bytes(tmp_path: Path) -> None:
    hardware = machine(tmp_path, memory(total=8 * GIB, available=3 * GIB))
    assert (hardware.memory_total, hardware.memory_available) == (8 * GIB, 3 * GIB)


def test_an_old_kernel_without_mem_available(tmp_path: Path) -> None:
    tree = {"proc/meminfo": "MemTotal: 4000 kB\nMemFree: 1000 kB\nBuffers: 10 kB\nCached: 500 kB\n"}
    assert machine(tmp_path, tree).memory_available == 1510 * 1024


@pytest.mark.parametrize(
    "tree",
    [
        pytest.param({}, id="no proc at all"),
        pytest.param({"proc/meminfo": ""}, id="empty"),
        pytest.param({"proc/meminfo": "MemTotal: much kB\n\x00"}, id="no numbers"),
        pytest.param(
            {
                "proc/meminfo": "MemTotal 1",
                "proc/cpuinfo": "processor : x\n\n:",
                "proc/self/cgroup": "::\n0\n",
                "proc/self/mountinfo": "a - cgroup2\n- - -\n",
                "proc/self/status": "Cpus_allowed_list: 9-\n",
                "sys/devices/system/cpu/online": "a-b,,3-1",
            },
            id="rubbish",
        ),
    ],
)
def test_nothing_is_raised(tmp_path: Path, tree: Tree) -> None:
    hardware = machine(tmp_path, tree)
    assert hardware.usable_cores >= 1
    assert hardware.physical_cores >= 1
    assert hardware.usable_cpus
    assert hardware.memory_available <= hardware.memory_total


def test_other_systems_ask_psutil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 8 if logical else 4)
    process = SimpleNamespace(cpu_affinity=lambda: [0, 1, 2, 3])
    monkeypatch.setattr(psutil, "Process", lambda: process)
    available = SimpleNamespace(total=8 * GIB, available=6 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available)
    hardware = detect_hardware(tmp_path)
    assert (hardware.logical_cores, hardware.physical_cores, hardware.usable_cores) == (8, 4, 2)
    assert (hardware.memory_total, hardware.memory_available) == (8 * GIB, 6 * GIB)


def test_other_systems_without_psutils_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psutil.AccessDenied

    for name in ("cpu_count", "Process", "virtual_memory"):
        monkeypatch.setattr(psutil, name, refuse)
    hardware = detect_hardware(tmp_path)
    assert hardware.usable_cores >= 1
    assert hardware.memory_total == 0


def test_this_machine() -> None:
    hardware = detect_hardware()
    assert 1 <= hardware.usable_cores <= hardware.physical_cores <= hardware.logical_cores
    assert 0 < hardware.memory_available <= hardware.memory_total
