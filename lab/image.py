"""The base images of the lab's hosts: Debian, made once by debootstrap and apt, and kept in the cache."""

import os
import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from lab import LabError, apt, files
from tools import cache
from tools.debian import ensure_packages
from tools.process import run
from tools.progress import Progress

# What a cloud's Debian image has and the lab needs. Time synchronisation, Docker and the rest come by paving.
# lsb-release: without it cloud-init writes apt sources with the suite "UNAVAILABLE".
# containerd, runc, containernetworking-plugins: for the k3s stand-in, which brings no container runtime of its own.
PACKAGES = [
    *("systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "cloud-init", "lsb-release"),
    *("iproute2", "iptables", "nftables", "iputils-ping", "ca-certificates", "curl"),
    *("sudo", "kmod", "procps", "less", "python3"),
    *("containerd", "runc", "containernetworking-plugins"),
]

CLOUD_CONFIG = """\
# The lab gives the network by systemd-networkd: cloud-init's own rendering asks udev, which hosts of the lab lack.
network: {config: disabled}
datasource_list: [NoCloud]
locale: false
apt_preserve_sources_list: true
"""

SETUP = """\
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
update-ca-certificates >/dev/null 2>&1
rm -f /etc/apt/sources.list
apt-get -q update
apt-get -q -y --no-install-recommends upgrade
apt-get -q -y --no-install-recommends install $PACKAGES
systemctl enable systemd-networkd
systemctl disable containerd e2scrub_reap
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/resolv.conf /var/lib/dbus/machine-id
: > /etc/machine-id
"""

# What was installed shall not begin with the host's boot: a step of the paving enables and starts what it needs, and finds
# the order of its own acts (a mask before an installation, forwarding before Docker) as on a machine without the packages.
PREPARE = """\
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
enabled() { systemctl list-unit-files --state=enabled --no-legend --plain | cut -d' ' -f1 | sort; }
enabled >/tmp/before
apt-get -q update
apt-get -q -y --no-install-recommends install $PACKAGES
enabled | comm -13 /tmp/before - | xargs -r systemctl disable
apt-get clean
rm -rf /var/lib/apt/lists/* /usr/sbin/policy-rc.d /etc/resolv.conf /tmp/before
"""

VARIABLE = "SEEDBED_LAB_IMAGE"


class Image(StrEnum):
    """What a new host's disk begins with; a host that is there keeps what it was made on."""

    BARE = "bare"
    """Debian as a cloud gives it."""

    PREPARED = "prepared"
    """The same with the packages of the paving installed, and nothing else done: as from a provider's snapshot."""


EXTRA_CAS = Path("/usr/local/share/ca-certificates")
BUILD_SECONDS = 1800

# In mount and process namespaces of their own, what a build mounts and starts goes with them.
APART = ["sh", "-c", 'umask 022 && exec "$@"', "sh"]
APART += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def chosen() -> Image:
    """What `SEEDBED_LAB_IMAGE` asks for: the bare image unless it says otherwise."""
    name = os.environ.get(VARIABLE) or Image.BARE
    try:
        return Image(name)
    except ValueError:
        raise LabError(f"{VARIABLE}={name}: no such image; there are {', '.join(Image)}") from None


def ensure(progress: Progress, which: Image | None = None) -> Path:
    """The root file system of an image, of the one that is `chosen` where none is named.

    It is read-only by convention: hosts are overlays on it. Raises ``LabError`` or ``ToolError`` where it cannot be made.
    """
    mirrors = apt.mirrors()
    extra_cas = sorted(EXTRA_CAS.glob("*.crt")) if EXTRA_CAS.is_dir() else []
    recipe: list[str | bytes] = [apt.SUITE, " ".join(PACKAGES), CLOUD_CONFIG, SETUP, mirrors.sources(), apt.settings()]
    for path in extra_cas:
        recipe += [path.name, path.read_bytes()]

    def make(folder: Path) -> None:
        _make(folder / "root", mirrors, extra_cas, progress)

    bare = cache.entry("image", cache.digest(recipe), make) / "root"
    if (which or chosen()) is Image.BARE:
        return bare
    packages = paved_packages()

    def prepare(folder: Path) -> None:
        _prepare(folder / "root", bare, packages, progress)

    return cache.entry("prepared", cache.digest([*recipe, PREPARE, " ".join(packages)]), prepare) / "root"


def paved_packages() -> tuple[str, ...]:
    """What the steps of the paving install."""
    from components.pave import steps  # it takes Pulumi's SDK along, which is slow to load and of no use to others

    return (*steps.PACKAGES, "docker.io")


def _make(root: Path, mirrors: apt.Mirrors, extra_cas: list[Path], progress: Progress) -> None:
    ensure_packages(["debootstrap"], progress)
    _check_room(root)
    with progress.phase(f"base image: Debian {apt.SUITE} by debootstrap"):
        debootstrap = ["debootstrap", "--variant=minbase", "--include=ca-certificates", apt.SUITE]
        run([*APART, *debootstrap, str(root), mirrors.archive], "debootstrap", timeout=BUILD_SECONDS)
    with progress.phase(f"base image: {len(PACKAGES)} packages"):
        files.put(root / "etc/apt/sources.list.d/debian.sources", mirrors.sources())
        files.put(root / "etc/apt/apt.conf.d/90seedbed", apt.settings())
        files.put(root / "etc/cloud/cloud.cfg.d/99-seedbed.cfg", CLOUD_CONFIG)
        for path in extra_cas:
            shutil.copy(path, root / "usr/local/share/ca-certificates" / path.name)
        _in_chroot(root, SETUP, PACKAGES, "packages of the base image")


def _prepare(root: Path, bare: Path, packages: Sequence[str], progress: Progress) -> None:
    _check_room(root)
    with progress.phase("prepared image: the base image with the packages of the paving"):
        run(
            ["cp", "--archive", "--reflink=auto", str(bare), str(root)], "copy of the base image", timeout=BUILD_SECONDS
        )
        _in_chroot(root, PREPARE, packages, "packages of the prepared image")


def _check_room(root: Path) -> None:
    free = shutil.disk_usage(root.parent).free
    if free < 2**31:
        raise LabError(f"{root.parent.parent} has {free >> 20} MiB free; an image needs 2 GiB: set SEEDBED_CACHE")


def _in_chroot(root: Path, script: str, packages: Sequence[str], what: str) -> None:
    """Run a script with `packages` in an image that has no services."""
    files.put(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)  # start no service in the chroot
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    chroot = [f"--mount-proc={root}/proc", "chroot", str(root), "env", f"PACKAGES={' '.join(packages)}"]
    run([*APART[:-1], *chroot, "/bin/sh", "-c", script], what, timeout=BUILD_SECONDS)
