"""One host's supervisor: ``python -m lab.supervisor LAB HOST FOLDER``, detached, one process a host.

It is to the host what an emulator is to a virtual machine: it starts the host's PID 1, keeps its console, starts it
again when the host reboots, and ends when it is powered off, cut, or ended itself; the host ends with it.
"""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

from lab import cgroups, disks, network, shell
from lab.record import FIREWALL, Attached, Record

HERE = Path(__file__).parent
CONSOLE_BYTES = 8 << 20
"""A console log that is longer is begun anew at the next boot."""

DEVICES = "devices"

SHORTEST_BOOT = 1.0
"""Seconds. A host that reboots sooner waits for so long, or a broken one would take all of a CPU."""


def main() -> None:
    """Run the host until it is powered off or cut."""
    lab, host, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    record = Record.read(folder)
    try:
        while _boot(lab, host, folder, record) == -signal.SIGHUP:  # how the kernel ends a namespace that reboots
            record = Record.read(folder)  # its limits may be others by now
    finally:
        network.unplug(lab, host)


def _boot(lab: str, host: str, folder: Path, record: Record) -> int:
    """One boot; gives back how its PID 1 ended, as ``Popen.returncode`` does."""
    began = time.monotonic()
    joins = cgroups.prepare(lab, host, record.memory_bytes, record.cpus)
    # Made anew at every boot: else the firewall, the routes and the net sysctls of the last one would be there.
    network.plug(lab, host, record.bridge)
    attach(lab, host, folder, record)
    (folder / "boot_id").write_text(f"{uuid.uuid4()}\n")
    console, terminal = os.openpty()
    environment = {
        "PATH": os.environ["PATH"],
        "SB_NAME": host,
        "SB_BASE": record.base,
        "SB_DIR": str(folder),
        "SB_CGROUPS": cgroup_mounts(),
    }
    argv = [str(HERE / "stage0.sh"), network.netns_name(lab, host), str(HERE / "stage1.sh"), *map(str, joins)]
    process = subprocess.Popen(
        argv, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True, env=environment
    )
    os.close(terminal)
    if cgroups.unified():
        _step_aside(lab, host, process.pid)
    _copy_console(console, folder / "console.log")
    ended = process.wait()
    os.close(console)
    if ended == -signal.SIGHUP:
        time.sleep(max(0.0, SHORTEST_BOOT - (time.monotonic() - began)))
    return ended


def attach(lab: str, host: str, folder: Path, record: Record) -> None:
    """Give the host what its cloud has given it, before anything of the host itself runs."""
    netns = network.netns_name(lab, host)
    if (folder / FIREWALL).exists():
        shell.run(*network.run_in(netns, "nft", "-f", str(folder / FIREWALL)))
    attached = Attached.read(folder)
    for address in attached.addresses:
        network.add_address(netns, address)
    own = (record.address, record.private.partition("/")[0]) if record.private else ()
    network.announce(lab, host, record.bridge, (*own, *attached.addresses))
    devices = [(disk.name, disks.attach(Path(disk.image))) for disk in attached.disks]
    (folder / DEVICES).write_text(disks.boot_lines(devices))


def cgroup_mounts() -> str:
    """The hierarchies of this machine as ``stage1.sh`` mounts them again."""
    if cgroups.unified():
        return ". cgroup2"
    return "\n".join(f"{h.path.name} {h.kind} {h.options}".strip() for h in cgroups.hierarchies())


def _step_aside(lab: str, host: str, pid: int) -> None:
    """Take PID 1's parent out of the host's root group: version 2 gives none its controllers while a process is in it.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#no-internal-process-constraint
    """
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(500):
        if children.exists() and children.read_text():
            (cgroups.supervisor_group(lab, host) / "cgroup.procs").write_text(str(pid))
            return
        time.sleep(0.01)


def _copy_console(console: int, path: Path) -> None:
    """Copy what the host prints until it ends."""
    mode = "ab" if path.exists() and path.stat().st_size < CONSOLE_BYTES else "wb"
    with path.open(mode, buffering=0) as log:
        while True:
            try:
                text = os.read(console, 65536)
            except OSError:  # EIO: nobody has the terminal open any more
                return
            log.write(text)


if __name__ == "__main__":
    main()
