"""Machines as the settings name them, wherever they come from: roles, generations, and who is who."""

import difflib
import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from stacks.model import PROJECT, Model, validate

PATH = f"{PROJECT}:machines"

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_HOST_KEY = re.compile(r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}")
_TAINT = re.compile(r"[^=:\s]+(=[^=:\s]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")

# Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_KEY = re.compile(rf"((?P<prefix>{_DOMAIN})/)?{_WORD}")
_LABEL_VALUE = re.compile(rf"({_WORD})?")
LONGEST_PREFIX = 253

# What a kubelet may say of itself below these domains; with any other it does not start.
# Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kubelet/ (--node-labels)
_KUBERNETES = re.compile(r"(.*\.)?(kubernetes|k8s)\.io")
_KUBELETS = re.compile(r"(.*\.)?(kubelet|node)\.kubernetes\.io")
_KUBELETS_OWN = {
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
}

Generation = Annotated[int, Field(strict=True, ge=1)]


class Role(StrEnum):
    """What a machine is in the cluster: a server has the control plane and a member of etcd, an agent only runs pods."""

    SERVER = "server"
    AGENT = "agent"


class MachineSettings(Model):
    """A machine that exists. `address` is where SSH goes; `node_address` where the other nodes reach it, by default the
    same."""

    role: Role
    address: ipaddress.IPv4Address
    generation: Generation = 1
    node_address: ipaddress.IPv4Address | None = None
    host_key: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Machine:
    """One machine at its present generation. `address` is None where only the cloud knows it; `pool` is None for a machine
    that exists."""

    role: Role
    address: ipaddress.IPv4Address | None = None
    generation: int = 1
    node_address: ipaddress.IPv4Address | None = None
    host_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[str, ...] = ()
    pool: str | None = None

    @property
    def cluster_address(self) -> str:
        """Where the other nodes reach it. Raises ValueError where only the cloud knows."""
        address = self.node_address or self.address
        if address is None:
            raise ValueError("the machine's addresses are the cloud's to give")
        return str(address)


def existing(value: object, problems: list[str]) -> dict[str, Machine]:
    """The section `machines`; adds every problem to `problems`, and then gives what is of no use."""
    if not isinstance(value, Mapping) or not value:
        problems.append(
            f"{PATH}: must name at least one server, as `server-a: {{role: server, address: …}}`, or there must "
            f"be {PROJECT}:digitalocean and {PROJECT}:pools"
        )
        return {}
    machines: dict[str, Machine] = {}
    for name, settings in value.items():
        path = f"{PATH}.{name}"
        problems += check_name(name, path)
        machine = validate(MachineSettings, settings, path, problems)
        if machine is None:
            continue
        if machine.host_key is not None and not _HOST_KEY.fullmatch(machine.host_key):
            problems.append(
                f"{path}.hostKey: must be `ssh-ed25519 AAAA…` without a comment, as in the machine's "
                "/etc/ssh/ssh_host_ed25519_key.pub"
            )
        problems += check_labels(machine.labels, path)
        problems += check_taints(machine.taints, path)
        machines[str(name)] = Machine(
            role=machine.role,
            address=machine.address,
            generation=machine.generation,
            node_address=machine.node_address,
            host_key=machine.host_key,
            labels=machine.labels,
            taints=machine.taints,
        )
    problems += _check_addresses(machines)
    return machines


def check_name(name: object, path: str) -> Iterator[str]:
    """What is wrong with a machine's name, which with its generation is a hostname and a node's name."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield (
            f"{path}: a machine's name has at most 40 lower-case letters, digits and inner hyphens, and begins with a letter"
        )
    elif re.search(r"-\d+$", name):
        yield (
            f"{path}: a name must not end in -<number>, because a generation follows it; write "
            f"`{''.join(name.rsplit('-', 1))}`"
        )


def check_labels(labels: Mapping[str, str], path: str) -> Iterator[str]:
    """What is wrong with the labels that nodes register with."""
    for key, value in labels.items():
        match = _LABEL_KEY.fullmatch(key)
        prefix = match["prefix"] if match else None
        if match is None or len(prefix or "") > LONGEST_PREFIX:
            yield (
                f"{path}.labels: {key!r} is not a label's key such as disk or example.org/disk: at most 63 letters, digits, "
                "and inner hyphens, underscores and full stops, behind a domain and a slash if there are any"
            )
        elif prefix and _KUBERNETES.fullmatch(prefix) and key not in _KUBELETS_OWN and not _KUBELETS.fullmatch(prefix):
            yield (
                f"{path}.labels: {key} is Kubernetes' own, and a kubelet that claims it does not start; take a domain of yours, "
                f"or set it later: `kubectl label node … {key}={value}`"
            )
        if not _LABEL_VALUE.fullmatch(value):
            yield (
                f"{path}.labels.{key}: {value!r} is not a label's value: at most 63 letters, digits, and inner hyphens, "
                "underscores and full stops"
            )


def check_taints(taints: tuple[str, ...], path: str) -> Iterator[str]:
    """What is wrong with the taints that nodes register with."""
    for taint in taints:
        if not _TAINT.fullmatch(taint):
            yield f"{path}.taints: {taint!r} is not KEY=VALUE:NoSchedule, :PreferNoSchedule or :NoExecute"


def check_servers(machines: Mapping[str, Machine], retire: Collection[str], path: str) -> Iterator[str]:
    """What is wrong with their number.

    An even one is right for a while: etcd takes no new member beside a dead one, which therefore leaves first.
    """
    servers = [name for name, machine in machines.items() if machine.role is Role.SERVER]
    gone = [full_name for full_name in retire if full_name.rpartition("-")[0] not in machines]
    if machines and not servers:
        yield f"{path}: no machine has the role server; a cluster needs one, or three"
    elif servers and len(servers) % 2 == 0 and not gone:
        yield (
            f"{path}: {len(servers)} servers ({', '.join(sorted(servers))}); etcd survives no more losses with them than "
            f"with {len(servers) - 1}, so make their number odd. While a dead one leaves, it is on {PROJECT}:retire"
        )


def check_init(init: str, machines: Mapping[str, Machine], retire: Collection[str]) -> Iterator[str]:
    """What is wrong with the full name of the server that makes the cluster.

    It keeps its name there when it is gone: for good, or dead, until it comes back as its next generation.
    """
    path = f"{PROJECT}:cluster.init"
    servers = {name: machine for name, machine in machines.items() if machine.role is Role.SERVER}
    name, _, generation = init.rpartition("-")
    full_names = {f"{name}-{machine.generation}" for name, machine in servers.items()}
    if not servers or (name not in machines and any(gone.rpartition("-")[0] == name for gone in retire)):
        return
    if name not in servers or not generation.isdecimal():
        near = difflib.get_close_matches(init, sorted(full_names), n=1, cutoff=0.0)
        leaves = (
            f" Where {init} is the one that made the cluster and leaves, put it on {PROJECT}:retire"
            if name not in machines
            else ""
        )
        yield f"{path}: {init!r} is not a server with its generation; did you mean {near[0]!r}?{leaves}"
    elif not 1 <= int(generation) <= servers[name].generation:
        yield f"{path}: {name} is at generation {servers[name].generation}, so it cannot be {init}"


def check_joined(init: str, endpoint: str | None, machines: Mapping[str, Machine]) -> Iterator[str]:
    """What is wrong where the only server joins a cluster, and nothing says where that answers."""
    servers = [f"{name}-{machine.generation}" for name, machine in machines.items() if machine.role is Role.SERVER]
    if len(servers) == 1 and servers != [init] and endpoint is None:
        yield (
            f"{PROJECT}:cluster.endpoint: missing; {servers[0]} is the only server and joins the cluster that {init} made, and "
            f"nothing says where that answers. Set it to that server's address, or have three servers before you replace this one. "
            f"Only where that cluster is lost: set {PROJECT}:cluster.init to {servers[0]}"
        )


def retire(value: object, problems: list[str]) -> tuple[str, ...]:
    """The section `retire`: full names of machines that may leave the stack; adds every problem to `problems`.

    A machine that is still in the stack may be named: it stays until it is taken out or has its next generation. So may a later
    generation: it is given up, as it never joined. The preview points out a name for which nothing is removed.
    """
    path = f"{PROJECT}:retire"
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        problems.append(f"{path}: must be a list of machines with their generations, such as [agent-a-1]")
        return ()
    problems += [f"{path}: {name} is there twice" for name in sorted({n for n in value if value.count(n) > 1})]
    for full_name in value:
        name, _, generation = full_name.rpartition("-")
        if not _NAME.fullmatch(name) or not generation.isdecimal() or generation.startswith("0"):
            problems.append(f"{path}: {full_name!r} is not a machine with its generation, such as agent-a-1")
    return tuple(value)


def check_inside(network: ipaddress.IPv4Network, machines: Mapping[str, Machine]) -> Iterator[str]:
    """Machines that exist whose node address is not one of the network's."""
    for name, machine in machines.items():
        address = machine.node_address or machine.address
        what = "nodeAddress" if machine.node_address else "address"
        if address is None:
            continue
        if address not in network:
            yield f"{PATH}.{name}.{what}: {address} is outside {PROJECT}:network.machines {network}"
        elif network.prefixlen < 31 and address in (network.network_address, network.broadcast_address):
            yield f"{PATH}.{name}.{what}: {address} is the network's own, not a machine's"


def _check_addresses(machines: Mapping[str, Machine]) -> Iterator[str]:
    for what, address_of in (
        ("address", lambda machine: str(machine.address)),
        ("nodeAddress", lambda machine: machine.cluster_address),
    ):
        owners: dict[str, str] = {}
        for name, machine in machines.items():
            first = owners.setdefault(address_of(machine), name)
            # Without a nodeAddress of their own the pair has been named already.
            if first != name and (what == "address" or machine.node_address or machines[first].node_address):
                yield f"{PATH}.{name}.{what}: {address_of(machine)} is {first}'s already"
