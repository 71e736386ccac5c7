"""The resources that no other part of a review tells of: one by one, or folded as noise."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from seedbed.review import words
from seedbed.review.data import VOLUME
from seedbed.review.machines import ATTACHMENT, Machine
from seedbed.review.network import BALANCER, FIREWALL
from seedbed.review.notes import noun
from seedbed.review.steps import (
    CLOUD,
    COMMANDS,
    EVENT,
    HOLDER,
    STASH,
    Change,
    Resource,
    State,
    follows,
    name_of,
    value,
)

PROJECT = f"{CLOUD}project:Project"
COPY = "command:remote:CopyToRemote"
ASSIGNMENT = f"{CLOUD}reservedIpAssignment:ReservedIpAssignment"

FEW = 3
"""More than so many that are new share one line."""

PLAIN = {
    BALANCER: ("sizeUnit",),
    VOLUME: ("size",),
    f"{CLOUD}dnsRecord:DnsRecord": ("domain", "name", "ttl", "type", "value"),
    f"{CLOUD}droplet:Droplet": ("backups", "tags"),
    FIREWALL: ("tags",),
}
"""The inputs whose values are shown, by type: what stands in the settings in clear, or is the cloud's. Of others only the
names are shown."""

_VERBS = {
    Change.CREATE: "new",
    Change.DELETE: "**deleted**",
    Change.REPLACE: "**replaced**",
    Change.UPDATE: "changed",
}
_EVENTS = {
    "seed": "the seed is planted, over what is there of it",
    "synced": "the root application is waited for until it is synced",
}
"""What a step of the seed does when it runs, by its name without the event."""


def noise(resources: Iterable[Resource], machines: Mapping[str, Machine]) -> dict[str, str]:
    """What each resource that is only noise is folded as, by URN."""
    resources = list(resources)
    parts = {
        part.urn: machine for machine in machines.values() if machine.comes or machine.goes for part in machine.parts
    }
    found: dict[str, str] = {}
    for resource in resources:
        if resource.change is Change.SAME:
            continue
        if resource.urn in parts:
            found[resource.urn] = "parts of these machines"
        elif resource.component:
            found[resource.urn] = "components"
        elif resource.type == PROJECT and resource.change is Change.UPDATE and set(resource.fields) <= {"resources"}:
            found[resource.urn] = "the project's list of what it has"
        elif resource.type.startswith("pulumi:providers:") and _only_version(resource):
            found[resource.urn] = "plugins' versions"
        elif resource.type == STASH and resource.name.endswith(HOLDER) and not resource.removed:
            found[resource.urn] = "where volumes are remembered to be"
        elif _of_an_event(resource, resources):
            found[resource.urn] = "scripts and earlier steps of the seed"
        elif resource.change is Change.UPDATE and resource.type not in (FIREWALL, BALANCER) and follows(resource):
            found[resource.urn] = "values that follow from what is new"
    return found


def _only_version(provider: Resource) -> bool:
    """Whether a plugin is asked for in another version, and nothing else; those called `default` have no other inputs."""
    return provider.name.startswith("default") or (
        provider.change is Change.UPDATE and set(provider.fields) <= {"version"}
    )


def _of_an_event(resource: Resource, resources: Sequence[Resource]) -> bool:
    """Whether it only copies the seed's scripts, or is a step that the state forgets for the same of a later event."""
    if resource.type not in COMMANDS or not re.search(EVENT, resource.name):
        return False
    if resource.type == COPY and resource.change is Change.CREATE:
        return True
    if resource.change is not Change.DELETE:
        return False
    stem = re.sub(EVENT, "", resource.name)
    return any(
        other.change is Change.CREATE and other.type == resource.type and re.sub(EVENT, "", other.name) == stem
        for other in resources
    )


def folded(found: Mapping[str, str]) -> str:
    """The noise in a few words, with how many resources each are; empty where there is none."""
    return ", ".join(f"{what} ({number})" for what, number in Counter(found.values()).items())


def tell(resources: Iterable[Resource], without: Set[str]) -> list[str]:
    """What changes and is not `without`: what is new in one line where it is much, the rest one by one."""
    left = [one for one in resources if one.change is not Change.SAME and one.urn not in without]
    events = [one for one in left if _event(one) and one.change is Change.CREATE]
    new = [one for one in left if one.change is Change.CREATE and one not in events]
    lines = []
    if len(new) > FEW:
        lines.append(f"new: {_many(new)}")
        new = []
    lines += [_line(one) for one in left if one.change is not Change.CREATE or one in new]
    return [*lines, *(_EVENTS[stem] for stem in map(_event, events))]


def _many(new: Sequence[Resource]) -> str:
    """Kind by kind: names where they are few, or else how many."""
    kinds: dict[str, list[str]] = {}
    for resource in new:
        kinds.setdefault(noun(resource.type), []).append(resource.name)
    return ", ".join(
        f"{what} {words.code(of[0])}" if len(of) == 1 else f"{words.count(len(of), what)} ({words.names(of)})"
        for what, of in kinds.items()
    )


def _event(resource: Resource) -> str:
    """What happens where this is a step of the seed; empty where it is not."""
    stem = re.sub(EVENT, "", resource.name)
    return stem if resource.type in COMMANDS and stem != resource.name and stem in _EVENTS else ""


def _line(resource: Resource) -> str:
    what = f"{noun(resource.type)} {words.code(resource.name)}"
    if resource.type in (ATTACHMENT, ASSIGNMENT):
        return f"{what}: {_VERBS.get(resource.change, resource.change)}{_to(resource)}"
    if resource.change is Change.OTHER:
        return f"{what}: **{words.prose(resource.op)}**"
    return f"{what}: {_VERBS[resource.change]}{_values(resource)}"


def _to(resource: Resource) -> str:
    old, new = _droplet(resource.old), _droplet(resource.new)
    if old and new and old != new:
        return f", from {words.code(old)} to {words.code(new)}"
    return f", {words.code(new or old)}" if new or old else ""


def _droplet(state: State | None) -> str:
    of = value(state, "propertyDependencies", "dropletId")
    return name_of(str(of[0])) if isinstance(of, list) and of else ""


def _values(resource: Resource) -> str:
    if resource.change is Change.CREATE or resource.change is Change.DELETE:
        return ""
    return "".join(f", {part}" for part in _fields(resource))


def _fields(resource: Resource) -> Iterator[str]:
    for name in resource.fields:
        old, new = resource.old_input(name), resource.new_input(name)
        if name in PLAIN.get(resource.type, ()) and old != new and None not in (old, new):
            yield f"{words.code(name)} {words.prose(_shown(old))} → {words.prose(_shown(new))}"
        else:
            yield words.code(name)


def _shown(found: object) -> str:
    if isinstance(found, list):
        return ", ".join(map(str, found))
    return str(found).lower() if isinstance(found, bool) else f"{found:g}" if isinstance(found, float) else str(found)
