"""The base image of the lab's hosts: Debian, made once by debootstrap and apt, and kept in the cache."""

import shutil
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

EXTRA_CAS = Path("/usr/local/share/ca-certificates")
BUILD_SECONDS = 1800


def ensure(progress: Progress) -> Path:
    """The root file system of the image, read-only by convention: hosts are overlays on it.

    Raises ``LabError`` or ``ToolError`` where it cannot be made.
    """
    mirrors = apt.mirrors()
    extra_cas = sorted(EXTRA_CAS.glob("*.crt")) if EXTRA_CAS.is_dir() else []
    recipe: list[str | bytes] = [apt.SUITE, " ".join(PACKAGES), CLOUD_CONFIG, SETUP, mirrors.sources(), apt.settings()]
    for path in extra_cas:
        recipe += [path.name, path.read_bytes()]

    def make(folder: Path) -> None:
        _make(folder / "root", mirrors, extra_cas, progress)

    return cache.entry("image", cache.digest(recipe), make) / "root"


def _make(root: Path, mirrors: apt.Mirrors, extra_cas: list[Path], progress: Progress) -> None:
    ensure_packages(["debootstrap"], progress)
    free = shutil.disk_usage(root.parent).free
    if free < 2**31:
        raise LabError(f"{root.parent.parent} has {free >> 20} MiB free; the base image needs 2 GiB: set SEEDBED_CACHE")
    with progress.phase(f"base image: Debian {apt.SUITE} by debootstrap"):
        # In mount and process namespaces of their own, what these two mount and start goes with them.
        apart = ["sh", "-c", 'umask 022 && exec "$@"', "sh"]
        apart += ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        debootstrap = ["debootstrap", "--variant=minbase", "--include=ca-certificates", apt.SUITE]
        run([*apart, *debootstrap, str(root), mirrors.archive], "debootstrap", timeout=BUILD_SECONDS)
    with progress.phase(f"base image: {len(PACKAGES)} packages"):
        files.put(root / "etc/apt/sources.list.d/debian.sources", mirrors.sources())
        files.put(root / "etc/apt/apt.conf.d/90seedbed", apt.settings())
        files.put(root / "etc/cloud/cloud.cfg.d/99-seedbed.cfg", CLOUD_CONFIG)
        files.put(root / "usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", mode=0o755)  # start no service in the chroot
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        for path in extra_cas:
            shutil.copy(path, root / "usr/local/share/ca-certificates" / path.name)
        chroot = [f"--mount-proc={root}/proc", "chroot", str(root), "env", f"PACKAGES={' '.join(PACKAGES)}"]
        run([*apart[:-1], *chroot, "/bin/sh", "-c", SETUP], "packages of the base image", timeout=BUILD_SECONDS)
