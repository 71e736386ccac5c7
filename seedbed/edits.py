"""Edits of a stack's yaml as a person makes them: a machine's values and the list `retire`, and nothing else of the text.

The places come from the parser, not from patterns, and the result is read again: where anything else would have changed,
nothing does.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from stacks.model import PROJECT

MACHINES, POOLS, RETIRE = f"{PROJECT}:machines", f"{PROJECT}:pools", f"{PROJECT}:retire"

Value = str | int


class CannotEditError(Exception):
    """The text is written in a way that is left to its author; the message says which."""


@dataclass(frozen=True)
class _Change:
    """`text` in the place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


def edited(text: str, machine: str | None, values: Mapping[str, Value], retire: Sequence[str]) -> str:
    """The yaml's text with these values of the machine, by their keys, and this list of who may leave.

    Comments and order stay. Raises CannotEditError.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise CannotEditError(" ".join(str(error).split())) from None
    config = _below(root, "config")
    if config is None:
        raise CannotEditError("it has no map `config`")
    changes: list[_Change] = []
    if machine is not None:
        node = _machine(config, machine)
        changes += [_scalar(text, node, key, value) for key, value in values.items()]
    changes += _list(text, config, list(retire))
    new, rest = "", 0
    for change in sorted(changes, key=lambda change: change.start):
        new += text[rest : change.start] + change.text
        rest = change.end
    new += text[rest:]
    if _read(new) != _expected(text, machine, values, retire):
        raise CannotEditError("something else would change with it, as where two machines share an anchor")
    return new


def difference(old: str, new: str, name: str) -> list[str]:
    """What an edit changes, as `diff -u` shows it."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), name, name, lineterm="")
    return [line.rstrip() for line in lines]


def _read(text: str) -> dict[str, Any]:
    # Through JSON: of what is shared by an anchor each place has its own.
    found: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(text), default=str))
    if not found["config"].get(RETIRE):
        found["config"].pop(RETIRE, None)
    return found


def _expected(text: str, machine: str | None, values: Mapping[str, Value], retire: Sequence[str]) -> dict[str, Any]:
    found = _read(text)
    config = found["config"]
    config.pop(RETIRE, None)
    if retire:
        config[RETIRE] = list(retire)
    if machine is not None:
        places = [config.get(MACHINES), *(pool.get("machines") for pool in (config.get(POOLS) or {}).values())]
        (place,) = [place for place in places if place and machine in place]
        place[machine] |= values
    return found


def _machine(config: MappingNode, name: str) -> MappingNode:
    pools = _below(config, POOLS)
    sections = [_below(config, MACHINES), *(_below(pool, "machines") for _, pool in (pools.value if pools else []))]
    found = [node for section in sections if section is not None and (node := _below(section, name)) is not None]
    if len(found) != 1:
        raise CannotEditError(f"it has no map of its own for {name}")
    return found[0]


def _pair(node: Node | None, key: str) -> tuple[Node, Node] | None:
    if not isinstance(node, MappingNode):
        return None
    return next(((k, v) for k, v in node.value if isinstance(k, ScalarNode) and k.value == key), None)


def _below(node: Node | None, key: str) -> MappingNode | None:
    pair = _pair(node, key)
    return pair[1] if pair is not None and isinstance(pair[1], MappingNode) else None


def _scalar(text: str, node: MappingNode, key: str, value: Value) -> _Change:
    """One value of a map, in its place, or as a new entry."""
    pair = _pair(node, key)
    if pair is not None:
        old = pair[1]
        if not isinstance(old, ScalarNode) or old.start_mark.line != old.end_mark.line:
            raise CannotEditError(f"{key} is not on one line")
        gap = " " if old.start_mark.index == pair[0].end_mark.index + 1 else ""
        return _Change(old.start_mark.index, old.end_mark.index, f"{gap}{value}")
    if node.flow_style:
        if not node.value:
            start = node.start_mark.index + 1
            return _Change(start, start, f"{key}: {value}")
        end = _end(node.value[-1][1])
        return _Change(end, end, f", {key}: {value}")
    after = _pair(node, "address") or _pair(node, "role") or node.value[0]
    return _line(text, _end(after[1]), after[0].start_mark.column, f"{key}: {value}")


def _list(text: str, config: MappingNode, new: list[str]) -> Iterator[_Change]:
    """The list `retire`: as it is written, or as a new line behind the machines."""
    pair = _pair(config, RETIRE)
    flow = f"[{', '.join(new)}]"
    if pair is None:
        machines = _pair(config, MACHINES) or _pair(config, POOLS)
        if machines is None or config.flow_style:
            raise CannotEditError("its settings are not one below the other")
        if new:
            yield _line(text, _end(machines[1]), machines[0].start_mark.column, f"{RETIRE}: {flow}")
        return
    key, node = pair
    if isinstance(node, ScalarNode) and not node.value:
        if new:
            yield _Change(key.end_mark.index + 1, node.end_mark.index, f" {flow}")
        return
    if not isinstance(node, SequenceNode) or not all(isinstance(item, ScalarNode) for item in node.value):
        raise CannotEditError(f"{RETIRE} is no list of names")
    if [item.value for item in node.value] == new:
        return
    start, end = node.start_mark.index, _end(node)
    line = _start_of_line(text, key.start_mark.index)
    if not new and "#" not in text[line : _end_of_line(text, end)]:
        yield _Change(line, min(_end_of_line(text, end) + len(_newline(text)), len(text)), "")
    elif node.flow_style:
        if "#" in text[start:end]:
            raise CannotEditError(f"{RETIRE} has comments inside")
        yield _Change(start, end, flow)
    else:
        yield _items(text, node, new)


def _items(text: str, node: SequenceNode, new: list[str]) -> _Change:
    """A list with a line for each: those of the names that stay are kept, with what is written beside and between them."""
    old = [item.value for item in node.value]
    stay = [name for name in old if name in new]
    if not new or new[: len(stay)] != stay:
        raise CannotEditError(f"{RETIRE} has comments inside")
    first = node.value[0].start_mark
    start, end = _start_of_line(text, first.index), _end_of_line(text, _end(node.value[-1]))
    gone = {item.start_mark.line - first.line for item in node.value if item.value not in new}
    kept = [line for i, line in enumerate(text[start:end].splitlines()) if i not in gone]
    indent = " " * node.start_mark.column
    return _Change(start, end, _newline(text).join([*kept, *(f"{indent}- {name}" for name in new[len(stay) :])]))


def _line(text: str, after: int, column: int, content: str) -> _Change:
    """A line of its own below the one that the character `after` is in."""
    end = _end_of_line(text, after)
    return _Change(end, end, f"{_newline(text)}{' ' * column}{content}")


def _end(node: Node) -> int:
    """Behind the last character of a value. The parser has the end of a block at the beginning of what follows it."""
    if isinstance(node, CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last)
    return int(node.end_mark.index)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _start_of_line(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _end_of_line(text: str, index: int) -> int:
    found = text.find(_newline(text), index)
    return len(text) if found < 0 else found
