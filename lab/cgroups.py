"""The cgroups of a lab's hosts: limits, freezing, and the kernel's own list of what belongs to a host.

A host's processes are in ``seedbed/<lab>/<host>`` of every hierarchy, and see only what is below. Its supervisor is
in ``seedbed/<lab>/.<host>`` of one. Both hold whatever became of pid files and folders, so removal goes by them.

Version 1 hierarchies and version 2 alone are both served. The machine this was written on has its controllers in
version 1, so a version 2 with controllers has not been seen; all else of it is tried by tests/lab/test_cgroup2.py.
Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from lab import LabError

ROOT = Path("/sys/fs/cgroup")
TOP = "seedbed"

# hugetlb stays out: where it is mounted, containerd asks every pod for a limit in it.
CONTROLLERS = {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids"}
V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")

KILL_SECONDS = 20.0
REAP_SECONDS = 5.0


@dataclass(frozen=True)
class Hierarchy:
    """A mounted hierarchy and the options that mount it again inside a host."""

    path: Path
    kind: str
    options: str


def unified() -> bool:
    """Whether this machine has only cgroup v2."""
    return (ROOT / "cgroup.controllers").exists()


def hierarchies(mountinfo: str | None = None) -> list[Hierarchy]:
    """The hierarchies that hosts are put in; ``LabError`` where there are none. See proc_pid_mountinfo(5)."""
    if mountinfo is None:
        mountinfo = Path("/proc/self/mountinfo").read_text()
    found: dict[Path, Hierarchy] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        path = Path(left.split()[4])
        kind, _, super_options = right.split()
        if kind == "cgroup2" and (path == ROOT or path.parent == ROOT):
            found[path] = Hierarchy(path, kind, "")
        elif kind == "cgroup" and path.parent == ROOT:
            words = super_options.split(",")
            controllers = [word for word in words if word in CONTROLLERS]
            if "name=systemd" in words:
                found[path] = Hierarchy(path, kind, "none,name=systemd")
            elif controllers:
                found[path] = Hierarchy(path, kind, ",".join(controllers))
    if not found:
        raise LabError(f"no cgroup hierarchy is mounted below {ROOT}; the lab's hosts need them")
    return list(found.values())


def supervisor_group(lab: str, host: str) -> Path:
    """The group of a host's supervisor, in one hierarchy."""
    everywhere = hierarchies()
    chosen = next((h for h in everywhere if h.kind == "cgroup2"), everywhere[0])
    return chosen.path / TOP / lab / f".{host}"


def host_groups(lab: str, host: str) -> list[Path]:
    """The groups of a host's processes, one in each hierarchy."""
    return [h.path / TOP / lab / host for h in hierarchies()]


def prepare_supervisor(lab: str, host: str) -> Path:
    """Make the supervisor's group; give back the file that a process joins it by."""
    group = supervisor_group(lab, host)
    group.mkdir(parents=True, exist_ok=True)
    return group / "cgroup.procs"


def prepare(lab: str, host: str, memory_bytes: int | None, cpus: float | None) -> list[Path]:
    """Make a host's groups anew, with its limits; give back the files that a process joins them by."""
    for h in hierarchies():
        group = h.path / TOP / lab / host
        remove_below(group)  # what containers of an earlier boot left
        group.mkdir(parents=True, exist_ok=True)
        if h.kind == "cgroup2" and unified():
            _delegate_v2(group)
        if "cpuset" in h.options:
            # A new cpuset of version 1 has no CPUs and lets no process in.
            for level in (group.parent.parent, group.parent, group):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (level / name).write_text((h.path / name).read_text())
                (level / "cgroup.clone_children").write_text("1")
        _limit(group, memory_bytes, cpus)
    return [group / "cgroup.procs" for group in host_groups(lab, host)]


def _delegate_v2(group: Path) -> None:
    for level in (ROOT, group.parent.parent, group.parent):
        for controller in V2_CONTROLLERS:
            if controller in (level / "cgroup.controllers").read_text().split():
                (level / "cgroup.subtree_control").write_text(f"+{controller}")


def _limit(group: Path, memory_bytes: int | None, cpus: float | None) -> None:
    period = 100_000  # microseconds, the kernel's default
    memory = "-1" if memory_bytes is None else str(memory_bytes)
    quota = -1 if cpus is None else int(cpus * period)
    limits = {
        "memory.limit_in_bytes": memory,
        "memory.max": "max" if memory_bytes is None else memory,
        "cpu.cfs_quota_us": str(quota),
        "cpu.max": f"{'max' if cpus is None else quota} {period}",
    }
    for name, value in limits.items():
        if (group / name).exists():
            (group / name).write_text(value)


def processes(groups: list[Path]) -> set[int]:
    """Every process in ``groups`` and below, as this machine numbers them."""
    found: set[int] = set()
    for group in groups:
        for folder, _, _ in os.walk(group):
            try:
                found.update(int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split())
            except OSError:
                continue  # gone meanwhile
    return found


def init_of(lab: str, host: str) -> int | None:
    """The host's PID 1 as this machine numbers it; ``None`` where the host does not run."""
    # In one hierarchy, at the depth that systemd puts its PID 1, lies the process that is number 1 one level down.
    for pid in processes([supervisor_group(lab, host).parent / host]):
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(numbers) == 2 and numbers[1] == "1" and "\nState:\tZ" not in status:
            return pid
    return None


def supervisor_of(lab: str, host: str) -> int | None:
    """The host's supervisor; ``None`` where it does not run."""
    return next(iter(processes([supervisor_group(lab, host)])), None)


def memory_used(lab: str, host: str) -> int | None:
    """Bytes that the host's processes use, without page cache."""
    names = {"total_rss", "anon"}  # version 1, version 2
    for group in host_groups(lab, host):
        path = group / "memory.stat"
        if path.exists():
            for line in path.read_text().splitlines():
                if line.split()[0] in names:
                    return int(line.split()[1])
    return None


def _freezer(lab: str, host: str) -> tuple[Path, str, str]:
    for group in host_groups(lab, host):
        if (group / "freezer.state").exists():
            return group / "freezer.state", "FROZEN", "THAWED"
        if (group / "cgroup.freeze").exists() and unified():
            return group / "cgroup.freeze", "1", "0"
    raise LabError(f"host {host} cannot be frozen: this machine has no freezer for its cgroup")


def freeze(lab: str, host: str, *, frozen: bool) -> None:
    """Stop every process of the host where it is, or let them go on."""
    path, on, off = _freezer(lab, host)
    path.write_text(on if frozen else off)


def is_frozen(lab: str, host: str) -> bool:
    """Whether ``freeze`` holds the host."""
    try:
        path, _, off = _freezer(lab, host)
        return path.read_text().strip() != off
    except (LabError, OSError):
        return False


def hosts(lab: str) -> set[str]:
    """The hosts of ``lab`` that have a group, their own or a supervisor's."""
    found = {path.name for h in hierarchies() for path in (h.path / TOP / lab).glob("*") if path.is_dir()}
    return {name.removeprefix(".") for name in found}


def kill(lab: str, host: str) -> set[int]:
    """End the host's supervisor and then every process of the host, frozen or not; gives back which were ended.

    Returns when none runs any more; those whose parent has not asked after them yet are still listed as defunct.
    """
    groups = [supervisor_group(lab, host), *host_groups(lab, host)]
    deadline = time.monotonic() + KILL_SECONDS
    ended: set[int] = set()
    while True:
        left = processes(groups)
        if not left:
            return ended
        ended |= left
        if time.monotonic() > deadline:
            raise LabError(f"processes {sorted(left)} of host {host} outlive SIGKILL; look at them with `ps`")
        for pid in processes(groups[:1]) or left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if is_frozen(lab, host):
            freeze(lab, host, frozen=False)  # a frozen process dies when it goes on
        time.sleep(0.02)


def wait_reaped(pids: set[int]) -> None:
    """Wait a little until ended processes are off the list: this machine's PID 1 may take its time."""
    deadline = time.monotonic() + REAP_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)


def remove(lab: str, host: str) -> None:
    """Remove the groups of a host that no longer runs."""
    for group in [supervisor_group(lab, host), *host_groups(lab, host)]:
        remove_below(group)


def remove_lab(lab: str) -> None:
    """Remove the lab's own groups."""
    for h in hierarchies():
        remove_below(h.path / TOP / lab)


def remove_top() -> None:
    """Remove the groups of all labs, after the last lab: one that starts would lose its footing."""
    for h in hierarchies():
        _rmdir(h.path / TOP)


def remove_below(group: Path) -> None:
    """Remove ``group`` with all below it, as far as they hold no process."""
    for folder, _, _ in os.walk(group, topdown=False):
        _rmdir(Path(folder))


def _rmdir(folder: Path) -> None:
    for _ in range(50):
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # A process that has just been reaped is counted for a moment more; one that lives keeps it for good.
            if (folder / "cgroup.procs").exists() and (folder / "cgroup.procs").read_text():
                return
            if any(path.is_dir() for path in folder.iterdir()):
                return
            time.sleep(0.01)
        else:
            return
