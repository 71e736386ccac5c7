"""Risks of exposure: what firewalls, load balancers and buckets let in that they did not before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from seedbed.review import words
from seedbed.review.data import BUCKET
from seedbed.review.findings import Class, Risk
from seedbed.review.machines import DROPLET
from seedbed.review.steps import CLOUD, UNKNOWN, Change, Resource, State, value

FIREWALL, BALANCER = f"{CLOUD}firewall:Firewall", f"{CLOUD}loadBalancer:LoadBalancer"

RECORD = f"{CLOUD}dnsRecord:DnsRecord"

_MOVES = {"domain", "name", "type", "value"}
"""Inputs of a DNS record."""

WIDE = 8
"""A network with a shorter prefix is the world by another name, as the settings have it (`WIDEST_OPERATORS`)."""

PORTS = range(1, 65536)
ANY = "any"
"""The protocol of a rule that does not say it."""

_SOURCES = {
    "sourceDropletIds": "droplet",
    "sourceKubernetesIds": "Kubernetes cluster",
    "sourceLoadBalancerUids": "load balancer",
    "sourceTags": "machines tagged",
}


@dataclass(frozen=True)
class Opening:
    """What one rule lets in from one source: a network, or something of the cloud's by its kind and name."""

    protocol: str
    ports: range
    source: str
    kind: str = ""

    def covers(self, other: "Opening") -> bool:
        """Whether all that the other lets in is let in by this one."""
        if self.protocol != other.protocol or self.kind != other.kind:
            return False
        if self.ports.start > other.ports.start or self.ports.stop < other.ports.stop:
            return False
        return self.source == other.source or (not self.kind and _within(other.source, self.source))

    @property
    def what(self) -> str:
        """Protocol and ports."""
        if self.protocol == "icmp":
            return "icmp"
        if self.ports == PORTS:
            return "every port" if self.protocol == ANY else f"every {self.protocol} port"
        first, last = self.ports.start, self.ports.stop - 1
        return f"{self.protocol} {first}" if first == last else f"{self.protocol} {first}-{last}"


def risks(resources: Sequence[Resource]) -> Iterator[Risk]:
    """What is opened, and which machines come to be without a firewall."""
    for resource in resources:
        if resource.change is Change.SAME:
            continue
        # What changes beside that has a line of its own.
        others = set(resource.fields) - {"inboundRules", "forwardingRules", "firewall", "network", "acl", *_MOVES}
        about = frozenset() if others else frozenset({resource.urn})
        if resource.type == FIREWALL:
            opened = list(_opened(resource))
            if opened:
                text = f"firewall {words.code(resource.name)} opens {'; '.join(opened)}"
                yield Risk(Class.NETWORK, text, about)
        elif resource.type == BALANCER:
            yield from (Risk(Class.NETWORK, text, about) for text in _balanced(resource))
        elif (
            resource.type == RECORD
            and resource.change in (Change.UPDATE, Change.REPLACE)
            and _MOVES & {*resource.fields}
        ):
            yield Risk(Class.NETWORK, f"DNS name {words.code(resource.name)} leads elsewhere{_where(resource)}", about)
        elif resource.type == BUCKET and resource.new_input("acl") not in (None, "private", resource.old_input("acl")):
            acl = words.code(str(resource.new_input("acl")))
            yield Risk(Class.NETWORK, f"**bucket {words.code(resource.name)} is open to others**: acl {acl}", about)
    yield from _bare(resources)


def _where(record: Resource) -> str:
    old, new = record.old_input("value"), record.new_input("value")
    return f": {words.code(str(old))} → {words.code(str(new))}" if old and new else ""


def _opened(firewall: Resource) -> Iterator[str]:
    """What is opened, by to whom it is."""
    old, new = _inbound(firewall.old), _inbound(firewall.new)
    sources: dict[str, list[Opening]] = {}
    for opening in new:
        if not any(was.covers(opening) for was in old):
            sources.setdefault(opening.what, []).append(opening)
    ports: dict[str, list[str]] = {}
    for what, openings in sources.items():
        ports.setdefault(_whom(openings), []).append(words.prose(what))
    for whom, opened in ports.items():
        yield f"{words.sentence(opened)} to {whom}"


def _whom(openings: Sequence[Opening]) -> str:
    world = [words.code(opening.source) for opening in openings if _world(opening.source)]
    others = [_source(opening) for opening in openings if not _world(opening.source)]
    return words.sentence([f"**the whole internet** ({words.sentence(world)})", *others] if world else others)


def _source(opening: Opening) -> str:
    if opening.source == UNKNOWN:
        return f"a {opening.kind or 'network'} that is known later"
    return f"{opening.kind} {words.code(opening.source)}".strip()


def _inbound(state: State | None) -> list[Opening]:
    """A source that is not known yet is one like any other, and no part of any."""
    rules = ((state or {}).get("inputs") or {}).get("inboundRules")
    found: list[Opening] = []
    for rule in _rules(rules):
        if not isinstance(rule, Mapping):
            # All of it known later, or secret: whatever it is, it was not there before.
            found.append(Opening(ANY, PORTS, UNKNOWN))
            continue
        protocol, ports = str(rule.get("protocol") or ANY), _ports(rule.get("portRange"))
        found += [Opening(protocol, ports, source) for source in _listed(rule.get("sourceAddresses"))]
        for key, kind in _SOURCES.items():
            found += [Opening(protocol, ports, source, kind) for source in _listed(rule.get(key))]
    return found


def _rules(found: Any) -> list[Any]:  # noqa: ANN401 (JSON)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _listed(found: Any) -> list[str]:  # noqa: ANN401 (JSON)
    if found is None:
        return []
    return [str(source) for source in found] if isinstance(found, list) else [UNKNOWN]


def _ports(text: Any) -> range:  # noqa: ANN401 (JSON)
    """`22`, `8000-9000`, and `all` or `0`. Source: https://docs.digitalocean.com/reference/api/ (firewalls, ports)"""
    first, _, last = str(text or "all").partition("-")
    if not first.isdecimal() or not (last or first).isdecimal() or int(first) == 0:
        return PORTS
    return range(int(first), int(last or first) + 1)


def _within(inner: str, outer: str) -> bool:
    try:
        inside, outside = ip_network(inner, strict=False), ip_network(outer, strict=False)
    except ValueError:
        return False
    return inside.version == outside.version and inside.subnet_of(outside)  # type: ignore[arg-type]


def _world(source: str) -> bool:
    try:
        return ip_network(source, strict=False).prefixlen < WIDE
    except ValueError:
        return False


def _balanced(balancer: Resource) -> Iterator[str]:
    """What a load balancer listens at that it did not, and who may come now."""
    name = f"load balancer {words.code(balancer.name)}"
    if balancer.new is None:
        return
    old, new = _listens(balancer.old), _listens(balancer.new)
    opened = [words.prose(port) for port in new if port not in old]
    if opened:
        internal = balancer.new_input("network") == "INTERNAL"
        guarded = (balancer.new.get("inputs") or {}).get("firewall")
        whom = (
            "its own network"
            if internal
            else "those that its firewall lets in"
            if guarded
            else "**the whole internet**"
        )
        yield f"{name} listens at {words.sentence(opened)} for {whom}"
    if balancer.old is not None and {"firewall", "network"} & set(balancer.fields):
        yield f"{name} lets in others than before"


def _listens(state: State | None) -> list[str]:
    rules = value(state, "inputs", "forwardingRules")
    return [
        f"{rule.get('entryProtocol')} {rule.get('entryPort')}"
        for rule in (rules if isinstance(rules, list) else [])
        if isinstance(rule, Mapping)
    ]


def _bare(resources: Sequence[Resource]) -> Iterator[Risk]:
    """Droplets that no firewall is for any more, or none from the beginning: all of their ports are open."""
    droplets = [resource for resource in resources if resource.type == DROPLET]
    before, after = (
        _guarded([r.old for r in resources if r.type == FIREWALL]),
        _guarded([r.new for r in resources if r.type == FIREWALL]),
    )
    bare = [
        droplet.name
        for droplet in droplets
        if droplet.new is not None
        and not _is_guarded(droplet.new, after)
        and (droplet.old is None or _is_guarded(droplet.old, before))
    ]
    if bare:
        yield Risk(
            Class.NETWORK, f"**no firewall is for {words.names(sorted(bare))}**: every port is open to the world"
        )


def _guarded(firewalls: Sequence[State | None]) -> set[str]:
    found: set[str] = set()
    for firewall in firewalls:
        inputs = (firewall or {}).get("inputs") or {}
        found.update(_listed(inputs.get("tags")), _listed(inputs.get("dropletIds")))
    return found


def _is_guarded(droplet: State, guarded: set[str]) -> bool:
    # A tag or a number that is not known yet may be any.
    if UNKNOWN in guarded:
        return True
    its = {*_listed((droplet.get("inputs") or {}).get("tags")), str(droplet.get("id") or "")}
    return UNKNOWN in its or bool(its & guarded)
