"""A stack's settings: what `Pulumi.<stack>.yaml` may say, checked whole before anything is registered.

`parse` reports every problem at once, each with the path of the setting and what to do. It does not look at machines.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from components.versions import K3S_RELEASE_URL, K3S_RELEASES
from stacks import digitalocean_settings, machine_settings, seed_settings
from stacks.digitalocean_settings import DigitalOcean
from stacks.files import SettingsError as SettingsError
from stacks.machine_settings import Machine, Role
from stacks.model import PROJECT, Model, unknown, validate
from stacks.seed_settings import Seed, SeedSettings

__all__ = ["Cluster", "K3s", "Machine", "Network", "Role", "Settings", "SettingsError", "Ssh", "Timeouts", "parse"]

_VERSION = re.compile(r"v\d+\.\d+\.\d+\+k3s\d+")
_SHA256 = re.compile(r"[0-9a-f]{64}")

NODE_PODS = 24
"""The prefix length of each node's part of the pods' network.
Source: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/ (--node-cidr-mask-size-ipv4)
"""
# Source: https://github.com/kubernetes/kubernetes/blob/v1.34.2/cmd/kube-apiserver/app/options/validation.go (maxCIDRBits)
WIDEST_SERVICES = 12
# Where a cloud's metadata service is, and a machine itself.
_NOT_ROUTED = tuple(ipaddress.IPv4Network(n) for n in ("169.254.0.0/16", "127.0.0.0/8", "224.0.0.0/3"))


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
    Synced, for them to be Healthy after that, which is reported and not required, and for the pods of a machine that
    leaves to go elsewhere."""

    connect: Annotated[int, Field(strict=True, ge=20, le=3600)] = 300
    step: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    sync: Annotated[int, Field(strict=True, ge=30, le=3600)] = 600
    health: Annotated[int, Field(strict=True, ge=0, le=3600)] = 120
    drain: Annotated[int, Field(strict=True, ge=10, le=86400)] = 600


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
    digitalocean: DigitalOcean | None = None
    """None: the machines exist."""
    retire: tuple[str, ...] = ()
    """Full names of the machines that may leave."""

    def full_name(self, name: str) -> str:
        """The machine's name with its generation: its hostname, node name and the name of its resources."""
        return f"{name}-{self.machines[name].generation}"

    def names(self, role: Role) -> list[str]:
        """The machines of a role in the order in which they join; the server that initialises is first."""
        names = sorted(name for name, machine in self.machines.items() if machine.role is role)
        return sorted(names, key=lambda name: self.full_name(name) != self.cluster.init)

    @property
    def api_url(self) -> str | None:
        """Where the API is reached from outside; None where only the cloud knows its load balancer's address."""
        if self.digitalocean is not None:
            return None
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
_OTHER_KEYS = {"machines", "digitalocean", "pools", "identity", "identityFile", "retire"}

_PROVIDER = "digitalocean:"
# What the cloud's own provider may be told in the stack's file: who asks, and how often. Not where it asks: the engine leaves
# a provider that the program does not make itself out of a preview, so a review could not show it.
# Source: pulumi_digitalocean, config/vars.py
_PROVIDER_KEYS = {
    "token",
    "spacesAccessId",
    "spacesSecretKey",
    "httpRetryMax",
    "httpRetryWaitMin",
    "httpRetryWaitMax",
    "requestsPerSecond",
}
_PROVIDER_ENDPOINTS = {"apiEndpoint": "DIGITALOCEAN_API_URL", "spacesEndpoint": "SPACES_ENDPOINT_URL"}


def parse(
    config: Mapping[str, Any],
    source: str,
    root: Path,
    *,
    others: Iterable[str] = (),
    lab_is_made: bool = True,
    stack: str | None = None,
) -> Settings:
    """Turn a stack's configuration, its keys without the project's prefix, into settings.

    `others` are the keys of the same configuration that are not the project's; `source` names it in errors; relative files are below `root`; `stack` is the stack's name, from which names at a cloud
    are made: without it their lengths are not looked at. With `lab_is_made=False` the digest that the lab writes
    beside its identity is not asked for: the lab's hosts follow from the settings, and boot before k3s is built.
    Raises `SettingsError` with every problem.
    """
    problems: list[str] = []
    known = _SECTIONS.keys() | _OTHER_KEYS
    problems += [f"{PROJECT}:{key}: {unknown(key, known)}" for key in sorted(config.keys() - known)]
    problems += _check_provider(others)
    sections: dict[str, Any] = {}
    for key, model in _SECTIONS.items():
        if key == "seed" and key not in config:
            sections[key] = None
        elif key not in config and key not in _DEFAULT_SECTIONS:
            problems.append(f"{PROJECT}:{key}: missing; see Pulumi.dev.yaml for what it holds")
        else:
            sections[key] = validate(model, config.get(key, {}), f"{PROJECT}:{key}", problems)
    cluster, network, k3s = sections.get("cluster"), sections.get("network"), sections.get("k3s")
    cloud: DigitalOcean | None = None
    made = "digitalocean" in config or "pools" in config
    if made:
        problems += _check_cloud(config, cluster, sections.get("ssh"))
        cloud, machines = digitalocean_settings.resolve(
            config.get("digitalocean"), config.get("pools"), network and network.machines, stack, problems
        )
    else:
        machines = machine_settings.existing(config.get("machines"), problems)
    retire = machine_settings.retire(config.get("retire"), problems)
    problems += machine_settings.check_servers(
        machines, retire, f"{PROJECT}:{'machines' if cloud is None else 'pools'}"
    )
    if network is not None:
        problems += _check_networks(network, len(machines))
        problems += machine_settings.check_inside(network.machines, machines)
    if cluster is not None:
        wrong = list(machine_settings.check_init(cluster.init, machines, retire))
        if not wrong and not made:
            wrong += machine_settings.check_joined(cluster.init, cluster.endpoint, machines)
        problems += wrong
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
        digitalocean=cloud,
        retire=retire,
    )


def split(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A stack's whole configuration as `parse` takes it: what is the project's, without its prefix, and the keys of the rest."""
    prefix = f"{PROJECT}:"
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    return own, [key for key in config if not key.startswith(prefix)]


def _check_provider(keys: Iterable[str]) -> Iterator[str]:
    for key in sorted(key for key in keys if key.startswith(_PROVIDER)):
        name = key.removeprefix(_PROVIDER)
        if name in _PROVIDER_ENDPOINTS:
            yield (
                f"{key}: an endpoint in this file would get the credentials, and no review would show it; take it out, and "
                f"export {_PROVIDER_ENDPOINTS[name]} if it is meant"
            )
        elif name not in _PROVIDER_KEYS:
            yield f"{key}: {unknown(name, _PROVIDER_KEYS)}"


def _check_cloud(config: Mapping[str, Any], cluster: Cluster | None, ssh: Ssh | None) -> Iterator[str]:
    """What of the other sections does not go with machines that a cloud makes."""
    if "digitalocean" not in config:
        yield f"{PROJECT}:digitalocean: missing; {PROJECT}:pools are machines that it makes"
    if "machines" in config:
        yield f"{PROJECT}:machines: there is also {PROJECT}:digitalocean or :pools; keep machines that exist, or the other two"
    if cluster is not None and cluster.endpoint is not None:
        yield (
            f"{PROJECT}:cluster.endpoint: is the load balancer's address, which the cloud gives; take it out (names go into "
            f"{PROJECT}:digitalocean.dns or {PROJECT}:cluster.tlsSans)"
        )
    # What a droplet is born with.
    if ssh is not None and (ssh.user, ssh.port) != ("root", 22):
        yield f"{PROJECT}:ssh: a droplet lets in root at port 22; take it out"


def _check_networks(network: Network, machines: int) -> Iterator[str]:
    ranges = {"machines": network.machines, "pods": network.pods, "services": network.services}
    for i, (first, one) in enumerate(ranges.items()):
        for second, other in list(ranges.items())[i + 1 :]:
            if one.overlaps(other):
                yield f"{PROJECT}:network.{second}: {other} overlaps {first} {one}"
    for name in ("pods", "services"):
        if clash := next((other for other in _NOT_ROUTED if ranges[name].overlaps(other)), None):
            yield f"{PROJECT}:network.{name}: {ranges[name]} overlaps {clash}, which is not routed; take a private network"
    if network.services.num_addresses < 32:
        yield f"{PROJECT}:network.services: {network.services} is too small; take a /27 at least"
    elif network.services.prefixlen < WIDEST_SERVICES:
        yield f"{PROJECT}:network.services: {network.services} is larger than the API server takes; a /{WIDEST_SERVICES} at most"
    # A machine that is replaced is there beside its successor.
    nodes = 1 << NODE_PODS - network.pods.prefixlen if network.pods.prefixlen <= NODE_PODS else 0
    if nodes < machines + 1:
        yield (
            f"{PROJECT}:network.pods: {network.pods} is enough for {nodes} nodes, each with a /{NODE_PODS}, and there are {machines} "
            f"machines and one that is being replaced; take a /{NODE_PODS - machines.bit_length()} or larger"
        )


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
