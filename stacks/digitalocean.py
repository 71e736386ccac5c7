"""The machines of a stack at DigitalOcean: one network, one droplet for each machine, and what outlives them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi
import pulumi_digitalocean as digitalocean

from components.metal.digitalocean import cost, storage
from components.metal.digitalocean.catalogue import SIZES
from components.metal.digitalocean.droplet import DropletHost, DropletHostArgs
from components.metal.digitalocean.network import Dns, Network, NetworkArgs
from components.metal.host import Host
from components.metal.user_data import user_data
from components.pave import k3s
from components.retire import Gate
from components.retire.gate import HOLDER
from stacks.digitalocean_settings import DigitalOcean
from stacks.identity import Identity
from stacks.model import PROJECT
from stacks.settings import Role, Settings


class DigitalOceanMetal:
    """See `stacks.metal.Metal`. Everything is named after the stack, so that one account may hold several."""

    def __init__(self, settings: Settings, cloud: DigitalOcean, identity: Identity, gate: Gate) -> None:
        self._settings, self._cloud, self._identity, self._gate = settings, cloud, identity, gate
        self._stack = pulumi.get_stack()
        self._name = f"{PROJECT}-{self._stack}"
        self._network = Network(
            self._name,
            NetworkArgs(
                region=cloud.region,
                ip_range=str(settings.network.machines),
                operators={name: str(network) for name, network in cloud.operators.items()},
                ssh_port=settings.ssh.port,
                public_key=identity.operator_public_key,
                balancer_size=cloud.load_balancer.size,
                http_node_port=cloud.load_balancer.http_node_port,
                https_node_port=cloud.load_balancer.https_node_port,
                dns=None if cloud.dns is None else Dns(zone=cloud.dns.zone, names=cloud.dns.names),
            ),
        )
        self._hosts = {name: self._droplet(name) for name in sorted(settings.machines)}
        for name, host in self._hosts.items():
            gate.droplet(settings.full_name(name), host.droplet.id)
        self._volumes = {
            name: storage.volume(f"{self._name}-{name}", region=cloud.region, gib=cloud.volumes[name].size)
            for name in sorted(cloud.volumes)
        }
        self._addresses = {name: self._reserve(name) for name in sorted(cloud.reserved_addresses)}
        self._snapshots = self._make_snapshots()
        self._project([*self._volumes.values(), *self._addresses.values()])
        address = self._network.balancer.ip
        self.api_url: str | pulumi.Output[str] = pulumi.Output.concat("https://", address, f":{k3s.API_PORT}")
        self.tls_sans = [*settings.cluster.tls_sans, *cloud.api_names]
        self.late: pulumi.Output[k3s.Late] | None = self._late(address)
        self.reachable: tuple[pulumi.Resource, ...] = (self._network.balancer_firewall,)

    def _droplet(self, name: str) -> DropletHost:
        settings, network = self._settings, self._network
        full_name = settings.full_name(name)
        droplet = self._cloud.droplet(name)
        key = self._identity.host_key(full_name)
        tags = [network.tag.name]
        if settings.machines[name].role is Role.SERVER:
            tags.append(network.server_tag.name)
        return DropletHost(
            full_name,
            DropletHostArgs(
                region=self._cloud.region,
                size=droplet.size,
                image=droplet.image,
                ipv6=droplet.ipv6,
                monitoring=droplet.monitoring,
                backups=droplet.backups,
                tags=tags,
                vpc=network.vpc.id,
                ssh_key=network.ssh_key.fingerprint,
                user=settings.ssh.user,
                port=settings.ssh.port,
                private_key=self._identity.operator_key_pkcs8,
                host_key=key.public,
                user_data=user_data(host_key_private=key.private, host_key_public=key.public),
                after=(network.firewall,),
                retire=self._gate.hook,
            ),
        )

    def _reserve(self, name: str) -> digitalocean.ReservedIp:
        return digitalocean.ReservedIp(
            f"{self._name}-{name}", region=self._cloud.region, opts=pulumi.ResourceOptions(protect=True)
        )

    def _make_snapshots(self) -> storage.Snapshots | None:
        snapshots = self._cloud.snapshots
        if snapshots is None:
            return None
        return storage.Snapshots(
            f"{self._name}-etcd",
            storage.SnapshotsArgs(
                region=self._cloud.region,
                bucket=snapshots.bucket,
                folder=self._stack,
                days=snapshots.keep_days,
            ),
        )

    def _project(self, others: list[digitalocean.Volume | digitalocean.ReservedIp]) -> None:
        owned: list[pulumi.Output[str]] = [host.droplet.droplet_urn for host in self._hosts.values()]
        owned += [self._network.balancer.load_balancer_urn]
        owned += [
            other.volume_urn if isinstance(other, digitalocean.Volume) else other.reserved_ip_urn for other in others
        ]
        digitalocean.Project(
            self._name,
            name=self._name,
            description="One Kubernetes cluster. Made by seedbed; change it there.",
            purpose="Service or API",
            environment="Production",
            resources=owned,
        )

    def _late(self, address: pulumi.Output[str]) -> pulumi.Output[k3s.Late]:
        if self._snapshots is None:
            return address.apply(lambda address: k3s.Late(endpoint=address))
        key = self._snapshots.key
        return pulumi.Output.all(address, key.access_key, key.secret_key).apply(
            lambda values: k3s.Late(endpoint=values[0], access_key=values[1], secret_key=values[2])
        )

    def host(self, name: str) -> Host:
        return self._hosts[name]

    def node_address(self, _name: str) -> str:
        return str(self._settings.network.machines)

    def peers(self, _name: str) -> list[str]:
        return []  # the load balancer answers for all of them

    def mounts(self, name: str) -> Mapping[str, str]:
        return {
            storage.device(f"{self._name}-{volume}"): settings.mount
            for volume, settings in self._cloud.volumes.items()
            if settings.machine == name
        }

    def attach(
        self, name: str, member: pulumi.Output[Mapping[str, Any]], after: tuple[pulumi.Resource, ...]
    ) -> tuple[pulumi.Resource, ...]:
        mounts = sorted(self.mounts(name).values())
        # The machine's name as it is known in the preview, and how to log in to it as it was made.
        machine = {
            "machine": self._settings.full_name(name),
            "login": member["login"],
            "mounts": mounts,
            "paved": {"role": member["paved"]["role"], "size": member["paved"]["size"]},
        }
        return tuple(
            self._hand_over(volume, name, machine, after)
            for volume, settings in sorted(self._cloud.volumes.items())
            if settings.machine == name
        )

    def _hand_over(
        self, volume: str, machine: str, holder: Mapping[str, object], after: tuple[pulumi.Resource, ...]
    ) -> digitalocean.VolumeAttachment:
        """The volume in the machine, when the one that it was in has left the cluster."""
        full_name = f"{self._name}-{volume}"
        remembered = pulumi.Stash(
            f"{full_name}{HOLDER}",
            input=holder,
            opts=pulumi.ResourceOptions(
                depends_on=list(after), hooks=pulumi.ResourceHookBinding(before_update=[self._gate.hand_over])
            ),
        )
        return storage.attach(
            full_name, self._volumes[volume], self._hosts[machine].droplet, keep=self._gate.keep, after=(remembered,)
        )

    def joined(self, name: str, node: pulumi.Resource) -> None:
        for address, settings in sorted(self._cloud.reserved_addresses.items()):
            if settings.machine == name:
                digitalocean.ReservedIpAssignment(
                    f"{self._name}-{address}",
                    ip_address=self._addresses[address].ip_address,
                    droplet_id=self._hosts[name].droplet.id.apply(int),
                    opts=pulumi.ResourceOptions(depends_on=[node]),
                )

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        settings = self._settings
        return {
            "nodes": {
                settings.full_name(name): {
                    "address": host.droplet.ipv4_address_private,
                    "publicAddress": host.droplet.ipv4_address,
                    "role": str(settings.machines[name].role),
                }
                for name, host in self._hosts.items()
            },
            "monthlyCost": self._monthly_cost(),
        }

    def _monthly_cost(self) -> pulumi.Output[dict[str, str]]:
        """Of the droplets as they are: their sizes are frozen with their generations."""
        order = self._cloud.order
        droplets = {
            name: {"size": host.droplet.size, "backups": host.droplet.backups} for name, host in self._hosts.items()
        }

        def priced(there: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
            sizes = {name: droplet["size"] for name, droplet in there.items() if droplet["size"] in SIZES}
            backups = frozenset(name for name, droplet in there.items() if droplet["backups"])
            # One of a size that the table does not have was resized by hand, and counts as what it should be.
            return cost.output(replace(order, sizes={**order.sizes, **sizes}, backups=backups))

        return pulumi.Output.from_input(droplets).apply(priced)
