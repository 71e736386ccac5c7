"""What differs, and what that asks for."""

from typing import Any

import pytest

from lab.plugins.kubernetes import objects
from lab.plugins.kubernetes.diff import Diff, diff, merged, parse_path
from lab.plugins.kubernetes.settings import Settings
from lab.plugins.protocol.values import UNKNOWN


def item(kind: str = "Widget", api_version: str = "example.com/v1", **fields: Any) -> dict[str, Any]:
    metadata = {"name": "n", "namespace": "home", **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def compared(old: dict[str, Any], new: dict[str, Any], live: dict[str, Any] | None = None, **settings: Any) -> Diff:
    ignored = settings.pop("ignored", [])
    found = {"metadata": {}, **(live or old)}
    found["metadata"] = {**found["metadata"], "uid": "u"}
    state = objects.checkpoint(old, found, {}, "v1", "m")
    return diff(state, new, ignored, Settings(**settings))


def told(found: Diff) -> dict[str, str]:
    return {change.text: f"{change.kind}{' replaces' if change.replaces else ''}" for change in found.changes}


def test_nothing_differs_whatever_the_server_added() -> None:
    live = item(spec={"a": "b", "defaulted": True}, status={"x": 1.0}, metadata={"labels": {"theirs": "x"}})
    assert told(compared(item(spec={"a": "b"}), item(spec={"a": "b"}), live)) == {}


def test_what_others_changed_differs_from_what_is_wanted() -> None:
    same = item(spec={"a": "b"})
    assert told(compared(same, same, item(spec={"a": "theirs"}))) == {"spec.a": "UPDATE"}
    assert told(compared(same, same, item(spec={}))) == {"spec.a": "ADD"}


def test_changes_are_named_by_their_paths() -> None:
    old = item(spec={"a": 1.0, "gone": {"b": "c"}, "list": [1.0, {"x": "y"}], "type": "text"})
    new = item(spec={"a": 1.0, "come": {"d": "e"}, "list": [1.0, {"x": "z"}, 3.0], "type": ["list"], "a.b": UNKNOWN})
    assert told(compared(old, new)) == {
        'spec["a.b"]': "ADD",
        "spec.come": "ADD",
        "spec.gone": "DELETE",
        "spec.list[1].x": "UPDATE",
        "spec.list[2]": "ADD",
        "spec.type": "UPDATE",
    }


@pytest.mark.parametrize(
    ("kind", "settings", "fields", "replaced"),
    [
        ("ConfigMap", {}, {"data": {"a": "b"}}, True),
        ("ConfigMap", {"config_maps_mutable": True}, {"data": {"a": "b"}}, False),
        ("ConfigMap", {"config_maps_mutable": True}, {"data": {"a": "b"}, "immutable": True}, True),
        ("ConfigMap", {"secrets_mutable": True}, {"binaryData": {"a": "eA=="}}, True),
        ("Secret", {}, {"data": {"a": "eA=="}}, True),
        ("Secret", {"secrets_mutable": True}, {"data": {"a": "eA=="}}, False),
        ("Secret", {"secrets_mutable": True}, {"type": "seedbed/a"}, True),
        ("Namespace", {}, {"spec": {"a": "b"}}, False),
    ],
)
def test_some_fields_of_built_in_kinds_cannot_change(
    kind: str, settings: dict[str, Any], fields: dict[str, Any], replaced: bool
) -> None:
    found = compared(item(kind, "v1"), item(kind, "v1", **fields), **settings)
    assert any(change.replaces for change in found.changes) is replaced
    assert found.deletes_first is replaced


def test_another_name_is_another_object_that_may_come_first() -> None:
    found = compared(item(), item(metadata={"name": "other"}))
    assert told(found) == {"metadata.name": "UPDATE replaces"}
    assert not found.deletes_first


def test_automatically_named_objects_need_not_go_first() -> None:
    named = {"annotations": {"pulumi.com/autonamed": "true"}}
    old, new = (item("ConfigMap", "v1", data={"a": value}, metadata=named) for value in "ab")
    assert not compared(old, new).deletes_first


def test_no_namespace_is_the_default_one_and_none_where_the_kind_has_none() -> None:
    spoken, silent = item(), item()
    spoken["metadata"]["namespace"] = "default"
    del silent["metadata"]["namespace"]
    assert told(compared(spoken, silent)) == {}
    assert told(compared(spoken, spoken, silent)) == {}


def test_ignored_paths_do_not_differ() -> None:
    old = item(spec={"a": {"b": "c"}, "d": ["e"]})
    new = item(spec={"a": {"b": "x"}, "d": ["y"]})
    assert told(compared(old, new, ignored=["spec.a"])) == {"spec.d[0]": "UPDATE"}
    assert told(compared(old, new, ignored=['spec["a"].b', "spec.d[*]"])) == {}
    assert told(compared(old, new, ignored=["*"])) == {}


def test_property_paths_are_read_as_the_engine_writes_them() -> None:
    assert parse_path('metadata.labels["app.kubernetes.io/name"]') == ("metadata", "labels", "app.kubernetes.io/name")
    assert parse_path('a["b\\"c"][0][*].d') == ("a", 'b"c', 0, "*", "d")


def test_a_previewed_update_is_the_live_object_with_the_change() -> None:
    live = {"spec": {"a": "1", "gone": "x", "theirs": "y"}, "status": "s"}
    expected = {"spec": {"a": "2", "theirs": "y", "new": "z"}, "status": "s"}
    assert merged(live, {"spec": {"a": "1", "gone": "x"}}, {"spec": {"a": "2", "new": "z"}}) == expected
