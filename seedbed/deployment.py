"""What is deployed, as `pulumi stack export` gives it: a digest that binds it, and what differs from another time.

The export is the same to the byte as long as nobody changed the state, and its secrets stay encrypted in it, so nothing of
what is made of it here is a secret.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

NODE = "seedbed:pave:Node"
"""The type of the component that a machine is, by its full name."""

NAMED = 3
"""More resources than that are counted and not named: it is to stay one line."""

SHORT = 16
"""Hexadecimal digits of a digest that only tells what changed; the one that binds is whole."""

# What the engine writes in the place of a secret: its key in the state, its text in `preview --json`.
# Source: github.com/pulumi/pulumi/sdk/v3 v3.232.0, go/common/resource/sig; pkg/v3, backend/display/json.go
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a name
_SECRET = "[secret]"  # noqa: S105 - a name


class Deployment(BaseModel):
    """A state: `digest` binds all of it; the rest says what changed since.

    `resources` has a short digest of each resource by its URN, `machines` the full names of the cluster's, `pending` the
    URNs of the operations whose end the engine did not see.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    digest: str
    machines: tuple[str, ...]
    resources: dict[str, str]
    pending: tuple[str, ...]


def read(exported: Mapping[str, Any]) -> Deployment:
    """The state of what `pulumi stack export` printed, parsed."""
    deployment = exported.get("deployment") or {}
    resources = deployment.get("resources") or []
    pending = deployment.get("pending_operations") or []
    by_urn: dict[str, list[Any]] = {}
    for resource in resources:
        # What is replaced and not yet deleted is there twice.
        by_urn.setdefault(resource["urn"], []).append(resource)
    return Deployment(
        digest=digest({"resources": resources, "pending_operations": pending}),
        machines=tuple(sorted(name_of(urn) for urn in by_urn if type_of(urn) == NODE)),
        resources={urn: digest(states)[:SHORT] for urn, states in sorted(by_urn.items())},
        pending=tuple(sorted(one["resource"]["urn"] for one in pending)),
    )


def digest(value: object) -> str:
    """SHA-256 of the value as canonical JSON: keys in order, no blanks."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def name_of(urn: str) -> str:
    """The logical name, the last part of a URN."""
    return urn.rpartition("::")[2]


def type_of(urn: str) -> str:
    """The type without those of its parents."""
    return urn.split("::")[2].rpartition("$")[2]


def difference(then: Deployment, now: Deployment) -> str:
    """What changed since, in one line: machines by their names, and what else there is; "" where nothing did."""
    if then.digest == now.digest:
        return ""
    told = [f"{name} is new" for name in _less(now.machines, then.machines)]
    told += [f"{name} is gone" for name in _less(then.machines, now.machines)]
    machines = {*then.machines, *now.machines}

    def others(urns: Iterable[str]) -> list[str]:
        # What belongs to a machine that came or went goes without saying.
        moved = set(then.machines) ^ set(now.machines)
        return [name for urn in urns if machine_of(name := name_of(urn), machines) not in moved and name]

    told += _counted(others(_less(now.resources, then.resources)), "is new", "are new")
    told += _counted(others(_less(then.resources, now.resources)), "is gone", "are gone")
    both = [urn for urn in then.resources if now.resources.get(urn, then.resources[urn]) != then.resources[urn]]
    told += _counted([name_of(urn) for urn in both], "is changed", "are changed")
    told += _counted([name_of(urn) for urn in _less(now.pending, then.pending)], "is half done", "are half done")
    told += _counted([name_of(urn) for urn in _less(then.pending, now.pending)], *["no longer half done"] * 2)
    return ", ".join(told) or "the same resources in another order"


def machine_of(name: str, machines: Iterable[str]) -> str | None:
    """The machine that a resource of this name belongs to, by the name's beginning; None where it is nobody's."""
    found = [machine for machine in machines if name == machine or name.startswith(f"{machine}-")]
    return max(found, key=len, default=None)


def disagreement(preview: Mapping[str, Any], exported: Mapping[str, Any]) -> str:
    """The first resource of which the preview saw another state than what was exported, and how; "" where there is none.

    Compared is what both tell: which resources there are, their IDs, and what of their inputs and outputs is no secret.
    `preview` is the parsed output of `pulumi preview --json --show-sames`.
    """
    resources = (exported.get("deployment") or {}).get("resources") or []
    # What is to be deleted is not among what the preview compares with, and default providers are not shown.
    there = {one["urn"]: one for one in resources if not one.get("delete")}
    seen = {step["urn"]: step["oldState"] for step in preview.get("steps") or [] if step.get("oldState")}
    for urn, old in seen.items():
        if old.get("delete"):
            continue
        if urn not in there:
            return f"{name_of(urn)} is gone"
        for part in ("id", "inputs", "outputs"):
            if not _alike(old.get(part), there[urn].get(part)):
                return f"{name_of(urn)} has other {part}"
    failed = any(note.get("severity") == "error" for note in preview.get("diagnostics") or [])
    if failed:  # then it is cut short
        return ""
    missing = [urn for urn in there if urn not in seen and not type_of(urn).startswith("pulumi:providers:")]
    return f"{name_of(missing[0])} is new" if missing else ""


def _alike(shown: object, stored: object) -> bool:
    if shown == _SECRET:
        return True
    if isinstance(stored, Mapping):
        if stored.get(_SIGNATURE) == _SECRET_SIGNATURE:
            return True
        if not isinstance(shown, Mapping):
            return False
        return shown.keys() == stored.keys() and all(_alike(shown[key], stored[key]) for key in stored)
    if isinstance(stored, list):
        if not isinstance(shown, list):
            return False
        return len(shown) == len(stored) and all(map(_alike, shown, stored))
    return (shown or None) == (stored or None)


def _less(these: Iterable[str], those: Iterable[str]) -> list[str]:
    without = set(those)
    return [one for one in these if one not in without]


def _counted(names: Sequence[str], one: str, more: str) -> list[str]:
    if not names:
        return []
    listed = ", ".join(names) if len(names) <= NAMED else f"{len(names)} resources"
    return [f"{listed} {one if len(names) == 1 else more}"]
