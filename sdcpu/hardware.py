"""What this machine is: facts about processor and memory, no decisions."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from sdcpu.instruction_sets import instruction_sets, sysctl_number

Value = TypeVar("Value")

EFFICIENCY_CORE_SPEED = 0.8
"""Cores slower than this share of the fastest core are efficiency cores: favoured cores of one kind
differ by less than 10 %, efficiency cores reach 60 to 75 % of the performance cores beside them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hardware:
    """Facts about the machine and about what this process may use of it."""

    cpu_name: str
    architecture: str
    """"x86_64", "aarch64", … as Python's `platform.machine()` names it."""
    system: str
    """"Linux", "Darwin" or "Windows"."""
    logical_cores: int
    """Hardware threads that are online."""
    physical_cores: int
    """Cores, each counted once however many threads it has."""
    performance_cores: int | None = None
    """Fast cores of a hybrid processor; None where all cores are alike or nothing is known."""
    usable_cpus: tuple[int, ...]
    """Numbers of the hardware threads that this process may run on (its affinity)."""
    usable_cores: int
    """Cores among `usable_cpus`, each counted once."""
    usable_performance_cores: int | None = None
    """Fast cores among `usable_cores`; None as for `performance_cores`."""
    cpu_quota: float | None = None
    """CPUs' worth of time that the control group allows, such as 1.5; None: no limit."""
    memory_total: int
    """Bytes of main memory."""
    memory_available: int
    """Bytes that can be used without swapping, page cache included, over the whole machine."""
    memory_limit: int | None = None
    """Bytes that the control group allows; None: no limit below `memory_total`."""
    memory_limit_available: int | None = None
    """Bytes left under the tightest control group limit, reclaimable page cache included."""
    cpu_features: frozenset[str] = frozenset()
    """Instruction sets in the kernel's words, such as "avx2" or "asimddp"; empty where unknown."""


def detect_hardware(root: Path = Path("/")) -> Hardware:
    """Look at this machine; what cannot be found out gets a careful guess, and nothing is raised.

    `root` is where proc and sys are found: another folder stands for another Linux machine.

    >>> detect_hardware().usable_cores >= 1
    True
    """
    if (root / "proc" / "meminfo").is_file():
        return _detect_linux(root)
    return _detect_elsewhere()


def process_memory(pid: int | None) -> int:
    """Bytes of main memory that a process has now; 0 when there is none, or it may not be asked.

    >>> process_memory(None)
    0
    """
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss) if pid is not None else 0
    except psutil.Error:
        return 0


def busy_share(seconds: float = 0.5) -> float:
    """Watch the whole machine for so long; the share of its processor time that was used, 0 to 1.

    >>> 0 <= busy_share(0.01) <= 1
    True
    """
    import psutil

    try:
        return float(psutil.cpu_percent(interval=seconds)) / 100
    except (psutil.Error, OSError):
        return 0.0


def _detect_linux(root: Path) -> Hardware:
    online = _cpu_list(_text(root / "sys/devices/system/cpu/online"))
    cpuinfo = _cpuinfo(_text(root / "proc/cpuinfo"))
    online = online or _cpu_list(",".join(block.get("processor", "") for block in cpuinfo)) or {0}
    # The kernel's list of allowed CPUs may name ones that do not exist.
    usable = (_cpu_list(_status(root, "Cpus_allowed_list")) & online) or online
    core_of = _cores(root, online, cpuinfo)
    fast = _fast_cpus(root, online)
    memory = _meminfo(root)
    limit, limit_available = _memory_limit(root)
    if limit is not None and limit >= memory["MemTotal"]:
        limit = limit_available = None
    first = cpuinfo[0] if cpuinfo else {}
    return Hardware(
        cpu_name=_cpu_name(cpuinfo),
        architecture=platform.machine(),
        system="Linux",
        logical_cores=len(online),
        physical_cores=len({core_of[cpu] for cpu in online}),
        performance_cores=len({core_of[cpu] for cpu in fast}) if fast else None,
        usable_cpus=tuple(sorted(usable)),
        usable_cores=len({core_of[cpu] for cpu in usable}),
        usable_performance_cores=len({core_of[cpu] for cpu in fast & usable}) if fast else None,
        cpu_quota=_cpu_quota(root),
        memory_total=memory["MemTotal"],
        memory_available=memory["MemAvailable"],
        memory_limit=limit,
        memory_limit_available=limit_available,
        cpu_features=frozenset((first.get("flags") or first.get("Features") or "").split()),
    )


def _cpuinfo(text: str) -> list[dict[str, str]]:
    """One mapping for each paragraph of /proc/cpuinfo."""
    paragraphs = [
        {
            key.strip(): value.strip()
            for key, colon, value in (line.partition(":") for line in paragraph.splitlines())
            if colon
        }
        for paragraph in text.split("\n\n")
    ]
    return [paragraph for paragraph in paragraphs if paragraph]


def _cpu_name(cpuinfo: list[dict[str, str]]) -> str:
    # ARM kernels have no "model name"; the board's name stands in a last paragraph there.
    for key in ("model name", "Model", "Hardware", "cpu model"):
        for block in cpuinfo:
            if block.get(key):
                return block[key]
    return platform.processor() or platform.machine()


def _cores(root: Path, online: set[int], cpuinfo: list[dict[str, str]]) -> dict[int, str]:
    """Which core each hardware thread belongs to; threads of one core get the same name."""
    by_cpuinfo = {
        block["processor"]: f"{block.get('physical id', '0')}/{block['core id']}"
        for block in cpuinfo
        if "processor" in block and "core id" in block
    }
    cores: dict[int, str] = {}
    for cpu in online:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        # Before Linux 5.3 the list was called thread_siblings_list.
        siblings = _text(topology / "core_cpus_list") or _text(topology / "thread_siblings_list")
        threads = _cpu_list(siblings) & online
        fallback = by_cpuinfo.get(str(cpu), f"cpu{cpu}")
        cores[cpu] = f"cpu{min(threads)}" if threads else fallback
    return cores


def _fast_cpus(root: Path, online: set[int]) -> set[int]:
    """Hardware threads of the performance cores; empty where the cores are alike."""
    intel = _cpu_list(_text(root / "sys/devices/cpu_core/cpus")) & online
    if intel and _cpu_list(_text(root / "sys/devices/cpu_atom/cpus")) & online:
        return intel
    for file in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        speeds = {
            cpu: _number(_text(root / f"sys/devices/system/cpu/cpu{cpu}/{file}")) for cpu in online
        }
        known = {cpu: speed for cpu, speed in speeds.items() if speed}
        if len(known) == len(online):
            bound = EFFICIENCY_CORE_SPEED * max(known.values())
            fast = {cpu for cpu, speed in known.items() if speed >= bound}
            if fast != online:
                return fast
    return set()


def _meminfo(root: Path) -> dict[str, int]:
    """MemTotal and MemAvailable in bytes."""
    kib = {
        key: _number(value.split()[0]) or 0
        for key, _, value in (
            line.partition(":") for line in _text(root / "proc/meminfo").splitlines()
        )
        if value.split()
    }
    # MemAvailable came with Linux 3.14.
    older = kib.get("MemFree", 0) + kib.get("Buffers", 0) + kib.get("Cached", 0)
    total = kib.get("MemTotal", 0)
    return {
        "MemTotal": int(total * 1024),
        "MemAvailable": int(min(kib.get("MemAvailable", older), total) * 1024),
    }


def _cpu_quota(root: Path) -> float | None:
    """The smallest CPU quota on the way from our control group up to the mount."""
    quotas = []
    for folder in _control_groups(root, "cpu"):
        quota, period = [*_text(folder / "cpu.max").split(), "", ""][:2]
        if not quota:
            quota, period = (
                _text(folder / name) for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        allowed, whole = _number(quota), _number(period)
        if allowed and whole and allowed > 0:
            quotas.append(allowed / whole)
    return min(quotas, default=None)


def _memory_limit(root: Path) -> tuple[int | None, int | None]:
    """The smallest memory limit on the way up, and the least that is left under any of them."""
    limits, left = [], []
    for folder in _control_groups(root, "memory"):
        # Above memory.high the kernel slows the process to a crawl: for us it is a limit too.
        names = ("memory.max", "memory.high", "memory.limit_in_bytes")
        numbers = [_number(_text(folder / name)) for name in names]
        found = [int(number) for number in numbers if number and number < 2**60]
        if not found:
            continue
        used = _number(_text(folder / "memory.current"))
        if used is None:
            used = _number(_text(folder / "memory.usage_in_bytes"))
        limits.append(min(found))
        left.append(max(0, min(found) - int(used or 0) + _reclaimable(folder)))
    limit, available = min(limits, default=None), min(left, default=None)
    return limit, None if limit is None or available is None else min(limit, available)


def _reclaimable(folder: Path) -> int:
    """Bytes of page cache in a control group, which the kernel gives back when memory is wanted."""
    pairs = (line.split() for line in _text(folder / "memory.stat").splitlines())
    stat = {pair[0]: int(_number(pair[1]) or 0) for pair in pairs if len(pair) == 2}
    # Version 1 counts a group's children only in the names that begin with total_.
    return sum(
        stat.get(f"total_{name}", stat.get(name, 0)) for name in ("inactive_file", "active_file")
    )


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of our control groups that have this controller, innermost first, both versions."""
    groups = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        groups[controllers] = path
    for line in _text(root / "proc/self/mountinfo").splitlines():
        fields, _, after = line.partition(" - ")
        mount, kind = fields.split(), after.split()
        if len(mount) < 5 or len(kind) < 3:
            continue
        options = kind[2].split(",")
        if kind[0] == "cgroup2":
            group = groups.get("")
        elif kind[0] == "cgroup" and controller in options:
            names = (name for name in groups if controller in name.split(","))
            group = groups.get(next(names, "?"))
        else:
            continue
        if group is not None:
            yield from _upwards(root / mount[4].lstrip("/"), mount[3], group)


def _upwards(mount_point: Path, mount_root: str, group: str) -> Iterator[Path]:
    """From a control group's folder up to where the hierarchy is mounted."""
    path = PurePosixPath(group)
    # In a container the mount may show only a part of the hierarchy, or the path lie outside of it.
    inside = path.is_relative_to(mount_root) and ".." not in path.parts
    relative = path.relative_to(mount_root) if inside else PurePosixPath()
    for part in (relative, *relative.parents):
        yield mount_point / part
        if part == PurePosixPath():
            return


def _detect_elsewhere() -> Hardware:
    import psutil

    logical = _careful(lambda: psutil.cpu_count(logical=True)) or os.cpu_count() or 1
    physical = _careful(lambda: psutil.cpu_count(logical=False)) or logical
    usable = _careful(lambda: tuple(psutil.Process().cpu_affinity())) or tuple(range(logical))
    # Without a topology the threads are taken to be spread evenly over the cores.
    usable_cores = max(1, min(physical, -(-len(usable) * physical // logical)))
    fast = sysctl_number("hw.perflevel0.physicalcpu") if sys.platform == "darwin" else None
    performance = fast if fast and fast < physical else None
    memory = _careful(psutil.virtual_memory)
    return Hardware(
        cpu_name=platform.processor() or platform.machine(),
        architecture=platform.machine(),
        system=platform.system(),
        logical_cores=logical,
        physical_cores=physical,
        performance_cores=performance,
        usable_cpus=usable,
        usable_cores=usable_cores,
        usable_performance_cores=performance and min(performance, usable_cores),
        memory_total=memory.total if memory else 0,
        memory_available=memory.available if memory else 0,
        cpu_features=instruction_sets(),
    )


def _careful(look: Callable[[], Value]) -> Value | None:
    """What `look` finds, or None where this system has no such thing."""
    import psutil

    try:
        return look()
    except (psutil.Error, OSError, AttributeError, NotImplementedError):
        return None


def _text(path: Path) -> str:
    """A small file's text without the blanks around it; "" when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def _status(root: Path, key: str) -> str:
    lines = (line.partition(":") for line in _text(root / "proc/self/status").splitlines())
    values: Mapping[str, str] = {name: value.strip() for name, _, value in lines}
    return values.get(key, "")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _cpu_list(text: str) -> set[int]:
    """The numbers in a list such as "0-3,8"."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            cpus.update(range(int(first), int(last or first) + 1))
    return cpus
