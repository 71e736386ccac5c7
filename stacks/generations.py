"""What a generation of a machine was paved with, and how today's settings differ from it (design rule 4).

Pure: the records of machines that are there come from the engine's state, and those of today from the settings.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from stacks.model import PROJECT
from stacks.settings import Role, Settings

Record = Mapping[str, Any]
"""Setting, as the stack's file names it below a machine, its pool or the whole -> its value; nothing but JSON."""

NOTHING = "nothing"

# Of the API server's minor version, a server may be at the one before while the others follow, and an agent at three.
# Source: https://kubernetes.io/releases/version-skew-policy/
SERVER_SKEW = 1
AGENT_SKEW = 3


@dataclass(frozen=True)
class Difference:
    """One setting of a machine that has another value today; None where there was or is none."""

    setting: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.setting} {_shown(self.old)} → {_shown(self.new)}"


def record(settings: Settings, name: str) -> dict[str, Any]:
    """What the machine of this name would be paved with today: all that its settings freeze, without what is empty."""
    machine = settings.machines[name]
    found: dict[str, Any] = {
        "role": str(machine.role),
        "labels": dict(sorted(machine.labels.items())),
        "taints": sorted(machine.taints),
        "k3s.version": settings.k3s.version,
        "k3s.kubeletArgs": sorted(settings.k3s.kubelet_args),
    }
    if machine.role is Role.SERVER:
        found |= {
            "k3s.disable": sorted(settings.k3s.disable),
            "network.pods": str(settings.network.pods),
            "network.services": str(settings.network.services),
            "cluster.tlsSans": sorted(settings.cluster.tls_sans),
        }
        if settings.cluster.endpoint is not None:
            found["cluster.endpoint"] = settings.cluster.endpoint
    cloud = settings.digitalocean
    if cloud is not None:
        droplet = cloud.droplet(name)
        found |= {
            "region": cloud.region,
            "size": droplet.size,
            "image": droplet.image,
            "ipv6": droplet.ipv6,
            "monitoring": droplet.monitoring,
            "volumes": {
                volume: found.mount for volume, found in sorted(cloud.volumes.items()) if found.machine == name
            },
        }
        if machine.role is Role.SERVER:
            found["dns.names"] = sorted(cloud.api_names)
        if machine.role is Role.SERVER and cloud.snapshots is not None:
            found |= {
                "snapshots.endpoint": cloud.snapshots.endpoint,
                "snapshots.bucket": cloud.snapshots.bucket,
                "snapshots.cron": cloud.snapshots.cron,
                "snapshots.keep": cloud.snapshots.keep,
            }
    # It is in the state three times for each machine.
    return {setting: value for setting, value in found.items() if value not in ({}, [])}


def differences(old: Record, new: Record) -> list[Difference]:
    """Every setting that differs, labels one by one, in the order of their names."""
    before, after = _flat(old), _flat(new)
    return [
        Difference(setting, before.get(setting), after.get(setting))
        for setting in sorted(before.keys() | after.keys())
        if before.get(setting) != after.get(setting)
    ]


def warning(settings: Settings, name: str, paved: Record) -> str | None:
    """The line for a machine that was paved with something other than today's settings; None where it was not."""
    found = differences(paved, record(settings, name))
    if not found:
        return None
    full_name = settings.full_name(name)
    return (
        f"{full_name} was paved with other settings: {', '.join(map(str, found))}. To adopt today's, replace it: "
        f"generation {settings.machines[name].generation + 1} for {name}, and {full_name} on {PROJECT}:retire"
    )


def role_problems(settings: Settings, paved: Mapping[str, Record]) -> Iterator[str]:
    """Machines that the settings have in another role than they were paved in: a server is one until it leaves, whatever it is called.

    `paved` as in `version_problems`.
    """
    for name, old in sorted(paved.items()):
        machine = settings.machines.get(name)
        if machine is None or old["role"] == machine.role:
            continue
        full_name = settings.full_name(name)
        path = (
            f"{PROJECT}:machines.{name}" if machine.pool is None else f"{PROJECT}:pools.{machine.pool}.machines.{name}"
        )
        yield (
            f"{path}: {full_name} was paved as {_a(old['role'])}, and stays one: put it back, or replace it by {_a(machine.role)}: generation "
            f"{machine.generation + 1} for {name}, and {full_name} on {PROJECT}:retire"
        )


def version_problems(settings: Settings, paved: Mapping[str, Record]) -> Iterator[str]:
    """Why k3s must not go from what machines have to what the settings say.

    `paved` has the records of the machines that are there, by their names; the others will be paved with today's.
    """
    wanted = settings.k3s.version
    path = f"{PROJECT}:k3s.version"
    there = {name: str(old["k3s.version"]) for name, old in sorted(paved.items()) if name in settings.machines}
    ahead = {settings.full_name(name): has for name, has in there.items() if _parts(has) > _parts(wanted)}
    if ahead:
        yield (
            f"{path}: {wanted} is older than {_listed(ahead)}. Kubernetes does not go back: set {max(ahead.values(), key=_parts)}"
        )
        return
    for role, skew in ((Role.SERVER, SERVER_SKEW), (Role.AGENT, AGENT_SKEW)):
        behind = {
            settings.full_name(name): has
            for name, has in there.items()
            if settings.machines[name].role is role and _minor(wanted) - _minor(has) > skew
        }
        if behind:
            oldest = min(map(_minor, behind.values()))
            yield (
                f"{path}: {wanted} is more than {skew} minor version{'s' * (skew > 1)} ahead of {_listed(behind)}. "
                f"Replace every {role} with a v1.{oldest + skew} first"
            )
    old_servers = {
        settings.full_name(name): has
        for name, has in there.items()
        if settings.machines[name].role is Role.SERVER and _minor(has) < _minor(wanted)
    }
    new_agents = [
        settings.full_name(name)
        for name, machine in sorted(settings.machines.items())
        if machine.role is Role.AGENT and (name not in there or there[name] == wanted)
    ]
    if old_servers and new_agents:
        yield (
            f"{path}: {', '.join(new_agents)} would have {wanted}, and a kubelet must not be newer than a server: replace "
            f"{_listed(old_servers)} first"
        )


def succession_problems(settings: Settings, full_name: str, paved: Record) -> list[str]:
    """Why today's generation of a machine must not follow one of this full name that leaves, by their versions of k3s.

    The one that leaves is no longer in the settings, and may be all that there is of the cluster.
    """
    name, _, generation = full_name.rpartition("-")
    if name not in settings.machines:
        return []
    was = replace(settings.machines[name], generation=int(generation), role=Role(paved["role"]))
    return list(version_problems(replace(settings, machines={name: was}), {name: paved}))


def _flat(found: Record) -> dict[str, Any]:
    # As JSON has it, so that a tuple is no other thing than a list; a map's entries one by one.
    plain = json.loads(json.dumps(dict(found)))
    flat: dict[str, Any] = {}
    for setting, value in plain.items():
        if isinstance(value, dict):
            flat |= {f"{setting}.{key}": inner for key, inner in value.items()}
        elif value not in (None, []):
            flat[setting] = value
    return flat


def _shown(value: object) -> str:
    if value is None:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(value)


def _a(role: str) -> str:
    return f"an {role}" if role == Role.AGENT else f"a {role}"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({version})" for name, version in versions.items())


def _parts(version: str) -> tuple[int, ...]:
    """`v1.34.2+k3s1` as numbers that compare."""
    return tuple(int(part) for part in version.removeprefix("v").replace("+k3s", ".").split("."))


def _minor(version: str) -> int:
    return _parts(version)[1]
