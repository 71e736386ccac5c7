"""Which inputs changed, and what the change asks of the engine.

Source: pulumi-terraform-bridge `pkg/tfbridge/provider.go` (Diff), `schema.go` (nameRequiresDeleteBeforeReplace); what
counts as a change is Terraform's: stored outputs against inputs (terraform-plugin-sdk `helper/schema/schema.go`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.changes import Kind as Change_
from lab.plugins.protocol.values import Properties, Value, bare

from .fields import DEFAULTS, Field, canonical, completed, contains_unknown, differing, stored
from .kind import Kind

Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Change:
    """One changed property."""

    path: Path
    kind: Change_
    replaces: bool

    @property
    def text(self) -> str:
        """The path as the engine shows it: `inboundRules[0].portRange`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text


@dataclass(frozen=True)
class Diff:
    """All changes; with `deletes_first` the old one has to go before the new one of the same name can come."""

    changes: list[Change]
    deletes_first: bool


def diff(kind: Kind, state: Properties, new: Properties, ignored: Sequence[str]) -> Diff:
    """The difference between stored outputs and checked inputs. Raises PluginError for one that cannot be."""
    inputs: Properties = {name: bare(value) for name, value in new.items()}
    old: Properties = {name: bare(value) for name, value in state.items()}
    changes = [
        change
        for name, field in kind.inputs.items()
        if name not in ignored
        for change in _of_property(name, field, old.get(name), inputs)
    ]
    known = {name: value for name, value in inputs.items() if not contains_unknown(value) and name not in ignored}
    if why := kind.forbids(old, known):
        raise PluginError(why)
    replaced = any(change.replaces for change in changes)
    named = kind.auto_name and "name" not in (new.get(DEFAULTS) or [])
    return Diff(changes, deletes_first=replaced and named)


def _of_property(name: str, field: Field, old: Value, inputs: Properties) -> list[Change]:
    given = inputs.get(name)
    if given is None and field.computed:
        return []
    new = completed(field, old, stored(field, given))
    if not contains_unknown(new):
        if canonical(field, old) == canonical(field, new):
            return []
        if field.same is not None and field.same(old, new, inputs):
            return []
    replaces = field.replaces or (field.replaces_if is not None and field.replaces_if(old, new))
    return [
        Change((name, *path), _kind_of_change(before, after), replaces)
        for path, before, after in differing(field, old, new)
    ]


def _kind_of_change(before: Value, after: Value) -> Change_:
    if before is None:
        return Change_.ADD
    return Change_.DELETE if after is None else Change_.UPDATE
