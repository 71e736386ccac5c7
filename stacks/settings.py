"""A stack's settings: what `Pulumi.<stack>.yaml` may say, checked whole before anything is registered.

`parse` reports every problem at once, each with the path of the setting and what to do. It does not look at machines.
"""

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError

from components.versions import K3S_RELEASE_URL, K3S_RELEASES
from stacks import seed_settings
from stacks.model import PROJECT, Model
from stacks.seed_settings import Seed, SeedSettings

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_HOST_KEY = re.compile(r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}")
_VERSION = re.compile(r"v\d+\.\d+\.\d+\+k3s\d+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAINT = re.compile(r"[^=:\s]+(=[^=:\s]*)?:(NoSchedule|PreferNoSchedule|NoExecute)")


class SettingsError(Exception):
    """The settings cannot be used; the message has a line for every problem."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source} cannot be used, {count}:", *(f"  {p}" for p in problems)]))


class Role(StrEnum):
    """What a machine is in the cluster: a server has the control plane and a member of etcd, an agent only runs pods."""

    SERVER = "server"
    AGENT = "agent"


class Cluster(Model):
    """`init` is the full name of the server that makes the cluster, once; `endpoint` the name or address that the API is
    reached by when it is not a server's own, such as a load balancer's."""

    init: str
    endpoint: str | None = None
    tls_sans: tuple[str, ...] = ()


class Network(Model):
    """The machines' own network and the two that k3s makes; none may overlap another."""

    machines: ipaddress.IPv4Network
    pods: ipaddress.IPv4Network = ipaddress.IPv4Network("10.42.0.0/16")
    services: ipaddress.IPv4Network = ipaddress.IPv4Network("10.43.0.0/16")


class Machine(Model):
    """`address` is where SSH goes; `node_address` where the other nodes reach it, by default the same."""

    role: Role
    address: ipaddress.IPv4Address
    generation: Annotated[int, Field(strict=True, ge=1)] = 1
    node_address: ipaddress.IPv4Address | None = None
    host_key: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()

    @property
    def cluster_address(self) -> str:
        """Where the other nodes reach it."""
        return str(self.node_address or self.address)


class K3s(Model):
    """Which k3s: a version of `components/versions.py`, or any with its own digest."""

    version: str
    sha256: dict[str, str] = Field(default_factory=dict)
    sha256_file: Path | None = None
    release_url: str = K3S_RELEASE_URL
    disable: tuple[str, ...] = ()
    kubelet_args: tuple[str, ...] = ()


class Ssh(Model):
    """How the operator logs in to every machine."""

    user: Annotated[str, Field(pattern=r"^[a-z_][-a-z0-9_]*$")] = "root"
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 22


class Timeouts(Model):
    """Seconds: for a machine to answer and finish its first boot, for each further step, for all applications to be
    Synced, and for them to be Healthy after that, which is reported and not required."""

    connect: Annotated[int, Field(strict=True, ge=20, le=3600)] = 300
    step: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    sync: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    health: Annotated[int, Field(strict=True, ge=0, le=3600)] = 120


@dataclass(frozen=True)
class Settings:
    """Everything that a stack is told; machines by their names without generation."""

    cluster: Cluster
    network: Network
    machines: Mapping[str, Machine]
    k3s: K3s
    k3s_digests: Mapping[str, str]
    ssh: Ssh
    timeouts: Timeouts
    seed: Seed | None
    """None: a cluster that nothing is planted in."""
    identity_file: Path | None

    def full_name(self, name: str) -> str:
        """The machine's name with its generation: its hostname, node name and the name of its resources."""
        return f"{name}-{self.machines[name].generation}"

    def names(self, role: Role) -> list[str]:
        """The machines of a role in the order in which they join; the server that initialises is first."""
        names = sorted(name for name, machine in self.machines.items() if machine.role is role)
        return sorted(names, key=lambda name: self.full_name(name) != self.cluster.init)

    @property
    def api_url(self) -> str:
        """Where the API is reached from outside."""
        host = self.cluster.endpoint or self.machines[self.names(Role.SERVER)[0]].address
        return f"https://{host}:6443"


# Top-level key -> its model; the two that have none are single values.
_SECTIONS: dict[str, type[Model]] = {
    "cluster": Cluster,
    "network": Network,
    "k3s": K3s,
    "ssh": Ssh,
    "seed": SeedSettings,
    "timeouts": Timeouts,
}
_DEFAULT_SECTIONS = {"ssh", "timeouts"}
_OTHER_KEYS = {"machines", "identity", "identityFile"}

_M = TypeVar("_M", bound=Model)


def parse(config: Mapping[str, Any], source: str, root: Path, *, lab_is_made: bool = True) -> Settings:
    """Turn a stack's configuration, its keys without the project's prefix, into settings.

    `source` names it in errors; relative files are below `root`. With `lab_is_made=False` the digest that the lab writes
    beside its identity is not asked for: the lab's hosts follow from the settings, and boot before k3s is built.
    Raises `SettingsError` with every problem.
    """
    problems: list[str] = []
    known = _SECTIONS.keys() | _OTHER_KEYS
    problems += [f"{PROJECT}:{key}: {_unknown(key, known)}" for key in sorted(config.keys() - known)]
    sections: dict[str, Any] = {}
    for key, model in _SECTIONS.items():
        if key == "seed" and key not in config:
            sections[key] = None
        elif key not in config and key not in _DEFAULT_SECTIONS:
            problems.append(f"{PROJECT}:{key}: missing; see Pulumi.dev.yaml for what it holds")
        else:
            sections[key] = _validate(model, config.get(key, {}), f"{PROJECT}:{key}", problems)
    machines = _machines(config.get("machines"), problems)
    cluster, network, k3s = sections.get("cluster"), sections.get("network"), sections.get("k3s")
    problems += _check_servers(machines)
    problems += _check_addresses(machines)
    if network is not None:
        problems += _check_networks(network, machines)
    if cluster is not None:
        problems += _check_init(cluster, machines)
    digests: Mapping[str, str] = {}
    if k3s is not None:
        digests = _k3s_digests(k3s, root, problems, lab_is_made=lab_is_made)
    if sections.get("seed") is not None:
        sections["seed"] = seed_settings.resolve(sections["seed"], root, problems, lab_is_made=lab_is_made)
    identity_file = config.get("identityFile")
    if identity_file is not None and not isinstance(identity_file, str):
        problems.append(f"{PROJECT}:identityFile: must be the path of a file")
        identity_file = None
    if identity_file is not None and "identity" in config:
        problems.append(f"{PROJECT}:identityFile: there is also a {PROJECT}:identity; keep one of the two")
    if problems:
        raise SettingsError(source, problems)
    return Settings(
        **sections,
        machines=machines,
        k3s_digests=digests,
        identity_file=None if identity_file is None else root / identity_file,
    )


def _validate(model: type[_M], value: object, path: str, problems: list[str]) -> _M | None:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            where = ".".join([path, *map(str, detail["loc"])])
            if detail["type"] == "extra_forbidden":
                parent, _, key = where.rpartition(".")
                fields = {field.alias or name for name, field in model.model_fields.items()}
                problems.append(f"{parent}.{key}: {_unknown(key, fields)}")
            elif detail["type"] == "missing":
                problems.append(f"{where}: missing")
            elif path == f"{PROJECT}:cluster" and detail["loc"] == ("init",):
                problems.append(f"{where}: must be the full name of exactly one server, such as server-a-1")
            else:
                problems.append(f"{where}: {_plain(detail['msg'])}, not {detail['input']!r}")
        return None


def _plain(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("Value error, ")
    return message[0].lower() + message[1:]


def _unknown(key: str, known: Iterator[str] | set[str]) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(key, choices, n=1, cutoff=0.5)
    return f'unknown key; did you mean "{near[0]}"?' if near else f"unknown key; there are {', '.join(choices)}"


def _machines(value: object, problems: list[str]) -> dict[str, Machine]:
    path = f"{PROJECT}:machines"
    if not isinstance(value, Mapping) or not value:
        problems.append(f"{path}: must name at least one server, as `server-a: {{role: server, address: …}}`")
        return {}
    machines = {}
    for name, settings in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(
                f"{path}.{name}: a machine's name has at most 40 lower-case letters, digits and inner hyphens, and begins "
                "with a letter"
            )
        elif re.search(r"-\d+$", name):
            problems.append(
                f"{path}.{name}: a name must not end in -<number>, because a generation follows it; write "
                f"`{''.join(name.rsplit('-', 1))}`"
            )
        machine = _validate(Machine, settings, f"{path}.{name}", problems)
        if machine is None:
            continue
        if machine.host_key is not None and not _HOST_KEY.fullmatch(machine.host_key):
            problems.append(
                f"{path}.{name}.hostKey: must be `ssh-ed25519 AAAA…` without a comment, as in the machine's "
                "/etc/ssh/ssh_host_ed25519_key.pub"
            )
        problems += [
            f"{path}.{name}.taints: {taint!r} is not KEY=VALUE:NoSchedule, :PreferNoSchedule or :NoExecute"
            for taint in machine.taints
            if not _TAINT.fullmatch(taint)
        ]
        machines[str(name)] = machine
    return machines


def _check_servers(machines: Mapping[str, Machine]) -> Iterator[str]:
    servers = [name for name, machine in machines.items() if machine.role is Role.SERVER]
    if machines and not servers:
        yield f"{PROJECT}:machines: no machine has the role server; a cluster needs one, or three"
    elif servers and len(servers) % 2 == 0:
        yield (
            f"{PROJECT}:machines: {len(servers)} servers ({', '.join(sorted(servers))}); etcd survives no more losses with "
            f"them than with {len(servers) - 1}, so make their number odd"
        )


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
                yield f"{PROJECT}:machines.{name}.{what}: {address_of(machine)} is {first}'s already"


def _check_networks(network: Network, machines: Mapping[str, Machine]) -> Iterator[str]:
    ranges = {"machines": network.machines, "pods": network.pods, "services": network.services}
    for i, (first, one) in enumerate(ranges.items()):
        for second, other in list(ranges.items())[i + 1 :]:
            if one.overlaps(other):
                yield f"{PROJECT}:network.{second}: {other} overlaps {first} {one}"
    if network.services.num_addresses < 32:
        yield f"{PROJECT}:network.services: {network.services} is too small; take a /27 at least"
    inside = network.machines
    for name, machine in machines.items():
        address = ipaddress.IPv4Address(machine.cluster_address)
        what = "nodeAddress" if machine.node_address else "address"
        if address not in inside:
            yield f"{PROJECT}:machines.{name}.{what}: {address} is outside {PROJECT}:network.machines {inside}"
        elif inside.prefixlen < 31 and address in (inside.network_address, inside.broadcast_address):
            yield f"{PROJECT}:machines.{name}.{what}: {address} is the network's own, not a machine's"


def _check_init(cluster: Cluster, machines: Mapping[str, Machine]) -> Iterator[str]:
    path = f"{PROJECT}:cluster.init"
    servers = {name: machine for name, machine in machines.items() if machine.role is Role.SERVER}
    name, _, generation = cluster.init.rpartition("-")
    full_names = {f"{name}-{machine.generation}" for name, machine in servers.items()}
    if not servers:
        return
    if name not in servers or not generation.isdecimal():
        near = difflib.get_close_matches(cluster.init, sorted(full_names), n=1, cutoff=0.0)
        yield f"{path}: {cluster.init!r} is not a server with its generation; did you mean {near[0]!r}?"
    elif not 1 <= int(generation) <= servers[name].generation:
        yield f"{path}: {name} is at generation {servers[name].generation}, so it cannot be {cluster.init}"


def _k3s_digests(k3s: K3s, root: Path, problems: list[str], *, lab_is_made: bool) -> Mapping[str, str]:
    path = f"{PROJECT}:k3s"
    if not _VERSION.fullmatch(k3s.version):
        problems.append(f"{path}.version: {k3s.version!r} is not a k3s version such as {max(K3S_RELEASES)}")
        return {}
    if not k3s.release_url.startswith("https://"):
        problems.append(f"{path}.releaseUrl: must begin with https://")
    if k3s.sha256_file is not None:
        if not lab_is_made:
            return {}
        try:
            digest = (root / k3s.sha256_file).read_text().split()[0]
        except (OSError, IndexError):
            problems.append(
                f"{path}.sha256File: {k3s.sha256_file} cannot be read; the lab makes it: run `seedbed lab up` (or `make up`)"
            )
            return {}
        # What the lab built is for machines of the architecture that it runs on, which is theirs.
        digests: Mapping[str, str] = {"amd64": digest, "arm64": digest}
    else:
        catalogue = K3S_RELEASES.get(k3s.version, {})
        digests = {**catalogue, **k3s.sha256}
        problems += [
            f"{path}.sha256.{arch}: {digest} is not what components/versions.py has for {k3s.version}"
            for arch, digest in sorted(k3s.sha256.items())
            if catalogue.get(arch, digest) != digest
        ]
        if not digests:
            problems.append(
                f"{path}.version: {k3s.version} has no checksum in components/versions.py; add it there or give "
                f"{path}.sha256.amd64"
            )
    for arch, digest in sorted(digests.items()):
        if not _SHA256.fullmatch(digest):
            problems.append(f"{path}.sha256.{arch}: {digest!r} is not a sha256 of 64 hexadecimal digits")
    problems += [
        f"{path}.sha256.{arch}: unknown architecture; there are amd64 and arm64"
        for arch in sorted(digests.keys() - {"amd64", "arm64"})
    ]
    return digests
