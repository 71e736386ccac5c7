"""What a new host is told about itself: the NoCloud seed of cloud-init, and the network that its cloud gives it.

Source: https://cloudinit.readthedocs.io/en/22.4/topics/datasources/nocloud.html
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from lab import LabError, files
from lab.spec import HostSpec, LabSpec

SEED = "var/lib/cloud/seed/nocloud"


def public_key(host: HostSpec) -> str:
    """``ssh-ed25519 AAAA…`` of the host's private key."""
    try:
        key = load_ssh_private_key(host.host_key_private.encode(), password=None)
    except ValueError:
        raise LabError(f"host {host.name}: its host key is not an OpenSSH private key") from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def user_data(lab: LabSpec, host: HostSpec) -> str:
    """The ``#cloud-config`` of a host. It holds the host's private key, as it would on a cloud."""
    config: dict[str, object] = {
        "disable_root": False,
        "manage_etc_hosts": "localhost",  # its own name resolves, as on the clouds
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host.host_key_private, "ed25519_public": public_key(host)},
        "bootcmd": [["cloud-init-per", "once", "modules", "depmod"]],  # see kernel.write_modules
        "users": [{"name": "root", "ssh_authorized_keys": [lab.operator_public_key]}],
    }
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"  # JSON is YAML


def network_file(lab: LabSpec, host: HostSpec) -> str:
    """The systemd.network of ``eth0``. The last two lines spare systemd-networkd-wait-online 12 s."""
    return (
        "[Match]\nName=eth0\n\n"
        f"[Network]\nAddress={host.address}/{lab.subnet.prefixlen}\nGateway={lab.gateway}\n"
        "IPv6AcceptRA=no\nLinkLocalAddressing=no\n"
    )


def write(upper: Path, lab: LabSpec, host: HostSpec, instance: str) -> None:
    """Write all of it into the upper layer of a host that has never run.

    Args:
        instance: cloud-init takes a host with another instance id for a new machine.
    """
    files.put(upper / SEED / "meta-data", json.dumps({"instance-id": instance, "local-hostname": host.name}) + "\n")
    files.put(upper / SEED / "user-data", user_data(lab, host), mode=0o600)
    files.put(upper / "etc/systemd/network/10-eth0.network", network_file(lab, host))
    files.put(upper / "etc/resolv.conf", f"nameserver {lab.internet}\n")
