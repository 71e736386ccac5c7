"""Which machines come and go, and why; and what that is for the cluster's quorum."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from seedbed.review import words
from seedbed.review.findings import Class, Risk
from seedbed.review.steps import CLOUD, JOIN, MEMBER, STASH, Change, Resource, State, name_of, type_of, value
from stacks.generations import differences

NODE = "seedbed:pave:Node"
HOSTS = ("seedbed:metal:DropletHost", "seedbed:metal:ExistingHost")
DROPLET = f"{CLOUD}droplet:Droplet"
ATTACHMENT = f"{CLOUD}volumeAttachment:VolumeAttachment"

SERVER = "server"
FOUNDER = "cluster-init"
"""What remembers which server has made the cluster."""

_FULL_NAME = re.compile(r"(?P<name>.+)-(?P<generation>\d+)")
_ONE_WORD = {0: "none", 1: "one", 2: "two", 3: "three"}


@dataclass
class Machine:
    """One generation of a machine; `parts` are its resources, its components among them."""

    full_name: str
    parts: list[Resource] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Without the generation."""
        found = _FULL_NAME.fullmatch(self.full_name)
        return found["name"] if found else self.full_name

    @property
    def generation(self) -> str:
        """The number behind its name."""
        found = _FULL_NAME.fullmatch(self.full_name)
        return found["generation"] if found else ""

    @property
    def join(self) -> Resource | None:
        """The step that makes it a member; in the state of no machine whose paving has failed."""
        return self._part(JOIN)

    @property
    def _note(self) -> Resource | None:
        """What remembers it, from before it joins until it has left."""
        return self._part(MEMBER)

    def _part(self, suffix: str) -> Resource | None:
        return next((part for part in self.parts if part.name == f"{self.full_name}{suffix}"), None)

    @property
    def comes(self) -> bool:
        """Whether it joins. What is made before that may be there already, of an `up` that has failed."""
        return self.join is not None and self.join.change is Change.CREATE

    @property
    def begun(self) -> bool:
        """Whether something of it is there already."""
        return any(part.old is not None for part in self.parts)

    @property
    def goes(self) -> bool:
        """Whether it is removed."""
        return any(part.component and part.change is Change.DELETE for part in self.parts)

    @property
    def changed(self) -> list[Resource]:
        """Its resources that change, but components."""
        return [part for part in self.parts if part.change is not Change.SAME and not part.component]

    @property
    def droplet(self) -> Resource | None:
        """The machine at the cloud, where it is one."""
        return next((part for part in self.parts if part.type == DROPLET), None)

    @property
    def member(self) -> Mapping[str, Any]:
        """What is remembered of it, or will be; nothing secret."""
        stash = self._note
        if stash is None:
            return {}
        was = value(stash.old, "outputs", "output") if stash.old else None
        if was is None:
            # Of a new one the address is not known, so the parts are asked for one by one.
            was = {key: stash.new_input("input", key) for key in ("machine", "mounts", "paved")}
        return {key: found for key, found in was.items() if found is not None}

    @property
    def paved(self) -> Mapping[str, Any]:
        """The settings that it was paved with, or will be."""
        found = self.member.get("paved")
        return found if isinstance(found, Mapping) else {}

    @property
    def mounts(self) -> Sequence[str]:
        """Where volumes are mounted on it."""
        found = self.member.get("mounts")
        return [str(place) for place in found] if isinstance(found, list) else []

    @property
    def role(self) -> str:
        """`server` or `agent`; empty where nothing says so."""
        if "role" in self.paved:
            return str(self.paved["role"])
        tags = value(self.droplet.state, "inputs", "tags") if self.droplet else None
        return (SERVER if any(str(tag).endswith("-server") for tag in tags) else "agent") if tags else ""

    @property
    def size(self) -> str:
        """The droplet's; empty where there is none."""
        found = value(self.droplet.state, "inputs", "size") if self.droplet else None
        return str(found) if isinstance(found, str) else ""

    def is_member(self, *, after: bool) -> bool:
        """Whether it is in the cluster, now or afterwards.

        One that stays is not before it has joined, though it is remembered. One that leaves may be as long as it is
        remembered: the step that it joined by is out of the state before the gate is asked, which may have refused.
        """
        if after:
            return self.join is not None and self.join.new is not None
        joined = self.join is not None and self.join.old is not None
        return joined or (self.goes and self._note is not None and self._note.old is not None)


def read(resources: Sequence[Resource]) -> dict[str, Machine]:
    """The machines that the resources are of, by their full names."""
    found: dict[str, Machine] = {}
    for resource in resources:
        name = _machine_of(resource)
        if name is not None:
            found.setdefault(name, Machine(name)).parts.append(resource)
    return found


def _machine_of(resource: Resource) -> str | None:
    if resource.type in (NODE, *HOSTS):
        return resource.name
    parent = str(resource.state.get("parent") or "")
    return name_of(parent) if type_of(parent) in (NODE, *HOSTS) else None


def machine_of(attachment: State | None) -> str:
    """The full name of the machine that a volume is attached to: that of the droplet that it goes with, or is made of."""
    urn = value(attachment, "deletedWith")
    if not urn:
        of = value(attachment, "propertyDependencies", "dropletId")
        urn = of[0] if isinstance(of, list) and of else ""
    return name_of(str(urn))


def leaving_first(machines: Mapping[str, Machine], resources: Sequence[Resource]) -> set[str]:
    """Full names of the machines that leave before those that replace them join: a volume is in one at a time."""
    handed_over = {machine_of(one.old) for one in resources if one.type == ATTACHMENT and one.change is Change.REPLACE}
    return {name for name in handed_over if name in machines and machines[name].goes}


def in_and_out(machines: Mapping[str, Machine], resources: Sequence[Resource]) -> Iterator[str]:
    """A line for each kind of coming and going, those that come first."""
    first = leaving_first(machines, resources)
    comes = [machine for machine in machines.values() if machine.comes]
    goes = [machine for machine in machines.values() if machine.goes]
    yield from _listed("in", comes, {machine.full_name: _why_in(machine, goes) for machine in comes})
    yield from _listed("out", goes, {machine.full_name: _why_out(machine, machines, first) for machine in goes})


def _listed(way: str, moving: Sequence[Machine], why: Mapping[str, str]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for machine in sorted(moving, key=lambda one: (one.role != SERVER, one.full_name)):
        what = ", ".join(filter(None, (machine.role, words.prose(machine.size) if way == "in" else "")))
        groups.setdefault((what, why[machine.full_name]), []).append(machine.full_name)
    for (what, reason), found in groups.items():
        yield f"**{way}** {words.names(found)}{f' ({what})' if what else ''}{reason}"


def _why_in(machine: Machine, goes: Sequence[Machine]) -> str:
    begun = ", partly there already" if machine.begun else ""
    old = next((other for other in goes if other.name == machine.name), None)
    if old is None:
        return f": new{begun}"
    changed = [f"generation {old.generation} → {machine.generation}"]
    if old.paved and machine.paved:
        changed += [words.prose(str(difference)) for difference in differences(old.paved, machine.paved)]
    return f" for {words.code(old.full_name)}: {', '.join(changed)}{begun}"


def _why_out(machine: Machine, machines: Mapping[str, Machine], first: set[str]) -> str:
    others = [other for other in machines.values() if other.name == machine.name and other is not machine]
    for other in others:
        if other.comes and machine.full_name in first:
            return f", before {words.code(other.full_name)} joins, which gets its volume"
        if other.comes:
            return f", when {words.code(other.full_name)} has joined"
        if not other.goes:
            return f": {words.code(other.full_name)} is there already"
    return ": not in the settings any more"


def staying(machines: Mapping[str, Machine]) -> Iterator[tuple[str, frozenset[str]]]:
    """A line for each machine that neither comes nor goes and of which something changes, with what it tells of."""
    verbs = {
        Change.CREATE: "runs",
        Change.UPDATE: "changes its record of",
        Change.REPLACE: "runs again",
        Change.DELETE: "forgets, without running anything,",
        Change.OTHER: "does something unusual with",
    }
    for machine in sorted(machines.values(), key=lambda one: one.full_name):
        if machine.comes or machine.goes:
            continue
        steps = [part for part in machine.changed if part.type != DROPLET]
        done = []
        for change, verb in verbs.items():
            found = [part.name.removeprefix(f"{machine.full_name}-") for part in steps if part.change is change]
            if found:
                done.append(f"{verb} {words.names(found)}")
        if done:
            yield f"{words.code(machine.full_name)} stays, and {words.sentence(done)}", frozenset(s.urn for s in steps)


def quorum(machines: Mapping[str, Machine], resources: Sequence[Resource]) -> Iterator[Risk]:
    """What servers that come or go are for etcd: members before, meanwhile and after, and how many may fail."""
    for resource in resources:
        if resource.type == STASH and resource.name == FOUNDER and resource.removed:
            text = "**who made the cluster is forgotten: another cluster may be made beside it**"
            yield Risk(Class.QUORUM, text, frozenset({resource.urn}))
    servers = [machine for machine in machines.values() if machine.role == SERVER]
    # One that leaves before it has joined takes nothing from the others.
    comes, goes = [s for s in servers if s.comes], [s for s in servers if s.goes and s.is_member(after=False)]
    if not comes and not goes:
        return
    before = sum(server.is_member(after=False) for server in servers)
    after = sum(server.is_member(after=True) for server in servers)
    if not before:
        yield Risk(Class.QUORUM, f"a new cluster: etcd will have {words.count(after, 'member')}, {_may_fail(after)}")
        return
    if not after:
        yield Risk(Class.QUORUM, "**every server leaves: the cluster is given up**, and nothing is drained")
        return
    path = [before]
    if comes and goes:
        first = leaving_first(machines, resources) & {server.full_name for server in goes}
        path.append(before - 1 if first else before + len(comes))
    path.append(after)
    text = " → ".join(map(str, path))
    survives = [_survives(members) for members in path]
    if len(set(survives)) == 1:
        fail = f"{_ONE_WORD.get(survives[0], str(survives[0]))} may fail at any time"
    else:
        fail = f"as many may fail: {' → '.join(map(str, survives))}"
    loud = f"**{fail}**" if min(survives) < min(survives[0], 1) else fail
    even = " (one more than an odd number adds no safety)" if after > before and after % 2 == 0 else ""
    together = ", one at a time" if max(len(comes), len(goes)) > 1 else ""
    yield Risk(Class.QUORUM, f"etcd's members: {text}{together}; {loud}{even}")


def _survives(members: int) -> int:
    """Source: https://etcd.io/docs/v3.6/faq/#what-is-failure-tolerance"""
    return max(members - 1, 0) // 2


def _may_fail(members: int) -> str:
    survives = _survives(members)
    return f"of which {_ONE_WORD.get(survives, str(survives))} may fail"
