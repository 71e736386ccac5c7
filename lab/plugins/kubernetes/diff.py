"""Which inputs changed, and what the change asks of the engine. Source: Diff in provider.go, provider/diff.go.

The new inputs are compared with the live object of the stored outputs, cut to the shape of the old inputs: what others
changed in it is known after a refresh, what the server added is not seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lab.plugins.protocol.changes import Kind
from lab.plugins.protocol.values import Properties, Value, equal, is_unknown

from . import objects
from .objects import Object
from .settings import Settings

Path: TypeAlias = tuple[str | int, ...]

_IDENTITY: tuple[Path, ...] = (("metadata", "name"), ("metadata", "namespace"))
_REPLACING: dict[tuple[str, str], tuple[Path, ...]] = {
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("storage.k8s.io", "StorageClass"): (("parameters",), ("provisioner",)),
    ("policy", "PodDisruptionBudget"): (("spec",),),
}


@dataclass(frozen=True)
class Change:
    """One changed property."""

    path: Path
    kind: Kind
    replaces: bool

    @property
    def text(self) -> str:
        """The path as the engine shows it: `metadata.labels["app.kubernetes.io/name"]`, `spec.rules[0]`."""
        text = ""
        for part in self.path:
            if isinstance(part, int):
                text += f"[{part}]"
            elif any(character in part for character in '."[]'):
                text += '["' + part.replace('"', '\\"') + '"]'
            else:
                text += f".{part}" if text else part
        return text


@dataclass(frozen=True)
class Diff:
    """All changes; with `deletes_first` the old object has to go before the new one of the same name can come."""

    changes: list[Change]
    deletes_first: bool


def diff(state: Properties, new: Properties, ignored: Sequence[str], settings: Settings) -> Diff:
    """The difference between stored outputs and checked inputs."""
    old, item, live = sides(state, new)
    replacing = _replacing(item, settings)
    skipped = [parse_path(path) for path in ignored]
    changes = [
        Change(path, kind, _replaces(path, kind, value, replacing))
        for path, kind, value in _compare((), old, item)
        if not any(_contains(one, path) for one in skipped)
    ]
    deletes_first = (
        any(change.replaces for change in changes)
        and objects.name_of(item) == objects.name_of(live)
        and objects.namespace_of(item) == objects.namespace_of(live)
        and objects.annotation(item, "autonamed") != "true"
    )
    return Diff(changes, deletes_first)


def sides(state: Properties, new: Properties) -> tuple[Object, Object, Object]:
    """What is compared: the live object in the shape of the old inputs, the new inputs; and the whole live object."""
    inputs, live = objects.from_checkpoint(state)
    item = objects.normalized(objects.from_properties(new))
    old: Object = objects.pruned(live, objects.normalized(inputs))
    # A kind that is not built in may turn out to have no namespaces.
    somewhere = bool(objects.namespace_of(live)) or not objects.metadata(live).get("uid")
    for one in (old, item):
        one["metadata"] = {**one["metadata"]} if isinstance(one.get("metadata"), dict) else {}
        if objects.kind_of(item).namespaced and somewhere:
            one["metadata"].setdefault("namespace", "default")
        else:
            one["metadata"].pop("namespace", None)
    if objects.name_of(item):
        old["metadata"]["name"] = objects.name_of(live)
    return old, item, live


def merged(live: Value, old: Value, new: Value) -> Value:
    """The live value with the difference between the inputs put into it: what a preview expects of an update."""
    if not (isinstance(live, dict) and isinstance(old, dict) and isinstance(new, dict)):
        return new
    result = {key: value for key, value in live.items() if key in new or key not in old}
    for key, value in new.items():
        if key not in old or not equal(old[key], value):
            result[key] = merged(live.get(key), old.get(key), value)
    return result


def _compare(path: Path, old: Value, new: Value) -> Iterator[tuple[Path, Kind, Value]]:
    if equal(old, new):
        return
    if old is None:
        yield path, Kind.ADD, new
    elif new is None:
        yield path, Kind.DELETE, None
    elif is_unknown(new):
        yield path, Kind.UPDATE, new
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            pair = (items[index] if index < len(items) else None for items in (old, new))
            yield from _compare((*path, index), *pair)
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _compare((*path, key), old.get(key), new.get(key))
    else:
        yield path, Kind.UPDATE, new


def _replacing(item: Object, settings: Settings) -> tuple[Path, ...]:
    """The fields whose change replaces the object: who it is, and what the API or the plugin takes for unchangeable."""
    kind = objects.kind_of(item)
    frozen = item.get("immutable") is True
    if (kind.group, kind.name) == ("", "Secret"):
        fixed: tuple[Path, ...] = (("type",),)
        if frozen or not settings.secrets_mutable:
            fixed = (("type",), ("stringData",), ("data",))
    elif (kind.group, kind.name) == ("", "ConfigMap"):
        fixed = (("binaryData",), ("data",)) if frozen or not settings.config_maps_mutable else ()
    else:
        fixed = _REPLACING.get((kind.group, kind.name), ())
    return _IDENTITY + fixed


def _replaces(path: Path, kind: Kind, value: Value, replacing: Sequence[Path]) -> bool:
    if path == ("metadata",) and kind is Kind.DELETE:
        return True
    return any(path[: len(fixed)] == fixed or _reaches(path, value, fixed) for fixed in replacing)


def _reaches(path: Path, value: Value, fixed: Path) -> bool:
    """Whether the changed value, at a path above the fixed one, has the fixed field in it."""
    if fixed[: len(path)] != path:
        return False
    for part in fixed[len(path) :]:
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def parse_path(text: str) -> Path:
    """A property path as `ignoreChanges` has it: `spec`, `metadata.labels["a.b"]`, `spec.rules[0]`, `*`."""
    parts: list[str | int] = []
    rest = text
    while rest:
        if rest.startswith('["'):
            end = rest.find('"]', 2)
            end = len(rest) if end < 0 else end
            parts.append(rest[2:end].replace('\\"', '"'))
            rest = rest[end + 2 :]
        elif rest.startswith("["):
            inner, _, rest = rest[1:].partition("]")
            parts.append(int(inner) if inner.isdigit() else inner)
        else:
            rest = rest.removeprefix(".")
            end = min((place for place in (rest.find("."), rest.find("[")) if place >= 0), default=len(rest))
            parts.append(rest[:end])
            rest = rest[end:]
    return tuple(parts)


def _contains(outer: Path, path: Path) -> bool:
    return len(outer) <= len(path) and all(one in ("*", other) for one, other in zip(outer, path, strict=False))
