"""One lab as a whole: brought up, looked at, reached and removed."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.spec import HostSpec, HostState, LabSpec, ProgressLine


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


class Lab:
    """A lab on this machine. Every method raises ``LabError`` with the remedy."""

    def __init__(self, spec: LabSpec) -> None:
        self.spec = spec

    @classmethod
    def ensure(cls, spec: LabSpec, hosts: list[HostSpec], progress: ProgressLine) -> "Lab":
        """Bring up what of the lab is missing: image, network, hosts. What runs is left alone.

        Hosts that the list does not name are left alone too. Raises ``LabError`` where the name or the subnet
        belongs to another folder's lab, or where a host of that name has another address or host key.
        """
        raise NotImplementedError

    @classmethod
    def open(cls, name: str) -> "Lab":
        """The lab ``name`` of this machine, whichever folder it is in; ``LabError`` where there is none."""
        raise NotImplementedError

    def add_host(self, host: HostSpec, progress: ProgressLine) -> None:
        """One host more, started; as ``ensure`` with one host."""
        raise NotImplementedError

    def remove_host(self, name: str) -> None:
        """Take a host and its disk away; nothing where there is none."""
        raise NotImplementedError

    def down(self, progress: ProgressLine) -> None:
        """As the function ``down``, for this lab."""
        down(self.spec.name, self.spec.directory, progress)

    def status(self) -> list[HostStatus]:
        """Every host of the lab, by name."""
        raise NotImplementedError

    def cut(self, host: str) -> None:
        """Power cut: unplugged first, so that no dying socket says goodbye, then killed."""

    def power_on(self, host: str) -> None:
        """Start a host that was cut or has powered itself off."""

    def reboot(self, host: str) -> None:
        """A clean reboot, as ``systemctl reboot`` in the host; returns when the new boot has begun."""

    def freeze(self, host: str) -> None:
        """Stop every process of the host where it is; its kernel still answers ARP, ping and SYN."""

    def thaw(self, host: str) -> None:
        """Let a frozen host go on."""

    def partition(self, host: str, other: str | None = None) -> None:
        """Drop every frame between two hosts, or between one host and everything else."""

    def heal(self, host: str, other: str | None = None) -> None:
        """Undo ``partition`` of the same hosts; with one host, all of its partitions and its slow link."""

    def slow(self, host: str, rate_bits: int) -> None:
        """Limit the host's link to ``rate_bits`` per second in both directions, until ``heal`` or its next boot."""

    def ssh_command(self, host: str, *command: str) -> list[str]:
        """The argv that runs ``command`` (none: a shell) as root on the host, with its key pinned."""
        raise NotImplementedError

    def ssh(
        self, host: str, command: str, *, timeout: float = 60, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command as root on the host; ``timeout`` in seconds. ``LabError`` where it fails."""
        raise NotImplementedError

    def wait_ssh(self, host: str, timeout: float = 60) -> None:
        """Return when the host lets the operator log in with its pinned key; seconds."""
        raise NotImplementedError

    def wait_ready(self, host: str, timeout: float = 120) -> None:
        """``wait_ssh``, then until cloud-init is done; ``LabError`` with its errors where it failed."""
        raise NotImplementedError


def down(name: str, directory: Path | None, progress: ProgressLine) -> None:
    """Remove a lab without trace, whatever is left of it; nothing where there is nothing.

    Works on a lab that is half made, crashed, without its folder, or already gone. ``directory`` is the lab's
    folder where known; without it the machine's own note of the lab says where it is. The folder itself goes too.
    """
    raise NotImplementedError
