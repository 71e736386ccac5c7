"""The table of all resources."""

from collections.abc import Mapping

from lab.plugins.protocol import PluginError

from . import account, balancing, buckets, machines, naming, networks, storage
from .kind import Kind

KINDS: Mapping[str, Kind] = {
    kind.token: kind
    for kind in (
        networks.VPC,
        account.PROJECT,
        account.TAG_KIND,
        machines.SSH_KEY,
        machines.DROPLET,
        networks.FIREWALL,
        balancing.LOAD_BALANCER,
        networks.RESERVED_IP,
        networks.RESERVED_IP_ASSIGNMENT,
        storage.VOLUME,
        storage.VOLUME_ATTACHMENT,
        naming.DOMAIN,
        naming.DNS_RECORD,
        buckets.BUCKET,
        buckets.KEY,
    )
}


def kind_of(token: str, version: str) -> Kind:
    """The kind of a type's name. Raises PluginError for one that is not here."""
    try:
        return KINDS[token]
    except KeyError:
        known = ", ".join(sorted(name.rpartition(":")[2] for name in KINDS))
        raise PluginError(
            f"{token}: this is a drop-in for the digitalocean plugin that knows only {known}."
            f" For other types, install the official plugin: pulumi plugin install resource digitalocean {version}"
        ) from None
