"""Values as the engine sends them, and what counts as a change."""

import pytest

from lab.plugins.command.diff import Change, changes
from lab.plugins.protocol.changes import Kind
from lab.plugins.protocol.values import (
    ARCHIVE,
    ASSET,
    SIGNATURE,
    UNKNOWN,
    Properties,
    Value,
    bare,
    decode,
    encode,
    equal,
    is_unknown,
    secret,
)

NONE: frozenset[str] = frozenset()


def asset(digest: str, path: str = "a") -> Value:
    return {SIGNATURE: ASSET, "hash": digest, "path": path}


def archive(digest: str) -> Value:
    return {SIGNATURE: ARCHIVE, "hash": digest, "path": "a"}


def test_values_survive_the_way_to_the_engine_and_back() -> None:
    properties: Properties = {
        "text": "a",
        "number": 22.0,
        "flag": True,
        "nothing": None,
        "list": ["a", {"b": [1.0]}],
        "secret": secret({"key": "value"}),
        "asset": asset("1"),
    }
    assert decode(encode(properties)) == properties


def test_secret_markers_are_found_at_every_depth_and_set_once() -> None:
    assert bare(secret({"a": [secret("b")], "c": secret(secret("d"))})) == {"a": ["b"], "c": "d"}
    assert secret(secret("a")) == secret("a")


def test_only_the_markers_of_the_engine_are_unknown_values() -> None:
    assert is_unknown(UNKNOWN)
    assert not is_unknown("text")
    assert not is_unknown(None)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"a": [1.0, "b"]}, {"a": [1.0, "b"]}, True),
        ({"a": None}, {}, True),
        (["a"], ["a", "b"], False),
        (True, 1.0, False),
        ("1", 1.0, False),
        (secret("a"), secret("a"), True),
        (secret("a"), secret("b"), False),
        (secret("a"), "a", False),
        (asset("1", "here"), asset("1", "there"), True),
        (asset("1"), asset("2"), False),
        (asset("1"), archive("1"), False),
        (archive("1"), archive("1"), True),
        (asset("1"), {"hash": "1", "path": "a"}, False),
        (UNKNOWN, "a", False),
    ],
)
def test_equality_is_that_of_the_go_sdk(one: Value, other: Value, same: bool) -> None:
    assert equal(one, other) is same
    assert equal(other, one) is same


def test_every_changed_input_is_named_by_its_path() -> None:
    old = {"create": "a", "stdin": "a", "environment": {"ONE": "1", "a.b": "1", "TWO": "2"}, "triggers": ["a", "b"]}
    new = {"create": "a", "delete": "d", "environment": {"ONE": "1", "a.b": "2", "x": "3"}, "triggers": ["a"]}
    assert changes(old, new, frozenset({"triggers"})) == [
        Change("delete", Kind.ADD, replaces=False),
        Change("environment.TWO", Kind.DELETE, replaces=False),
        Change('environment["a.b"]', Kind.UPDATE, replaces=False),
        Change("environment.x", Kind.ADD, replaces=False),
        Change("stdin", Kind.DELETE, replaces=False),
        Change("triggers[1]", Kind.DELETE, replaces=True),
    ]


def test_a_secret_is_one_property_whatever_is_inside_it() -> None:
    (change,) = changes({"connection": secret({"host": "a"})}, {"connection": secret({"host": "b"})}, NONE)
    assert (change.path, change.property) == ("connection", "connection")


def test_other_content_of_an_asset_is_one_change() -> None:
    assert changes({"source": asset("1")}, {"source": asset("2")}, NONE) == [
        Change("source", Kind.UPDATE, replaces=False)
    ]
