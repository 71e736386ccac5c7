"""`pulumi.com/waitFor`: what an object has to show before it counts as made.

Source: metadata/overrides.go (ReadyCondition), await/condition/{jsonpath,custom}.go, whose language is that of
`kubectl wait --for`.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Value

from . import objects
from .objects import Object

_STEP = re.compile(r"""\.(?P<name>(?:[\w/-]|\\.)+)|\[(?P<index>-?\d+|\*)\]|\['(?P<quoted>[^']*)'\]|\.(?P<all>\*)""")


@dataclass(frozen=True)
class Condition:
    """One expression of the annotation; `text` as it was written, `value` None where anything will do."""

    text: str
    path: Sequence[str | int | None]
    value: str | None

    def met(self, live: Object) -> bool:
        """Whether the object shows it."""
        found = [value for value in _walk([live], self.path) if value not in ("", None, [], {})]
        if self.value is None:
            return bool(found)
        return len(found) == 1 and _text(found[0]) == self.value


@dataclass(frozen=True)
class StatusCondition(Condition):
    """An entry of `status.conditions`: its type (whatever its case) and the status that it must have."""

    type: str

    def met(self, live: Object) -> bool:
        """Whether the object has the condition, and not an outdated one."""
        for entry in (live.get("status") or {}).get("conditions") or []:
            if str(entry.get("type", "")).lower() == self.type.lower():
                observed = entry.get("observedGeneration")
                outdated = observed is not None and observed < objects.metadata(live).get("generation", 0)
                return not outdated and str(entry.get("status", "")).lower() == str(self.value).lower()
        return False


def conditions(item: Object) -> list[Condition]:
    """What the object's annotation asks for: nothing, one expression, or a JSON list of them.

    Raises PluginError for an expression that cannot be read.
    """
    if objects.annotation(item, "skipAwait") == "true" or not (given := objects.annotation(item, "waitFor")):
        return []
    try:
        expressions = json.loads(given)
    except ValueError:
        expressions = None
    if not (isinstance(expressions, list) and all(isinstance(one, str) for one in expressions)):
        expressions = [given]
    if not expressions:
        raise PluginError("at least one condition must be specified")
    return [_parsed(expression) for expression in expressions]


def _parsed(expression: str) -> Condition:
    form, _, rest = expression.partition("=")
    if form == "condition":
        name, _, status = rest.partition("=")
        return StatusCondition(expression, (), status or "True", name)
    if form != "jsonpath":
        raise PluginError(f'expected a "jsonpath=" or "condition=" prefix, got "{expression}"')
    match = re.fullmatch(r"\{(?P<path>.*)\}(?:=(?P<value>.*))?", rest, re.DOTALL)
    steps: list[str | int | None] = []
    place, path = 0, match["path"] if match else ""
    while match and (step := _STEP.match(path, place)):
        place = step.end()
        if step["name"] or step["quoted"]:
            steps.append(re.sub(r"\\(.)", r"\1", step["name"]) if step["name"] else step["quoted"])
        else:
            steps.append(None if step["all"] or step["index"] == "*" else int(step["index"]))
    if not steps or place < len(path):
        raise PluginError(
            f"cannot read the JSONPath expression of {expression!r}: the drop-in knows {{.a.b[0]['c'][*]}}"
        )
    return Condition(expression, tuple(steps), match["value"] if match else None)


def _walk(found: list[Any], path: Sequence[str | int | None]) -> list[Any]:
    for step in path:
        following: list[Any] = []
        for value in found:
            if step is None:
                following += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
            elif isinstance(step, int):
                following += value[step:][:1] if isinstance(value, list) else []
            elif isinstance(value, dict) and step in value:
                following.append(value[step])
        found = following
    return found


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
