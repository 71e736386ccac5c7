"""The steps that every machine goes through, whatever its role: `wait`, `base` and `docker`."""

import json
from collections.abc import Mapping

from components.remote import script
from components.remote.script import Step, render

SCRIPTS = script.SCRIPTS / "pave"

KERNEL_EXACT = {
    # What k3s' kubelet insists on where it may not set it itself.
    # Source: https://docs.k3s.io/security/hardening-guide#ensure-protect-kernel-defaults-is-set
    "vm.overcommit_memory": 1,
    "vm.panic_on_oom": 0,
    "kernel.panic": 10,
    "kernel.panic_on_oops": 1,
}
"""Settings of the whole kernel. The lab, whose hosts share one, sets these and the floors once outside."""

KERNEL_FLOORS = {
    # Every watcher of a file takes one; the defaults end at a few dozen pods.
    "fs.inotify.max_user_instances": 8192,
    "fs.inotify.max_user_watches": 524288,
    # Kafka, MongoDB and ClickHouse map that many files.
    "vm.max_map_count": 262144,
}
"""Settings of the whole kernel that a machine may exceed."""

NETWORK_SETTINGS = {
    "net.ipv4.ip_forward": 1,
    "net.bridge.bridge-nf-call-iptables": 1,
}
"""Settings of one machine's network."""

MODULES = ("br_netfilter", "overlay")
"""What k3s loads itself where it may. Source: the unit of https://get.k3s.io"""

OPTIONAL_MODULES = ("dm_crypt", "iscsi_tcp")
"""Longhorn's. Source: https://longhorn.io/docs/1.12.1/deploy/install/#installation-requirements"""

PACKAGES = (
    "ca-certificates",
    "cryptsetup",
    "curl",
    "iproute2",
    "iptables",
    "nfs-common",
    "open-iscsi",
    "systemd-timesyncd",
)

METADATA = "169.254.169.254"
"""Where clouds tell a machine about itself."""

DAEMON_JSON = {"live-restore": True, "log-driver": "local"}
"""Docker's configuration: containers outlive a restart of the engine, and logs cannot fill the disk."""


FILESYSTEM = "ext4"
"""Of volumes: made by the cloud with the volume, and never here, where it would delete what is on it."""

DEVICE_SECONDS = 60
"""How long a volume may take to appear after it was attached."""


def wait(*, machine: str, node_address: str, cloud_init_seconds: int) -> Step:
    """The machine answers, has finished its first boot, and can be paved.

    `node_address` is where other nodes reach it, or a network in which it has one address.
    """
    return render(
        SCRIPTS,
        "wait",
        {
            "NODE": machine,
            "NODE_ADDRESS": node_address,
            "CLOUD_INIT_SECONDS": str(cloud_init_seconds),
        },
    )


def base(*, machine: str) -> Step:
    """The operating system as k3s and Longhorn need it."""
    exact = [f"{name}={value}" for name, value in (KERNEL_EXACT | NETWORK_SETTINGS).items()]
    floors = [f"{name}>={value}" for name, value in KERNEL_FLOORS.items()]
    return render(
        SCRIPTS,
        "base",
        {
            "NODE": machine,
            "PACKAGES": " ".join(PACKAGES),
            "MODULES": " ".join(MODULES),
            "OPTIONAL_MODULES": " ".join(OPTIONAL_MODULES),
            "SYSCTLS": " ".join(exact + floors),
            "METADATA": METADATA,
        },
    )


def volumes(*, machine: str, mounts: Mapping[str, str]) -> Step:
    """Disks that outlive the machine, in their places: device -> mount point."""
    places = [f"{device} {place}" for device, place in sorted(mounts.items())]
    return render(
        SCRIPTS,
        "volumes",
        {"NODE": machine, "MOUNTS": "\n".join(places), "FILESYSTEM": FILESYSTEM, "DEVICE_SECONDS": str(DEVICE_SECONDS)},
    )


def docker(*, machine: str) -> Step:
    """The distribution's Docker engine."""
    return render(SCRIPTS, "docker", {"NODE": machine, "DAEMON_JSON": json.dumps(DAEMON_JSON, sort_keys=True)})
