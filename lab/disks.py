"""Disks beside a host's own: files of this machine, which its kernel shows as loop devices to whom has a node of them.

A loop device knows its file, so what is to be removed is found by that, whatever became of notes and processes.
"""

import fcntl
import os
import stat
import struct
import time
from dataclasses import dataclass
from pathlib import Path

from lab import LabError, shell

BLOCK = Path("/sys/block")
BY_ID = "/dev/disk/by-id"
SHUTDOWN = 0x8004587D
"""The ioctl that ends a file system as it is; ext4 and xfs have it. Source: linux/fs.h, FS_IOC_SHUTDOWN."""

AND_WRITE_NOTHING = 2
END_SECONDS = 10.0
_DELETED = " (deleted)"


@dataclass(frozen=True)
class Loop:
    """A loop device, e.g. ``loop3``, and the file behind it."""

    name: str
    major: int
    minor: int
    image: Path
    ending: bool
    """It goes with the last who uses it."""


def loops() -> list[Loop]:
    """Every loop device of this machine that has a file."""
    found = []
    for device in sorted(BLOCK.glob("loop*")):
        try:
            image = (device / "loop/backing_file").read_text().removesuffix("\n").removesuffix(_DELETED)
            ending = (device / "loop/autoclear").read_text().strip() == "1"
            major, minor = (device / "dev").read_text().split(":")
        except OSError:
            continue  # it has none, or loses it right now
        found.append(Loop(device.name, int(major), int(minor), Path(image), ending))
    return found


def of(image: Path) -> Loop | None:
    """The loop device that shows the file ``image``, where there is one."""
    return next((loop for loop in loops() if loop.image == image.resolve() and not loop.ending), None)


def attach(image: Path) -> Loop:
    """Have a loop device show the file; the one that does already, where there is one."""
    if not image.is_file():
        raise LabError(f"the disk {image} is gone: remove the lab with `seedbed lab down` and make it anew")
    loop = of(image)
    if loop is None:
        shell.run("losetup", "--find", str(image))
        loop = of(image)
    if loop is None:
        raise LabError(f"no loop device shows {image}: `losetup --list` lists those that there are")
    return loop


def detach(image: Path) -> None:
    """Have the loop device of the file go, where there is one; what is still mounted keeps it until it is no more."""
    loop = of(image)
    if loop is None:
        return
    shell.run("losetup", "--detach", f"/dev/{loop.name}")


def wait_detached(image: Path) -> None:
    """Return when no loop device shows the file any more; ``LabError`` where somebody still uses it.

    A host that was ended gives its mounts back a moment after its last process; to attach the file again before would
    have two file systems write to it.
    """
    deadline = time.monotonic() + END_SECONDS
    while using := [loop for loop in loops() if loop.image == image.resolve()]:
        if time.monotonic() > deadline:
            device = using[0].name
            raise LabError(f"the disk {image} is still used as /dev/{device}: `grep -l {device} /proc/*/mountinfo`")
        time.sleep(0.02)


def grow(image: Path, size: int) -> None:
    """Make the file, and the device that shows it, ``size`` bytes long; never shorter."""
    if image.stat().st_size >= size:
        return
    os.truncate(image, size)
    loop = of(image)
    if loop is not None:
        shell.run("losetup", "--set-capacity", f"/dev/{loop.name}")


def plug(pid: int, loop: Loop, name: str) -> None:
    """Give the host whose PID 1 is ``pid`` the device, and the name that a cloud's volume has."""
    node = f"/dev/{loop.name}"
    script = (
        # Not `mknod -m`: it asks the host's /proc about a process that the host does not know.
        f"[ -b {node} ] || (umask 007 && mknod {node} b {loop.major} {loop.minor})\n"
        f"mkdir -p {BY_ID} && ln -sfn ../../{loop.name} {BY_ID}/{link(name)}\n"
    )
    shell.run("nsenter", "--mount", "--target", str(pid), "sh", "-eu", stdin=script)


def pull(pid: int, loop: Loop, name: str) -> None:
    """Take the device from the host whose PID 1 is ``pid``: a file system on it writes nothing more, and fails."""
    for mountpoint in _mountpoints(pid, loop):
        try:
            handle = os.open(f"/proc/{pid}/root{mountpoint}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            if os.fstat(handle).st_dev == os.makedev(loop.major, loop.minor) and _is_plain(handle):
                fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", AND_WRITE_NOTHING))
        except OSError:  # a file system without it
            continue
        finally:
            os.close(handle)
    script = f"rm -f {BY_ID}/{link(name)} /dev/{loop.name}\n"
    shell.run("nsenter", "--mount", "--target", str(pid), "sh", "-eu", stdin=script)


def link(name: str) -> str:
    """The name in `/dev/disk/by-id` of a volume. Source: https://docs.digitalocean.com/products/volumes/how-to/mount/"""
    return f"scsi-0DO_Volume_{name}"


def boot_lines(disks: list[tuple[str, Loop]]) -> str:
    """What ``stage1.sh`` makes the nodes and names by: pairs of a name and its device."""
    return "".join(f"{loop.name} {loop.major} {loop.minor} {link(name)}\n" for name, loop in disks)


def release(folder: Path) -> None:
    """Detach every loop device whose file is, or was, below ``folder``. Nothing may use them any more."""
    below = folder.resolve()
    images = {loop.image for loop in loops() if loop.image.is_relative_to(below)}
    for loop in loops():
        if loop.image in images and not loop.ending:
            shell.attempt("losetup", "--detach", f"/dev/{loop.name}")
    for image in images:
        wait_detached(image)


def _mountpoints(pid: int, loop: Loop) -> list[str]:
    """Where the host has the device mounted. See proc_pid_mountinfo(5)."""
    try:
        lines = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    except OSError:
        return []
    device = f"{loop.major}:{loop.minor}"
    fields = [line.split() for line in lines]
    return [field[4].encode().decode("unicode_escape") for field in fields if field[2] == device]


def _is_plain(handle: int) -> bool:
    mode = os.fstat(handle).st_mode
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode)
