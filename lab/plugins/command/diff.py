"""Which inputs changed, and what the change asks of the engine: an update or a replacement."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lab.plugins.protocol.changes import Kind
from lab.plugins.protocol.values import Properties, Value, equal, is_archive, is_asset, is_secret

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$]*")


@dataclass(frozen=True)
class Change:
    """One changed property; `path` as in `environment.PATH` or `triggers[0]`."""

    path: str
    kind: Kind
    replaces: bool

    @property
    def property(self) -> str:
        """The input that the path begins with."""
        return re.split(r"[.\[]", self.path, maxsplit=1)[0]


def changes(old: Properties, new: Properties, replacing: frozenset[str]) -> list[Change]:
    """All differences between two sets of inputs.

    A secret is one property whatever is inside it: a path into it would say more than the engine masks
    (sdk/go/common/resource/properties_diff.go has no case for secrets either).
    """
    return [
        Change(path, kind, replaces=key in replacing)
        for key in sorted(old.keys() | new.keys())
        for path, kind in _compare(key, old.get(key), new.get(key))
    ]


def _compare(path: str, old: Value, new: Value) -> Iterator[tuple[str, Kind]]:
    if equal(old, new):
        return
    if old is None:
        yield path, Kind.ADD
    elif new is None:
        yield path, Kind.DELETE
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            pair = (items[index] if index < len(items) else None for items in (old, new))
            yield from _compare(f"{path}[{index}]", *pair)
    elif _is_object(old) and _is_object(new):
        for key in sorted(old.keys() | new.keys()):
            step = f".{key}" if _PLAIN_KEY.fullmatch(key) else '["' + key.replace('"', '\\"') + '"]'
            yield from _compare(path + step, old.get(key), new.get(key))
    else:
        yield path, Kind.UPDATE


def _is_object(value: Value) -> bool:
    return isinstance(value, dict) and not (is_secret(value) or is_asset(value) or is_archive(value))
