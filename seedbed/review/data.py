"""Risks for what is kept: volumes, buckets, namespaces, backups, and machines that leave with a volume in them."""

from collections.abc import Iterator, Mapping, Sequence

from seedbed.review import expiry, words
from seedbed.review.findings import Class, Risk
from seedbed.review.machines import ATTACHMENT, DROPLET, Machine, machine_of
from seedbed.review.steps import CLOUD, HOLDER, STASH, Change, Resource

VOLUME = f"{CLOUD}volume:Volume"
BUCKET = f"{CLOUD}spacesBucket:SpacesBucket"
NAMESPACE = "kubernetes:core/v1:Namespace"

KEEPS = {VOLUME: "volume", BUCKET: "bucket", NAMESPACE: "namespace"}


def risks(resources: Sequence[Resource], machines: Mapping[str, Machine]) -> Iterator[Risk]:
    """What is deleted, emptied, or taken from a machine."""
    by_name = {resource.name: resource for resource in resources if resource.type == STASH}
    moved: set[str] = set()
    for resource in resources:
        if resource.type in KEEPS and resource.removed:
            yield Risk(Class.DATA, _removed(resource), frozenset({resource.urn}))
        elif resource.type == BUCKET and resource.change is Change.UPDATE:
            told = frozenset() if set(resource.fields) - expiry.FIELDS else frozenset({resource.urn})
            yield from (Risk(Class.DATA, text, told) for text in expiry.kept_less(resource))
        elif resource.type == ATTACHMENT and resource.removed:
            holder = by_name.get(f"{resource.name}{HOLDER}")
            about = {resource.urn} | ({holder.urn} if holder else set())
            old, new = machine_of(resource.old), machine_of(resource.new)
            moved.add(old)
            yield Risk(Class.DATA, _detached(resource, old, new, machines), frozenset(about))
        elif resource.type == DROPLET and resource.removed and not _goes(resource.name, machines):
            text = f"**droplet {words.code(resource.name)} is {resource.change}d, and its machine does not leave**"
            yield Risk(Class.DATA, f"{text}: all that is on it is lost", frozenset({resource.urn}))
    yield from _backups(resources)
    for machine in sorted(machines.values(), key=lambda one: one.full_name):
        if machine.goes and machine.mounts and machine.full_name not in moved:
            yield Risk(
                Class.DATA,
                f"{words.code(machine.full_name)} leaves with {words.count(len(machine.mounts), 'volume')} in it "
                f"({words.names(machine.mounts)}): what is there stays, and no machine has it",
            )


def _backups(resources: Sequence[Resource]) -> Iterator[Risk]:
    """Droplets whose backups end while they stay."""
    found = [
        one
        for one in resources
        if one.type == DROPLET and one.new is not None and one.old_input("backups") and not one.new_input("backups")
    ]
    if found:
        # DigitalOcean's pages disagree about those that are there.
        # Source: https://docs.digitalocean.com/products/images/backups/how-to/disable/ (deleted),
        # https://docs.digitalocean.com/reference/doctl/reference/compute/droplet-action/disable-backups/ (not)
        about = frozenset(one.urn for one in found if {*one.fields} == {"backups"})
        names = words.names(sorted(one.name for one in found))
        text = (
            f"**backups of {names} are switched off**: there will be no more, and those that are there may be deleted"
        )
        yield Risk(Class.DATA, text, about)


def _removed(resource: Resource) -> str:
    what = f"{KEEPS[resource.type]} {words.code(resource.name)}"
    if resource.type == NAMESPACE:
        return f"**{what} is deleted with everything in it**, volume claims included"
    if resource.change is Change.REPLACE:
        return f"**{what} is replaced by an empty one**: {words.names(resource.fields)} cannot change in place"
    return f"**{what} is deleted with all that is in it**"


def _detached(resource: Resource, old: str, new: str, machines: Mapping[str, Machine]) -> str:
    what = f"volume {words.code(resource.name)}"
    if resource.change is Change.DELETE:
        return f"{what} is taken out of {words.code(old)}" if old else f"{what} is taken out of its machine"
    leaves = old in machines and machines[old].goes
    when = f"after {words.code(old)} has left the cluster" if leaves else f"while {words.code(old)} runs on"
    return f"{what} moves from {words.code(old)} to {words.code(new)}, {when}"


def _goes(full_name: str, machines: Mapping[str, Machine]) -> bool:
    return full_name in machines and machines[full_name].goes
