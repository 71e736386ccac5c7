"""The section `pools` of a stack's settings: machines that a cloud makes, by names and never by a count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import Field

from components.metal.digitalocean.catalogue import DATE, IMAGES, REGIONS, SIZES
from stacks.machine_settings import Generation, Machine, Role, check_labels, check_name, check_taints
from stacks.model import PROJECT, Model, nearest, validate

PATH = f"{PROJECT}:pools"


class PoolMachine(Model):
    """What one machine of a pool has for itself."""

    generation: Generation = 1


class PoolSettings(Model):
    """Machines that are alike. `image` is by default the cloud's."""

    role: Role
    size: str
    image: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    backups: bool = False
    ipv6: bool = False
    monitoring: bool = True
    machines: dict[str, PoolMachine]


@dataclass(frozen=True)
class DropletSettings:
    """What a generation of a machine is made with."""

    size: str
    image: str
    ipv6: bool
    monitoring: bool
    backups: bool


@dataclass(frozen=True)
class Pool:
    """A pool, checked; `machines` are the names of those in it, sorted."""

    role: Role
    droplet: DropletSettings
    machines: tuple[str, ...]


def resolve(
    value: object, *, region: str | None, image: str | None, problems: list[str]
) -> tuple[dict[str, Pool], dict[str, Machine]]:
    """The section, by names of pools and of machines; adds every problem to `problems`, and then gives what is of no use.

    `region` and `image` are the cloud's; None where they cannot be read, which somebody else has said.
    """
    if not isinstance(value, Mapping) or not value:
        problems.append(
            f"{PATH}: must have a pool of servers, as `servers: {{role: server, size: …, machines: {{…}}}}`"
        )
        return {}, {}
    pools: dict[str, Pool] = {}
    machines: dict[str, Machine] = {}
    for pool, raw in value.items():
        path = f"{PATH}.{pool}"
        settings = validate(PoolSettings, raw, path, problems)
        if settings is None:
            # Its names are known all the same: what refers to them is no second mistake.
            machines |= _names_only(raw)
            continue
        problems += _check_droplet(settings, path, region)
        problems += check_labels(settings.labels, path)
        problems += check_taints(settings.taints, path)
        if not settings.machines:
            problems.append(f"{path}.machines: names no machine; take the pool out, or name one as `agent-a: {{}}`")
        for name, own in settings.machines.items():
            problems += check_name(name, f"{path}.machines.{name}")
            if name in machines:
                problems.append(f"{path}.machines.{name}: the pool {machines[name].pool} has a machine of this name")
            machines[name] = Machine(
                role=settings.role,
                generation=own.generation,
                labels=settings.labels,
                taints=settings.taints,
                pool=str(pool),
            )
        pools[str(pool)] = Pool(
            role=settings.role,
            droplet=DropletSettings(
                size=settings.size,
                image=settings.image or image or "",
                ipv6=settings.ipv6,
                monitoring=settings.monitoring,
                backups=settings.backups,
            ),
            machines=tuple(sorted(settings.machines)),
        )
    return pools, machines


def check_image(image: str, path: str) -> Iterator[str]:
    """Whether droplets can be made of it and paved."""
    if image not in IMAGES:
        yield f"{path}: {image!r} is no image of the table of {DATE}; {nearest(image, IMAGES)}"


def _check_droplet(pool: PoolSettings, path: str, region: str | None) -> Iterator[str]:
    if pool.image is not None:
        yield from check_image(pool.image, f"{path}.image")
    size = SIZES.get(pool.size)
    if size is None:
        yield f"{path}.size: {pool.size!r} is no size of the table of {DATE}; {nearest(pool.size, SIZES)}"
    elif region is not None and region in REGIONS and region not in size.regions:
        yield (
            f"{path}.size: {pool.size} is not on sale in {region} by the table of {DATE}, but in {', '.join(size.regions)}; "
            f"{_instead(pool.size, region)}"
        )


def _instead(slug: str, region: str) -> str:
    """The cheapest size of a region that has as much as another."""
    wanted = SIZES[slug]
    fitting = [
        (size.price_monthly, other)
        for other, size in SIZES.items()
        if region in size.regions and size.vcpus >= wanted.vcpus and size.memory_mib >= wanted.memory_mib
    ]
    return f"take {min(fitting)[1]} there" if fitting else "take another region"


def _names_only(raw: object) -> dict[str, Machine]:
    if not isinstance(raw, Mapping) or not isinstance(raw.get("machines"), Mapping):
        return {}
    role = Role.SERVER if raw.get("role") == Role.SERVER else Role.AGENT
    return {str(name): Machine(role=role) for name in raw["machines"]}
