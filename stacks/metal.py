"""Where a stack's machines come from, as the rest of the stack sees it."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

import pulumi

from components.metal.existing import ExistingHost, ExistingHostArgs
from components.metal.host import Host
from components.pave import k3s
from components.retire import Gate
from stacks.identity import Identity
from stacks.settings import Role, Settings


class Metal(Protocol):
    """The machines of one stack, and what lies between them and the world."""

    api_url: str | pulumi.Output[str]
    """Where the API is reached from outside."""
    tls_sans: list[str]
    """Every name and address of the API that is known before any machine is."""
    late: pulumi.Output[k3s.Late] | None
    """What is known only when it has been made; None where there is no such thing."""
    reachable: tuple[pulumi.Resource, ...]
    """What must be there before a machine can join by way of the API's address."""

    def host(self, name: str, /) -> Host:
        """The machine of this name."""
        ...

    def node_address(self, name: str, /) -> str:
        """Where other nodes reach it, or the network in which it has one address."""
        ...

    def peers(self, name: str, /) -> list[str]:
        """Where the cluster answers to the machine, once it is made; what is in `late` comes behind."""
        ...

    def mounts(self, name: str, /) -> Mapping[str, str]:
        """Device -> mount point of what outlives the machine."""
        ...

    def attach(
        self, name: str, member: pulumi.Output[Mapping[str, Any]], after: tuple[pulumi.Resource, ...], /
    ) -> tuple[pulumi.Resource, ...]:
        """What must be there before its devices are: they come to the machine when `after` is there and `member` is known."""
        ...

    def joined(self, name: str, node: pulumi.Resource, /) -> None:
        """`node` is there when the machine does its work: what leads to it may lead to it now."""
        ...

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        """What the stack tells of the machines."""
        ...


class ExistingMetal:
    """Machines that somebody else made: addresses are known, and nothing is paid for."""

    late: pulumi.Output[k3s.Late] | None = None
    reachable: tuple[pulumi.Resource, ...] = ()

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self.api_url: str | pulumi.Output[str] = cast(str, settings.api_url)  # only a cloud has none that is known
        cluster = settings.cluster
        servers = [str(settings.machines[name].address) for name in settings.names(Role.SERVER)]
        # A certificate that lacks one cannot be mended later.
        self.tls_sans = [*servers, *cluster.tls_sans, *([cluster.endpoint] if cluster.endpoint else [])]
        self._hosts = {name: self._make(name, identity) for name in settings.machines}

    def _make(self, name: str, identity: Identity) -> ExistingHost:
        settings, machine = self._settings, self._settings.machines[name]
        full_name = settings.full_name(name)
        return ExistingHost(
            full_name,
            ExistingHostArgs(
                address=str(machine.address),
                port=settings.ssh.port,
                user=settings.ssh.user,
                private_key=identity.operator_key_pkcs8,
                host_key=machine.host_key or identity.host_key(full_name).public,
            ),
        )

    def host(self, name: str) -> Host:
        return self._hosts[name]

    def node_address(self, name: str) -> str:
        return self._settings.machines[name].cluster_address

    def peers(self, name: str) -> list[str]:
        # All of them: any may be dead, or be one that joins only later in the same update.
        servers = [self.node_address(other) for other in self._settings.names(Role.SERVER) if other != name]
        endpoint = self._settings.cluster.endpoint
        return servers if endpoint is None else [endpoint, *servers]

    def mounts(self, _name: str) -> Mapping[str, str]:
        return {}

    def attach(
        self, _name: str, _member: pulumi.Output[Mapping[str, Any]], _after: tuple[pulumi.Resource, ...]
    ) -> tuple[pulumi.Resource, ...]:
        return ()

    def joined(self, _name: str, _node: pulumi.Resource) -> None:
        pass  # nothing leads to it that is ours

    def outputs(self) -> dict[str, pulumi.Input[object]]:
        settings = self._settings
        return {
            "nodes": {
                settings.full_name(name): {"address": machine.cluster_address, "role": str(machine.role)}
                for name, machine in sorted(settings.machines.items())
            }
        }


def metal(settings: Settings, identity: Identity, gate: Gate) -> Metal:
    """The machines that the settings describe, registered with the engine; those that can be deleted leave by the gate."""
    if settings.digitalocean is None:
        return ExistingMetal(settings, identity)
    # Imported here: the SDK takes a third of a second, which other stacks have no use for.
    from stacks.digitalocean import DigitalOceanMetal

    return DigitalOceanMetal(settings, settings.digitalocean, identity, gate)
