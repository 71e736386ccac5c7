"""What the account at DigitalOcean has already of what the stack is still to make: there `up` would stop, half done.

What is in the stack's state is its own, and is not looked for. The lists are read, and nothing else. DigitalOcean's rules, with their
sources at the lab's resources of these names (`lab/cloud/resources`): the range of a VPC overlaps no other one's of the account, in
whatever region; a VPC, load balancer, firewall or project has a name that the account has once, a volume one that its region
has once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any
from urllib.parse import quote

from seedbed.deployment import name_of, type_of
from seedbed.digitalocean import Api
from seedbed.findings import Finding, fail, ok, warn
from stacks.digitalocean_settings import DigitalOcean, Dns
from stacks.model import PROJECT
from stacks.settings import Settings

VPC = "digitalocean:index/vpc:Vpc"
RECORD = "digitalocean:index/dnsRecord:DnsRecord"
BUCKET = "digitalocean:index/spacesBucket:SpacesBucket"

Made = Collection[tuple[str, str]]
"""Types and names of what the state has."""

_WHERE = "DigitalOcean"
_NAME_TAKEN = (
    "It is of another stack of this name, or was left by this one, whose state has nothing of it. Name the stack otherwise, or, when "
    "nobody needs it any more, remove it in the control panel."
)
_BESIDE = {
    "A": "The stack's record would come beside it, and a part of all clients go there.",
    "AAAA": "The stack's record would come beside it, and clients with IPv6 go there.",
    "CNAME": "A name that has this type takes no other record, so `pulumi up` would stop.",
}
"""What a record of the name does, by its type; others are in nobody's way."""


def made(deployed: Iterable[Mapping[str, Any]]) -> Made:
    """Of the state's resources, as `pulumi stack export` has them."""
    return {(type_of(one["urn"]), name_of(one["urn"])) for one in deployed if not one.get("delete")}


def check_network(api: Api, settings: Settings, cloud: DigitalOcean, stack: str, made: Made) -> list[Finding]:
    """Whether the stack's VPC can be made, and deleted again. Raises CloudError."""
    name, network = f"{PROJECT}-{stack}", settings.network.machines
    if (VPC, name) in made:
        return []
    there = api.listed("/v2/vpcs", "vpcs")
    findings = [fail(f"{_WHERE}: there is a VPC {name} already", _NAME_TAKEN) for vpc in there if vpc["name"] == name]
    findings += [
        fail(
            f"{_WHERE}: {PROJECT}:network.machines {network} overlaps {vpc['ip_range']}, the VPC {vpc['name']} in {vpc['region']}",
            f"An account has each address once, whatever the region. Take another {PROJECT}:network.machines.",
        )
        for vpc in there
        if network.overlaps(IPv4Network(vpc["ip_range"], strict=False))
    ]
    if not any(vpc["region"] == cloud.region and vpc["default"] for vpc in there):
        findings.append(
            warn(
                f"{_WHERE}: {cloud.region} has no default VPC: the stack's would become it, and could not be deleted",
                f"Make one by hand first (Networking > VPC), in {cloud.region}, with any range but the stack's.",
            )
        )
    return findings or [ok(f"{_WHERE}: {network} is free, and {cloud.region} has a default VPC")]


def check_names(api: Api, cloud: DigitalOcean, stack: str, made: Made) -> list[Finding]:
    """Whether what has a name that can be taken may have it. Raises CloudError."""
    findings, asked = [], False
    for what, type_, path, key, names in _named(cloud, f"{PROJECT}-{stack}"):
        lacking = [name for name in names if (type_, name) not in made]
        if lacking:
            asked = True
            there = {str(one["name"]) for one in api.listed(path, key)}
            findings += [
                fail(f"{_WHERE}: there is a {what} {name} already", _NAME_TAKEN) for name in lacking if name in there
            ]
    if findings or not asked:
        return findings
    return [ok(f"{_WHERE}: the names of what the stack has still to make are free")]


def _named(cloud: DigitalOcean, name: str) -> Iterator[tuple[str, str, str, str, list[str]]]:
    """What it is, its type in the state, where it is listed under which key, and the names that the stack gives."""
    firewalls = [name, f"{name}-balancer"]
    volumes = [f"{name}-{volume}" for volume in sorted(cloud.volumes)]
    yield (
        "load balancer",
        "digitalocean:index/loadBalancer:LoadBalancer",
        "/v2/load_balancers",
        "load_balancers",
        [name],
    )
    yield "firewall", "digitalocean:index/firewall:Firewall", "/v2/firewalls", "firewalls", firewalls
    yield "project", "digitalocean:index/project:Project", "/v2/projects", "projects", [name]
    yield "volume", "digitalocean:index/volume:Volume", f"/v2/volumes?region={cloud.region}", "volumes", volumes


def check_records(api: Api, dns: Dns, made: Made) -> list[Finding]:
    """Whether the names in the zone, which is there, lead nowhere else. Raises CloudError."""
    lacking = [name for name in dns.names if (RECORD, f"{name}.{dns.zone}") not in made]
    if not lacking:
        return []
    return [
        fail(
            f"{_WHERE}: {record['name']}.{dns.zone} leads to {record['data']} already ({record['type']} record)",
            f"{_BESIDE[record['type']]} Remove it (Networking > Domains), or take the name out of {PROJECT}:digitalocean.dns.names.",
        )
        for record in api.listed(f"/v2/domains/{quote(dns.zone)}/records", "domain_records")
        if record["name"] in lacking and record["type"] in _BESIDE
    ]
