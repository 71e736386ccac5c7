"""What a new host is told about itself: the NoCloud seed of cloud-init, and the network that its cloud gives it.

Source: https://cloudinit.readthedocs.io/en/22.4/topics/datasources/nocloud.html
"""

import json
from pathlib import Path

import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_private_key

from lab import LabError, files
from lab.spec import METADATA, HostSpec, LabSpec

SEED = "var/lib/cloud/seed/nocloud"

OF_THE_LAB: dict[str, object] = {
    "disable_root": False,
    "manage_etc_hosts": "localhost",  # its own name resolves, as on the clouds
    "bootcmd": [["cloud-init-per", "once", "modules", "depmod"]],  # see kernel.write_modules
}
"""What every host is told, as the clouds tell theirs."""


def public_key(host: HostSpec) -> str:
    """``ssh-ed25519 AAAA…`` of the key that the host will answer with; empty where it will make its own."""
    if host.instance is not None:
        return given_key(host.instance.user_data)
    try:
        key = load_ssh_private_key(host.host_key_private.encode(), password=None)
    except ValueError:
        raise LabError(f"host {host.name}: its host key is not an OpenSSH private key") from None
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def given_key(user_data: str) -> str:
    """The public ed25519 host key in a ``#cloud-config``; empty where none is in it, or it is something else.

    Source: cloud-init's module ssh, https://cloudinit.readthedocs.io/en/22.4/topics/modules.html#ssh
    """
    if not user_data.startswith("#cloud-config"):
        return ""
    try:
        keys = yaml.safe_load(user_data)["ssh_keys"]
        return " ".join(str(keys["ed25519_public"]).split()[:2])
    except (yaml.YAMLError, KeyError, TypeError):  # cloud-init will say what is wrong with it
        return ""


def vendor_data() -> str:
    """What the lab tells the machine of a cloud: the user data is stronger where both say something.

    Root alone lets the cloud's keys in; Debian's image would make a user ``debian`` for them.
    """
    return _cloud_config({**OF_THE_LAB, "users": []})


def user_data(lab: LabSpec, host: HostSpec) -> str:
    """The ``#cloud-config`` of a host. It holds the host's private key, as it would on a cloud."""
    return _cloud_config(
        {
            **OF_THE_LAB,
            "ssh_deletekeys": True,
            "ssh_keys": {"ed25519_private": host.host_key_private, "ed25519_public": public_key(host)},
            "users": [{"name": "root", "ssh_authorized_keys": [lab.operator_public_key]}],
        }
    )


def _cloud_config(config: dict[str, object]) -> str:
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"  # JSON is YAML


def network_file(lab: LabSpec, host: HostSpec) -> str:
    """The systemd.network of ``eth0``. The two lines about IPv6 spare systemd-networkd-wait-online 12 s."""
    text = (
        "[Match]\nName=eth0\n\n"
        f"[Network]\nAddress={host.address}/{lab.subnet.prefixlen}\nGateway={lab.gateway}\n"
        "IPv6AcceptRA=no\nLinkLocalAddressing=no\n"
    )
    if host.instance is not None:
        text += (
            f"Address={host.instance.private}\n\n"
            f"[Route]\nDestination={METADATA}/32\nScope=link\nPreferredSource={host.address}\n"
        )
    return text


def write(upper: Path, lab: LabSpec, host: HostSpec, instance: str) -> None:
    """Write all of it into the upper layer of a host that has never run.

    Args:
        instance: cloud-init takes a host with another instance id for a new machine. Those of a cloud have their own.
    """
    meta: dict[str, object] = {"instance-id": instance, "local-hostname": host.name}
    told = user_data(lab, host) if host.instance is None else host.instance.user_data
    if host.instance is not None:
        meta |= {"instance-id": host.instance.id, "public-keys": list(host.instance.ssh_keys)}
        files.put(upper / SEED / "vendor-data", vendor_data())
    files.put(upper / SEED / "meta-data", json.dumps(meta) + "\n")
    files.put(upper / SEED / "user-data", told, mode=0o600)
    files.put(upper / "etc/systemd/network/10-eth0.network", network_file(lab, host))
    files.put(upper / "etc/resolv.conf", f"nameserver {lab.internet}\n")
