"""A preview's steps as resources that change, one for each URN, and how to read their states without a secret.

Source of the format: pulumi/pulumi, pkg/display/json.go (PreviewDigest) and sdk/go/common/apitype (ResourceV3).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from seedbed.review.words import SECRET

State = Mapping[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What stands for a value that is known when others are made. Source: pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go."""

EVENT = r"-[0-9a-f]{8}$"
"""Behind the name of a step of the seed: the event that it runs for (components/seed/seed.py)."""

COMMANDS = ("command:remote:Command", "command:remote:CopyToRemote")
MEMBER, HOLDER, JOIN = "-member", "-holder", "-k3s"
"""Behind the names of what remembers a machine, what remembers where a volume is, and the step by which a machine joins."""

CLOUD = "digitalocean:index/"
STASH = "pulumi:index:Stash"


class Change(StrEnum):
    """What becomes of a resource."""

    SAME = "same"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    OTHER = "other"
    """Something that a preview of this program never plans; it is shown by the engine's word."""


_CHANGES = {
    "same": Change.SAME,
    "read": Change.SAME,
    "refresh": Change.SAME,
    "create": Change.CREATE,
    "import": Change.CREATE,
    "update": Change.UPDATE,
    "replace": Change.REPLACE,
    "create-replacement": Change.REPLACE,
    "delete-replaced": Change.REPLACE,
    "delete": Change.DELETE,
}


@dataclass(frozen=True)
class Resource:
    """One resource; `old` and `new` are its states before and after, None where there is none.

    `fields` are the names of the inputs that differ, and `op` is the engine's own word.
    """

    urn: str
    change: Change
    op: str
    old: State | None
    new: State | None
    fields: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its logical name."""
        return name_of(self.urn)

    @property
    def type(self) -> str:
        """Its type, without those of its parents."""
        return type_of(self.urn)

    @property
    def kind(self) -> str:
        """The type's last word: `Droplet`, `Command`."""
        return self.type.rpartition(":")[2]

    @property
    def state(self) -> State:
        """What it is, or was."""
        return self.new or self.old or {}

    @property
    def component(self) -> bool:
        """Whether it is only a parent of others."""
        return self.type.startswith("seedbed:") or self.type == "pulumi:pulumi:Stack"

    @property
    def removed(self) -> bool:
        """Whether what is there now is not there afterwards."""
        return self.change in (Change.DELETE, Change.REPLACE, Change.OTHER)

    def old_input(self, *path: str) -> Any:  # noqa: ANN401 (JSON)
        """An input before; None where there is none, or it is secret or not known."""
        return value(self.old, "inputs", *path)

    def new_input(self, *path: str) -> Any:  # noqa: ANN401 (JSON)
        """An input after, likewise."""
        return value(self.new, "inputs", *path)


def read(steps: Iterable[Mapping[str, Any]]) -> list[Resource]:
    """The resources of the steps, in the order in which the engine comes to them first."""
    found: dict[str, Resource] = {}
    for step in steps:
        urn, op = str(step["urn"]), str(step["op"])
        old, new = step.get("oldState"), step.get("newState")
        fields = _fields(step)
        change = _CHANGES.get(op, Change.OTHER)
        before = found.get(urn)
        if before is not None:
            # The parts of a replacement, or what an interrupted one left beside the resource.
            change = change if before.change in (Change.SAME, change) else Change.REPLACE
            old, new = before.old or old, new or before.new
            fields = tuple(dict.fromkeys((*before.fields, *fields)))
        found[urn] = Resource(urn, change, op, old, new, fields)
    return list(found.values())


def name_of(urn: str) -> str:
    """The logical name in a URN."""
    return urn.split("::", 3)[-1]


def type_of(urn: str) -> str:
    """The type in a URN, without those of parents."""
    parts = urn.split("::", 3)
    return parts[2].rpartition("$")[2] if len(parts) == 4 else ""


def value(state: State | None, *path: str) -> Any:  # noqa: ANN401 (JSON)
    """What is at a path of a state; None where there is nothing, or anything secret or not known in it."""
    found: Any = state
    for key in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return None if holds(found, SECRET) or holds(found, UNKNOWN) else found


def holds(found: object, text: str) -> bool:
    """Whether the text is anywhere in a value."""
    if isinstance(found, Mapping):
        return any(holds(part, text) for part in found.values())
    if isinstance(found, list):
        return any(holds(part, text) for part in found)
    return isinstance(found, str) and text in found


def follows(resource: Resource) -> bool:
    """Whether all that differs of it is known when others are made, so that nothing can be said of it now."""
    inputs = (resource.new or {}).get("inputs") or {}
    return bool(resource.fields) and all(holds(inputs.get(field), UNKNOWN) for field in resource.fields)


def _fields(step: Mapping[str, Any]) -> tuple[str, ...]:
    if step.get("diffReasons"):
        return tuple(map(str, step["diffReasons"]))
    paths = step.get("detailedDiff") or {}
    return tuple(dict.fromkeys(path.partition(".")[0].partition("[")[0] for path in paths))
