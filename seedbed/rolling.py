"""Which machine of a stack is to be replaced next: pure, from the settings, the state and what the cluster says of its nodes.

Nothing remembers a roll but these: the state says which generations there are and what each was paved with, the settings
what they are to be. So a roll can be left and taken up at any step, by anybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.pave.node import MEMBER
from seedbed.deployment import name_of, type_of
from seedbed.kube import items, section
from stacks.generations import Difference, Record, differences, record, succession_problems, version_problems
from stacks.model import PROJECT
from stacks.settings import Role, Settings

STASH = "pulumi:index:Stash"
MACHINES = ("seedbed:pave:Node", "seedbed:metal:ExistingHost", "digitalocean:index/droplet:Droplet")
"""What bears a machine's full name, from its first resource to its last."""

JOINED = "-k3s"
"""Behind a machine's full name: the step that is in the state when it was proven to be a member."""

# k3s' own condition on the Node of a server with embedded etcd.
# Source: github.com/k3s-io/k3s v1.34.2, pkg/etcd/etcd.go, NodeConditionType EtcdIsVoter
VOTER = "EtcdIsVoter"


@dataclass(frozen=True)
class State:
    """Full names of the machines that there is anything of, and of those that have joined; what each was paved with."""

    machines: frozenset[str]
    joined: frozenset[str]
    paved: Mapping[str, Record]


def read(exported: Mapping[str, Any]) -> State:
    """The state as `pulumi stack export` prints it, parsed."""
    resources = (exported.get("deployment") or {}).get("resources") or []
    named = [(name_of(resource["urn"]), type_of(resource["urn"]), resource) for resource in resources]
    paved = {
        name.removesuffix(MEMBER): resource["outputs"]["output"]["paved"]
        for name, kind, resource in named
        if kind == STASH and name.endswith(MEMBER)
    }
    machines = {name for name, kind, _ in named if kind in MACHINES} | paved.keys()
    joined = {machine for machine in machines if any(name == f"{machine}{JOINED}" for name, _, _ in named)}
    return State(frozenset(machines), frozenset(joined), paved)


def unfinished(settings: Settings, state: State) -> list[str]:
    """A line for everything in which the state is not what the settings say: the step that is to be applied first."""
    today = {settings.full_name(name) for name in settings.machines}
    found = [f"{name} is not made yet" for name in sorted(today - state.machines)]
    found += [f"{name} has not joined yet" for name in sorted((today & state.machines) - state.joined)]
    for name in sorted(state.machines - today):
        listed = "" if name in settings.retire else f", and is not on {PROJECT}:retire"
        found.append(f"{name} is still there{listed}")
    return found


def unwell(nodes: Iterable[Mapping[str, Any]], settings: Settings, leaving: str | None) -> list[str]:
    """A line for each machine but `leaving` that is not what it has to be before another one goes.

    `nodes` are the Node objects of the API. A server that the settings do not know counts, because its vote does.
    """
    by_name = {str(section(node, "metadata").get("name", "")): _conditions(node) for node in nodes}
    found = []
    for name, machine in sorted(settings.machines.items()):
        full_name = settings.full_name(name)
        conditions = by_name.pop(full_name, None)
        if full_name == leaving:
            continue
        if conditions is None:
            found.append(f"{full_name} is not in the cluster")
        elif conditions.get("Ready") != "True":
            found.append(f"{full_name} is not Ready")
        elif machine.role is Role.SERVER and conditions.get(VOTER) != "True":
            found.append(f"{full_name} does not vote in etcd ({VOTER} is {conditions.get(VOTER, 'not set')})")
    found += [
        f"{name} is a server of the cluster and not of the settings" for name in by_name if VOTER in by_name[name]
    ]
    return found


@dataclass(frozen=True)
class Step:
    """The replacement of one machine: `new` in the place of `old`, both full names, by these values of its settings."""

    name: str
    old: str
    new: str
    values: dict[str, str | int]
    why: list[Difference]


def candidates(settings: Settings, state: State, *, to: int | None) -> dict[str, list[Difference]]:
    """The machines that are to be replaced, by name, in the order in which it is done, and what of their settings differs.

    With `to` those of a lower generation, whatever they were paved with; without, those that were paved with other settings than
    today's. Servers come first, for a kubelet must not be newer than the API server.
    Source: https://kubernetes.io/releases/version-skew-policy/
    """
    found = {}
    for name in sorted(settings.machines, key=lambda name: (settings.machines[name].role is not Role.SERVER, name)):
        why = differs(settings, state, name)
        if settings.machines[name].generation < to if to is not None else why:
            found[name] = why
    return found


def differs(settings: Settings, state: State, name: str) -> list[Difference]:
    """What the machine of this name was not paved with, and would be today."""
    return differences(state.paved[settings.full_name(name)], record(settings, name))


def step(settings: Settings, state: State, name: str, *, to: int | None, values: Mapping[str, str]) -> Step:
    """The next generation of the machine, with these other values."""
    generation = max(settings.machines[name].generation + 1, to or 0)
    return Step(
        name=name,
        old=settings.full_name(name),
        new=f"{name}-{generation}",
        values={"generation": generation, **values},
        why=differs(settings, state, name),
    )


def retire(settings: Settings, state: State, leaving: str | None) -> list[str]:
    """The list as it should be: without those for which nothing is left to remove, with the one that leaves."""
    kept = [name for name in settings.retire if name in state.machines]
    return kept if leaving is None or leaving in kept else [*kept, leaving]


def forbidden(after: Settings, state: State, name: str) -> list[str]:
    """Why k3s must not go to the version of the settings `after` the step that replaces this machine; the program refuses it too."""
    paved = {other: state.paved[after.full_name(other)] for other in after.machines if other != name}
    leaving = [old for old in state.paved if old.rpartition("-")[0] == name]
    found = [
        *version_problems(after, paved),
        *(p for old in leaving for p in succession_problems(after, old, state.paved[old])),
    ]
    return list(dict.fromkeys(found))


def alone(settings: Settings, name: str) -> bool:
    """Whether the machine is the only server, and its next generation would find nobody to join."""
    servers = settings.names(Role.SERVER)
    return servers == [name] and settings.cluster.endpoint is None and settings.digitalocean is None


def _conditions(node: Mapping[str, Any]) -> dict[str, str]:
    found: Sequence[Mapping[str, Any]] = items(section(node, "status").get("conditions"))
    return {str(condition.get("type")): str(condition.get("status")) for condition in found}
