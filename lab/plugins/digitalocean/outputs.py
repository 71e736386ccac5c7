"""Outputs as the state holds them, and what a preview knows of them."""

import json
from collections.abc import Iterable

from lab.plugins.protocol.values import SIGNATURE, UNKNOWN, Properties, Value, bare, is_secret, secret

from .fields import DEFAULTS, Field, canonical, stored
from .kind import Kind

META = "__meta"
"""Where the bridge keeps the version of the official schema (pulumi-terraform-bridge `pkg/tfbridge/schema.go`)."""


def of_inputs(kind: Kind, inputs: Properties) -> Properties:
    """What the state holds of the inputs, bare."""
    return {
        name: stored(field, inputs[name]) for name, field in kind.inputs.items() if bare(inputs.get(name)) is not None
    }


def merged(kind: Kind, kept: Properties, shown: Properties) -> Properties:
    """Bare outputs: what was kept, and what the API shows; a shown None is no more."""
    known = {**kept, **shown}
    found = {name: known[name] for name in (*kind.inputs, *kind.computed) if known.get(name) is not None}
    if kind.schema_version:
        found[META] = json.dumps({"schema_version": kind.schema_version}, separators=(",", ":"))
    return found


def marked(kind: Kind, outputs: Properties, *sources: Properties) -> Properties:
    """The outputs with those secret that are always so, or have something secret in a source under their name."""
    hidden = kind.hidden | {name for source in sources for name, value in source.items() if has_secret(value)}
    return {name: secret(value) if name in hidden else value for name, value in outputs.items()}


def has_secret(value: Value) -> bool:
    """Whether something in the value is secret."""
    if is_secret(value):
        return True
    if isinstance(value, dict):
        return any(has_secret(item) for key, item in value.items() if key != SIGNATURE)
    return isinstance(value, list) and any(has_secret(item) for item in value)


def foreseen(kind: Kind, inputs: Properties) -> Properties:
    """The outputs that a creation will have, as far as they are known before it."""
    unknown = [name for name, field in kind.inputs.items() if field.computed] + list(kind.computed)
    return marked(kind, {**dict.fromkeys(unknown, UNKNOWN), **of_inputs(kind, inputs)}, inputs)


def foreseen_after(kind: Kind, state: Properties, inputs: Properties) -> Properties:
    """The outputs that an update will have, as far as they are known before it."""
    old, new = bare(state), of_inputs(kind, inputs)
    gone = [name for name, field in kind.inputs.items() if not field.computed and name not in new]
    kept = {name: value for name, value in old.items() if name not in gone}
    renewed = dict.fromkeys(kind.renews(old, new), UNKNOWN)
    return marked(kind, {**kept, **new, **renewed}, state, inputs)


def inputs_after_read(kind: Kind, inputs: Properties, outputs: Properties) -> Properties:
    """The inputs that would have led to what the API shows; where that is the same, as they were."""
    found: Properties = {DEFAULTS: inputs.get(DEFAULTS, [])}
    for name, value in inputs.items():
        field = kind.inputs.get(name)
        if field is None or name not in outputs or _is_same(field, outputs[name], value, inputs):
            found[name] = value
        else:
            found[name] = secret(outputs[name]) if has_secret(value) else outputs[name]
    return found


def _is_same(field: Field, shown: Value, value: Value, inputs: Properties) -> bool:
    said = stored(field, value)
    if canonical(field, shown) == canonical(field, said):
        return True
    return field.same is not None and field.same(shown, said, bare(inputs))


def importable(kind: Kind, outputs: Properties) -> Properties:
    """Outputs as inputs, for a resource that has none yet: what a program has to say to get the same."""
    found: Properties = {DEFAULTS: []}
    for name, field in kind.inputs.items():
        value = outputs.get(name)
        says_api = field.computed and not field.replaces
        if value is None or says_api or (canonical(field, value) is None and not _wanted(field)):
            continue
        found[name] = value
    return found


def _wanted(field: Field) -> bool:
    return field.required or field.default is not None


def names(changes: Iterable[str]) -> list[str]:
    """The properties of the paths, each once."""
    return sorted({path.partition(".")[0].partition("[")[0] for path in changes})
