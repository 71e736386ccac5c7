"""A droplet as one generation of a machine."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_digitalocean as digitalocean
from pulumi_command import remote

# What a generation was made with is what it stays (design rule 4). A change of the first six would replace the droplet;
# one of the others would power it off, or cannot be undone.
# Source: terraform-provider-digitalocean, digitalocean/droplet/resource_droplet.go
FROZEN = (
    "dropletAgent",
    "image",
    "monitoring",
    "region",
    "sshKeys",
    "userData",
    "vpcUuid",
    "ipv6",
    "size",
)

CREATE_MINUTES = 10


@dataclass(frozen=True, kw_only=True)
class DropletHostArgs:
    """One droplet; the settings in the cloud's own terms.

    `private_key` logs in, and `ssh_key` is its public half as the cloud knows it; `host_key` is the `ssh-ed25519 AAAA…`
    line that the machine must prove to hold, and `user_data` gives it to the machine.
    """

    region: str
    size: str
    image: str
    ipv6: bool
    monitoring: bool
    backups: bool
    tags: Sequence[pulumi.Input[str]]
    vpc: pulumi.Input[str]
    ssh_key: pulumi.Input[str]
    user: str
    port: int
    private_key: str
    host_key: str
    user_data: str
    retire: pulumi.ResourceHook
    """What it leaves by."""
    after: Sequence[pulumi.Resource]
    """What must be there before the machine is reachable by anybody: its firewall."""


class DropletHost(pulumi.ComponentResource):
    """One generation of a machine at DigitalOcean."""

    address: pulumi.Input[str]
    port: int
    user: str
    host_key: str
    droplet: digitalocean.Droplet

    def __init__(self, name: str, args: DropletHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:metal:DropletHost", name, None, opts)
        self.port, self.user, self.host_key = args.port, args.user, args.host_key
        self._args = args
        self.droplet = digitalocean.Droplet(
            name,
            name=name,
            region=args.region,
            size=args.size,
            image=args.image,
            ipv6=args.ipv6,
            monitoring=args.monitoring,
            backups=args.backups,
            # The console's agent would let in whoever may use the account.
            droplet_agent=False,
            tags=list(args.tags),
            vpc_uuid=args.vpc,
            ssh_keys=[args.ssh_key],
            user_data=pulumi.Output.secret(args.user_data),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                ignore_changes=list(FROZEN),
                custom_timeouts=pulumi.CustomTimeouts(create=f"{CREATE_MINUTES}m"),
                hooks=pulumi.ResourceHookBinding(before_delete=[args.retire]),
            ),
        )
        self.address = self.droplet.ipv4_address
        self.register_outputs({"address": self.address})

    def connection(self, *, dial_error_limit: int, per_dial_timeout: int) -> remote.ConnectionArgs:
        """How a remote step logs in; the limits are the provider's, in attempts and in seconds for each."""
        return remote.ConnectionArgs(
            host=self.droplet.ipv4_address,
            port=self._args.port,
            user=self._args.user,
            private_key=pulumi.Output.secret(self._args.private_key),
            host_key=self._args.host_key,
            dial_error_limit=dial_error_limit,
            per_dial_timeout=per_dial_timeout,
        )
