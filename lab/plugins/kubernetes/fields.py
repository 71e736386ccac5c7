"""Who owns which fields of a live object (`metadata.managedFields`). Source: await/await.go and, for how entries are
put together, github.com/fluxcd/pkg/ssa `PatchReplaceFieldsManagers`, which it calls."""

from collections.abc import Sequence
from typing import Any

from lab.plugins.protocol.values import Value

from . import objects
from .diff import Path, parse_path
from .objects import Object

CREATOR = "pulumi-kubernetes"
"""The field manager of a plain create; the first update makes what it owns the resource's own manager's."""

_TAKEN_OVER = frozenset(
    {
        ("kubectl", "Apply"),
        ("kubectl", "Update"),
        ("before-first-apply", "Update"),
        (CREATOR, "Update"),
        ("pulumi-kubernetes.exe", "Update"),
        ("pulumi-resource-kubernetes", "Update"),
    }
)


def take_over(live: Object, manager: str) -> list[dict[str, Any]]:
    """The JSON patch that makes `manager` the owner of what was created, or applied by hand; empty if it is already."""
    entries = objects.metadata(live).get("managedFields") or []
    own = next((entry for entry in entries if (entry["manager"], entry["operation"]) == (manager, "Apply")), None)
    taken = [
        entry
        for entry in entries
        if (entry["manager"], entry["operation"]) in _TAKEN_OVER and not entry.get("subresource") and entry is not own
    ]
    if not taken:
        return []
    first = own or {**taken[0], "manager": manager, "operation": "Apply"}
    fields: dict[str, Any] = {}
    for entry in ([own] if own else []) + taken:
        fields = _united(fields, entry.get("fieldsV1") or {})
    kept = [entry for entry in entries if entry is not own and not any(entry is one for one in taken)]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [*kept, {**first, "fieldsV1": fields}]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ]


def _united(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {
        **one,
        **{key: _united(one[key], value) if key in one else value for key, value in other.items()},
    }


def without_ignored(inputs: Object, live: Object, manager: str, ignored: Sequence[str]) -> Object:
    """The inputs with every ignored field as it is on the server, or left out where others own it.

    handleSSAIgnoreFields: so an update neither changes such a field nor conflicts with its owner.
    """
    entries = objects.metadata(live).get("managedFields") or []
    mine = [entry.get("fieldsV1") or {} for entry in entries if entry["manager"] == manager]
    others = [entry.get("fieldsV1") or {} for entry in entries if entry["manager"] != manager]
    for path in map(parse_path, ignored):
        if any(_owns(fields, path) for fields in others) and not any(_owns(fields, path) for fields in mine):
            inputs = _replaced(inputs, path, None)
        elif (value := _at(live, path)) is not None:
            inputs = _replaced(inputs, path, value)
    return inputs


def _owns(fields: dict[str, Any], path: Path) -> bool:
    for part in path:
        if f"f:{part}" not in fields:
            return False
        fields = fields[f"f:{part}"]
    return True


def _at(value: Value, path: Path) -> Value:
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _replaced(value: Object, path: Path, new: Value) -> Object:
    key, *rest = path
    if not isinstance(key, str):
        return value
    if rest:
        inner = value.get(key)
        if not isinstance(inner, dict):
            if new is None or inner is not None:
                return value
            inner = {}
        return {**value, key: _replaced(inner, tuple(rest), new)}
    if new is None:
        return {one: item for one, item in value.items() if one != key}
    return {**value, key: new}
