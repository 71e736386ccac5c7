"""The section `digitalocean` of a stack's settings, and what of the others a stack at DigitalOcean must keep to."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Annotated

from pydantic import Field

from components.metal.digitalocean.catalogue import DATE, REGIONS
from components.metal.digitalocean.cost import Order
from stacks import pool_settings
from stacks.machine_settings import Machine
from stacks.model import PROJECT, Model, nearest, validate
from stacks.pool_settings import DropletSettings, Pool

PATH = f"{PROJECT}:digitalocean"

# Ranges that no VPC may overlap, and one more in nyc1.
# Source: https://docs.digitalocean.com/products/networking/vpc/how-to/create/; 10.229.0.0/16 since the release notes of
# 7 March 2025
RESERVED = tuple(IPv4Network(n) for n in ("10.244.0.0/16", "10.245.0.0/16", "10.246.0.0/24", "10.229.0.0/16"))
RESERVED_IN = {"nyc1": (IPv4Network("10.10.0.0/16"),)}
# Source: https://docs.digitalocean.com/reference/terraform/reference/resources/vpc/ and RFC 1918
PRIVATE = tuple(IPv4Network(n) for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
LARGEST_VPC, SMALLEST_VPC = 16, 28
# The network's own, the gateway's and the broadcast address.
NOT_FOR_MACHINES = 3

SUFFIXES = ("server", "balancer")
"""Behind the names of a stack's tag and firewall: those of `components.metal.digitalocean.network`."""

WIDEST_OPERATORS = 8
"""A prefix shorter than this is the world by another name."""

# Source: https://docs.digitalocean.com/products/networking/load-balancers/how-to/scale/
MOST_BALANCER_NODES = 200
# Source: https://docs.digitalocean.com/reference/pydo/reference/volumes/ and …/volume_actions/post_by_id/
LARGEST_VOLUME_GIB = 16384
MOST_VOLUMES_OF_A_DROPLET = 15
LONGEST_NAME = 64
# Source: https://kubernetes.io/docs/reference/networking/ports-and-protocols/
FIRST_NODE_PORT, LAST_NODE_PORT = 30000, 32767

# As a volume's name, which with the stack's before it has lower-case letters, digits and hyphens.
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_STACK = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL = r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?"
_ZONE = re.compile(rf"({_LABEL}\.)+[a-z]([-a-z0-9]{{0,61}}[a-z0-9])")
_RECORD = re.compile(rf"(\*|{_LABEL})(\.{_LABEL})*")
# Source: https://docs.digitalocean.com/products/spaces/how-to/create/
_BUCKET = re.compile(r"[a-z0-9][-a-z0-9]{1,61}[a-z0-9]")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?")
_MOUNT = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_NOT_A_MOUNT = re.compile(
    r"/(home|tmp|var|var/lib|var/log)|/(bin|boot|dev|etc|lib|lib64|proc|root|run|sbin|sys|usr)(/.*)?"
)
# Docker is at work when a volume comes: `components.pave.node`. What k3s has there is a machine's own, and dies with it.
_TAKEN = (
    (re.compile(r"/var/lib/(docker|containerd)(/.*)?"), "Docker's, which runs before a volume comes to its machine"),
    (
        re.compile(r"/var/lib/(rancher(/k3s(?!/storage(/|$))(/.*)?)?|kubelet(/.*)?|seedbed(/.*)?)"),
        "k3s' or the paving's own, and another machine's would be found in it",
    ),
)
_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_CRON_RANGE = re.compile(r"(\*|(?P<first>\d{1,2})(-(?P<last>\d{1,2}))?)(/(?P<step>\d{1,2}))?")

_NodePort = Annotated[int, Field(strict=True, ge=FIRST_NODE_PORT, le=LAST_NODE_PORT)]
_Positive = Annotated[int, Field(strict=True, ge=1)]


class Dns(Model):
    """Names of a zone that the account has already: A records that lead to the load balancer, `k8s` for k8s.example.org."""

    zone: str
    names: tuple[str, ...]


class LoadBalancer(Model):
    """`size` is in nodes; the others are the ports of the cluster's nodes at which the web arrives."""

    size: Annotated[int, Field(strict=True, ge=1, le=MOST_BALANCER_NODES)] = 1
    http_node_port: _NodePort = 30080
    https_node_port: _NodePort = 30443


class SnapshotSettings(Model):
    """etcd's snapshots: in which bucket, when, how many of each server (`keep`) and for how long at most."""

    bucket: str
    cron: str = "0 */6 * * *"
    keep: _Positive = 28
    keep_days: _Positive = 30
    endpoint: str | None = None


class Volume(Model):
    """A disk that outlives machines, in GiB; where it is mounted and on which machine."""

    size: Annotated[int, Field(strict=True, ge=1, le=LARGEST_VOLUME_GIB)]
    machine: str
    mount: str
    region: str | None = None


class ReservedAddress(Model):
    """A public address that outlives machines, and the machine that it leads to."""

    machine: str


class DigitalOceanSettings(Model):
    """The section as it stands in the file."""

    region: str
    image: str
    operators: dict[str, str]
    dns: Dns | None = None
    load_balancer: LoadBalancer = LoadBalancer()
    snapshots: SnapshotSettings | None = None
    volumes: dict[str, Volume] = Field(default_factory=dict)
    reserved_addresses: dict[str, ReservedAddress] = Field(default_factory=dict)


@dataclass(frozen=True)
class Snapshots:
    """The checked settings of etcd's snapshots; `endpoint` is the URL at which k3s finds the region's Spaces."""

    bucket: str
    cron: str
    keep: int
    keep_days: int
    endpoint: str


@dataclass(frozen=True)
class DigitalOcean:
    """The sections `digitalocean` and `pools`, checked. `operators` are the networks that may log in."""

    region: str
    image: str
    operators: Mapping[str, IPv4Network]
    dns: Dns | None
    load_balancer: LoadBalancer
    snapshots: Snapshots | None
    volumes: Mapping[str, Volume]
    reserved_addresses: Mapping[str, ReservedAddress]
    pools: Mapping[str, Pool]

    def droplet(self, name: str) -> DropletSettings:
        """What the machine of this name is made with."""
        return next(pool.droplet for pool in self.pools.values() if name in pool.machines)

    @property
    def api_names(self) -> list[str]:
        """The names in DNS by which the API is reached. A certificate of k3s cannot have a wildcard, which is for the web anyway."""
        return [f"{name}.{self.dns.zone}" for name in self.dns.names if "*" not in name] if self.dns else []

    @property
    def order(self) -> Order:
        """What of it is paid for."""
        droplets = {name: pool.droplet for pool in self.pools.values() for name in pool.machines}
        return Order(
            sizes={name: droplet.size for name, droplet in droplets.items()},
            backups=frozenset(name for name, droplet in droplets.items() if droplet.backups),
            balancer_nodes=self.load_balancer.size,
            volume_gib=sum(volume.size for volume in self.volumes.values()),
            reserved_addresses=len(self.reserved_addresses),
            bucket=self.snapshots is not None,
        )


def resolve(
    value: object, pools: object, network: IPv4Network | None, stack: str | None, problems: list[str]
) -> tuple[DigitalOcean | None, dict[str, Machine]]:
    """The two sections, and the machines that they make; adds every problem to `problems`.

    `value` is None where the section is missing, which is said elsewhere. `network` is that of the machines, which the VPC
    takes; None where it cannot be read. Without the stack's name the lengths of names are not looked at.
    """
    settings = None if value is None else validate(DigitalOceanSettings, value, PATH, problems)
    region, image = (settings.region, settings.image) if settings else (None, None)
    found, machines = pool_settings.resolve(pools, region=region, image=image, problems=problems)
    if network is not None:
        nodes = settings.load_balancer.size if settings else 1
        problems += _check_vpc(network, region, len(machines) + nodes)
    if settings is None:
        return None, machines
    if region not in REGIONS:
        problems.append(
            f"{PATH}.region: {region!r} is no region of the table of {DATE}; {nearest(region or '', REGIONS)}"
        )
    problems += pool_settings.check_image(settings.image, f"{PATH}.image")
    operators = _operators(settings.operators, problems)
    problems += _check_dns(settings.dns)
    if settings.load_balancer.http_node_port == settings.load_balancer.https_node_port:
        problems.append(
            f"{PATH}.loadBalancer.httpsNodePort: {settings.load_balancer.https_node_port} is HTTP's already"
        )
    problems += _check_snapshots(settings.snapshots, settings.region, stack)
    problems += _check_volumes(settings, machines, stack)
    problems += _check_reserved(settings, machines)
    if stack is not None and (other := re.fullmatch(rf"(.+)-({'|'.join(SUFFIXES)})", stack)):
        problems.append(
            f"{PATH}: the stack's name {stack!r} gives it the tag or the firewall {PROJECT}-{stack} of a stack {other[1]!r}, so the one's "
            "rules would be the other's; name it otherwise"
        )
    if stack is not None and not _STACK.fullmatch(stack):
        problems.append(
            f"{PATH}: the stack's name {stack!r} is part of names at DigitalOcean, which have lower-case letters, digits and "
            "inner hyphens only; name it otherwise"
        )
    return DigitalOcean(
        region=settings.region,
        image=settings.image,
        operators=operators,
        dns=settings.dns,
        load_balancer=settings.load_balancer,
        snapshots=_snapshots(settings.snapshots, settings.region),
        volumes=settings.volumes,
        reserved_addresses=settings.reserved_addresses,
        pools=found,
    ), machines


def _check_vpc(network: IPv4Network, region: str | None, needed: int) -> Iterator[str]:
    path = f"{PROJECT}:network.machines"
    if not any(network.subnet_of(private) for private in PRIVATE):
        yield f"{path}: {network} is not private; a VPC is inside {', '.join(map(str, PRIVATE))}"
    elif not LARGEST_VPC <= network.prefixlen <= SMALLEST_VPC:
        yield f"{path}: {network} cannot be a VPC's; take a prefix length from /{LARGEST_VPC} to /{SMALLEST_VPC}"
    # A machine that is replaced is there beside its successor.
    elif network.num_addresses - NOT_FOR_MACHINES < needed + 1:
        yield (
            f"{path}: {network} has {network.num_addresses - NOT_FOR_MACHINES} addresses for {needed} machines and nodes of "
            "the load balancer and one that is being replaced; take a shorter prefix length"
        )
    for reserved in (*RESERVED, *RESERVED_IN.get(region or "", ())):
        if network.overlaps(reserved):
            yield f"{path}: {network} overlaps {reserved}, which DigitalOcean keeps for itself"


def _operators(operators: Mapping[str, str], problems: list[str]) -> dict[str, IPv4Network]:
    path = f"{PATH}.operators"
    if not operators:
        problems.append(
            f"{path}: names no network that may log in by SSH, and paving does; as `office: 203.0.113.0/24`"
        )
    networks = {}
    for name, text in operators.items():
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            problems.append(f"{path}.{name}: {text!r} is not a network such as 203.0.113.0/24")
            continue
        if network.version != 4:
            problems.append(f"{path}.{name}: {text} is of IPv6, which SSH is not reached by; give the IPv4 network")
        elif network.prefixlen < WIDEST_OPERATORS:
            problems.append(f"{path}.{name}: {text} opens SSH to the world; name the networks that operators come from")
        elif str(network) != text and str(network) != f"{text}/32":
            problems.append(
                f"{path}.{name}: {text} is an address inside {network}; write {network}, or the address alone"
            )
        else:
            networks[name] = IPv4Network(network)
    for wide in ipaddress.collapse_addresses(networks.values()):
        if wide.prefixlen < WIDEST_OPERATORS:
            parts = ", ".join(name for name, network in networks.items() if network.subnet_of(wide))
            problems.append(f"{path}: {parts} together are {wide}, which opens SSH to the world; name fewer networks")
    return networks


def _check_dns(dns: Dns | None) -> Iterator[str]:
    if dns is None:
        return
    path = f"{PATH}.dns"
    if not _ZONE.fullmatch(dns.zone):
        yield f"{path}.zone: {dns.zone!r} is not the name of a zone such as example.org; wildcards go into names"
    if not dns.names:
        yield f"{path}.names: is empty; name a record, such as k8s, or take dns out"
    for i, name in enumerate(dns.names):
        if name == dns.zone or name.endswith(f".{dns.zone}"):
            yield f"{path}.names: {name!r} is inside {dns.zone} twice; write it without `.{dns.zone}`"
        elif not _RECORD.fullmatch(name):
            yield f"{path}.names: {name!r} is not a name inside the zone such as k8s or *.apps"
        elif name in dns.names[:i]:
            yield f"{path}.names: {name} is there twice"


def _check_snapshots(snapshots: SnapshotSettings | None, region: str, stack: str | None) -> Iterator[str]:
    if snapshots is None:
        return
    path = f"{PATH}.snapshots"
    if not _BUCKET.fullmatch(snapshots.bucket):
        yield (
            f"{path}.bucket: {snapshots.bucket!r} is not a bucket's name: 3 to 63 lower-case letters, digits and inner "
            "hyphens"
        )
    if snapshots.bucket == f"{PROJECT}-{stack}-state":
        yield f"{path}.bucket: {snapshots.bucket} is the name of the state's own bucket; take another one, such as {PROJECT}-{stack}-etcd"
    if snapshots.endpoint is not None and not _ENDPOINT.fullmatch(snapshots.endpoint):
        yield f"{path}.endpoint: {snapshots.endpoint!r} is not a URL such as https://fra1.digitaloceanspaces.com"
    # The bucket is made there, and k3s gets a key of the account's, whatever the endpoint is called.
    if region in REGIONS and not REGIONS[region].spaces:
        there = ", ".join(slug for slug, other in REGIONS.items() if other.spaces)
        yield f"{path}: {region} has no Spaces; take a region that has ({there}), or leave snapshots out"
    yield from _check_cron(snapshots.cron, f"{path}.cron")


def _snapshots(snapshots: SnapshotSettings | None, region: str) -> Snapshots | None:
    if snapshots is None:
        return None
    return Snapshots(
        bucket=snapshots.bucket,
        cron=snapshots.cron,
        keep=snapshots.keep,
        keep_days=snapshots.keep_days,
        endpoint=snapshots.endpoint or f"https://{region}.digitaloceanspaces.com",
    )


def _check_cron(cron: str, path: str) -> Iterator[str]:
    fields = cron.split()
    if len(fields) != len(_CRON_FIELDS):
        yield f"{path}: {cron!r} is not the five fields minute, hour, day of month, month and day of week"
        return
    for text, (what, least, most) in zip(fields, _CRON_FIELDS, strict=True):
        for part in text.split(","):
            match = _CRON_RANGE.fullmatch(part)
            first, last, step = (int(match[g]) if match and match[g] else None for g in ("first", "last", "step"))
            numbers = [n for n in (first, last) if n is not None]
            if match is None or step == 0 or not all(least <= n <= most for n in numbers) or numbers != sorted(numbers):
                yield f"{path}: {part!r} is not a {what} from {least} to {most}, a range or a step of them"


def _check_volumes(settings: DigitalOceanSettings, machines: Mapping[str, Machine], stack: str | None) -> Iterator[str]:
    mounts: dict[tuple[str, str], str] = {}
    for name, volume in settings.volumes.items():
        path = f"{PATH}.volumes.{name}"
        full_name = f"{PROJECT}-{stack}-{name}"
        if not _NAME.fullmatch(name):
            yield f"{path}: a volume's name has lower-case letters, digits and inner hyphens, and begins with a letter"
        elif stack is not None and len(full_name) > LONGEST_NAME:
            yield f"{path}: {full_name} has {len(full_name)} characters, of at most {LONGEST_NAME}; shorten the name"
        yield from _check_machine(volume.machine, machines, f"{path}.machine")
        if volume.region not in (None, settings.region):
            yield (
                f"{path}.region: {volume.region} is not {settings.region}, where the machines are; a volume can be attached "
                "in its own region only"
            )
        if not _MOUNT.fullmatch(volume.mount) or _NOT_A_MOUNT.fullmatch(volume.mount):
            yield f"{path}.mount: {volume.mount!r} is not a folder of its own such as /var/lib/longhorn"
        elif whose := next((whose for taken, whose in _TAKEN if taken.fullmatch(volume.mount)), None):
            yield f"{path}.mount: {volume.mount} is {whose}; take a folder of its own such as /var/lib/longhorn"
        first = mounts.setdefault((volume.machine, volume.mount), name)
        if first != name:
            yield f"{path}.mount: {volume.mount} of {volume.machine} is {first}'s already"
    for (machine, mount), name in mounts.items():
        around = next((place for other, place in mounts if other == machine and mount.startswith(f"{place}/")), None)
        if around is not None:
            yield (
                f"{PATH}.volumes.{name}.mount: {mount} is inside {around}, which is {mounts[machine, around]}'s; take a folder "
                "beside it"
            )
    for machine in {volume.machine for volume in settings.volumes.values()} & machines.keys():
        count = sum(volume.machine == machine for volume in settings.volumes.values())
        if count > MOST_VOLUMES_OF_A_DROPLET:
            yield f"{PATH}.volumes: {machine} has {count} of them; a droplet takes {MOST_VOLUMES_OF_A_DROPLET}"


def _check_reserved(settings: DigitalOceanSettings, machines: Mapping[str, Machine]) -> Iterator[str]:
    """Source: https://docs.digitalocean.com/products/networking/reserved-ips/details/limits/"""
    owners: dict[str, str] = {}
    for name, address in settings.reserved_addresses.items():
        path = f"{PATH}.reservedAddresses.{name}"
        if not _NAME.fullmatch(name):
            yield f"{path}: the name has lower-case letters, digits and inner hyphens, and begins with a letter"
        yield from _check_machine(address.machine, machines, f"{path}.machine")
        first = owners.setdefault(address.machine, name)
        if first != name:
            yield f"{path}.machine: {address.machine} has {first} already, and a droplet takes one reserved address"


def _check_machine(name: str, machines: Mapping[str, Machine], path: str) -> Iterator[str]:
    if machines and name not in machines:
        yield f"{path}: no machine is called {name!r}; {nearest(name, machines)}"
