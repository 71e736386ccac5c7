"""Risks of exposure: what firewalls, load balancers and buckets let in that they did not before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from seedbed.review import words
from seedbed.review.data import BUCKET
from seedbed.review.findings import Class, Risk
from seedbed.review.machines import DROPLET
from seedbed.review.steps import CLOUD, UNKNOWN, Change, Resource, State

FIREWALL, BALANCER = f"{CLOUD}firewall:Firewall", f"{CLOUD}loadBalancer:LoadBalancer"

RECORD = f"{CLOUD}dnsRecord:DnsRecord"

_MOVES = {"domain", "name", "type", "value"}
"""Inputs of a DNS record."""

_BEHIND = ("dropletTag", "dropletIds")
"""Inputs of a load balancer: the machines that it leads to."""

_LATER = "a port that is known later"

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
        others = set(resource.fields) - {
            "inboundRules",
            "forwardingRules",
            "firewall",
            "network",
            "acl",
            *_BEHIND,
            *_MOVES,
        }
        about = frozenset() if others else frozenset({resource.urn})
        if resource.type == FIREWALL:
            opened = list(_opened(resource))
            name = f"firewall {words.code(resource.name)}"
            if opened:
                yield Risk(Class.NETWORK, f"{name} opens {'; '.join(opened)}", about)
            for whose, opened in _extended(resource):
                yield Risk(Class.NETWORK, f"{name} is for {whose} too: it opens {'; '.join(opened)}", about)
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
    yield from _tagged(resources)


def _where(record: Resource) -> str:
    old, new = record.old_input("value"), record.new_input("value")
    return f": {words.code(str(old))} → {words.code(str(new))}" if old and new else ""


def _opened(firewall: Resource) -> Iterator[str]:
    """What is opened, by to whom it is."""
    old, new = _inbound(firewall.old), _inbound(firewall.new)
    return _by_source(opening for opening in new if not any(was.covers(opening) for was in old))


def _extended(firewall: Resource) -> Iterator[tuple[str, list[str]]]:
    """The machines that a firewall was not for, and all that it opens of them."""
    opened = list(_by_source(_inbound(firewall.new)))
    if firewall.old is None or not opened:
        return
    for key, kind in (("tags", "machines tagged"), ("dropletIds", "machines with the id")):
        gained = _gained(firewall, key)
        if gained:
            yield "machines that are known later" if UNKNOWN in gained else f"{kind} {words.names(gained)}", opened


def _gained(resource: Resource, key: str) -> list[str]:
    """What a list of its inputs has that it had not."""
    old, new = (_listed(((state or {}).get("inputs") or {}).get(key)) for state in (resource.old, resource.new))
    return [one for one in new if one not in old]


def _by_source(openings: Iterable[Opening]) -> Iterator[str]:
    sources: dict[str, list[Opening]] = {}
    for opening in openings:
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
    """What a load balancer listens at that it did not, what it leads to, and who may come now."""
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
    moved = [
        f"{words.prose(port)} to {words.prose(target)} instead of {words.prose(old[port])}"
        for port, target in new.items()
        if old.get(port, target) != target
    ]
    if moved:
        yield f"{name} leads {words.sentence(moved)}"
    if balancer.old is None:
        return
    if {"firewall", "network"} & set(balancer.fields):
        yield f"{name} lets in others than before"
    if {*_BEHIND} & set(balancer.fields):
        yield f"{name} leads to other machines than before"


def _listens(state: State | None) -> dict[str, str]:
    """Where each port leads to. What is not known yet, or secret, is a port like any other."""
    found: dict[str, str] = {}
    for rule in _rules(((state or {}).get("inputs") or {}).get("forwardingRules")):
        if isinstance(rule, Mapping):
            found[_port(rule, "entry")] = _port(rule, "target")
        else:
            found[_LATER] = _LATER
    return found


def _port(rule: Mapping[str, Any], side: str) -> str:
    parts = [str(rule.get(f"{side}{part}")) for part in ("Protocol", "Port")]
    return _LATER if UNKNOWN in parts else " ".join(parts)


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


def _tagged(resources: Sequence[Resource]) -> Iterator[Risk]:
    """Droplets that get a tag by which firewalls or load balancers are for them."""
    lets_in = _guarded([r.new for r in resources if r.type == FIREWALL])
    lets_in |= {str(r.new_input("dropletTag")) for r in resources if r.type == BALANCER}
    tagged: dict[str, list[str]] = {}
    for droplet in resources:
        if droplet.type == DROPLET and droplet.old is not None:
            for tag in lets_in.intersection(_gained(droplet, "tags")) - {UNKNOWN}:
                tagged.setdefault(tag, []).append(droplet.name)
    for tag, names in sorted(tagged.items()):
        whom = f"firewalls or load balancers are for the tag {words.code(tag)}"
        yield Risk(Class.NETWORK, f"{whom}, which is new on {words.names(sorted(names))}")


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
