"""How the hosts of a lab are, from the kernel's own account of them."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from lab import cgroups, hosts, machine
from lab.record import Record
from lab.spec import HostState, LabSpec


@dataclass(frozen=True)
class HostStatus:
    """One line of ``seedbed lab status``.

    Args:
        uptime: seconds since the host's PID 1 started; ``None`` where it does not run.
        memory_bytes: what the host's processes use, without page cache.
        pid: the host's PID 1 as this machine sees it.
    """

    name: str
    address: str
    state: HostState
    uptime: float | None = None
    memory_bytes: int | None = None
    pid: int | None = None


def of(spec: LabSpec, host: str) -> HostStatus:
    """The status of one host; ``LabError`` where its folder is not whole."""
    address = Record.read(hosts.folder(spec, host)).address
    pid = cgroups.init_of(spec.name, host)
    memory = None if pid is None else cgroups.memory_used(spec.name, host)
    return HostStatus(host, address, state(spec, host), None if pid is None else _uptime(pid), memory, pid)


def state(spec: LabSpec, host: str) -> HostState:
    """What the host is doing."""
    # Its supervisor outlives PID 1 for a moment: it may be between two boots.
    if cgroups.init_of(spec.name, host) is None and cgroups.supervisor_of(spec.name, host) is None:
        power = hosts.folder(spec, host) / hosts.POWER
        return HostState.CUT if power.exists() and power.read_text() == HostState.CUT else HostState.STOPPED
    if cgroups.is_frozen(spec.name, host):
        return HostState.FROZEN
    if any(host in pair for pair in cuts(spec.name)):
        return HostState.PARTITIONED
    return HostState.RUNNING


def cuts(lab: str) -> list[tuple[str, str]]:
    """The pairs of hosts between which frames are dropped; the empty name stands for everything else."""
    path = machine.NOTES / "labs" / f"{lab}.partitions"
    try:
        return [(first, second) for first, second in json.loads(path.read_text())]
    except (OSError, ValueError):
        return []


def _uptime(pid: int) -> float | None:
    try:
        # Field 22, counted behind the program's name, which may hold blanks. See proc_pid_stat(5).
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None
