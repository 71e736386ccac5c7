"""Inputs as they are stored: of the right forms, with defaults and names filled in, and what is wrong with them.

Source: pulumi-terraform-bridge `pkg/tfbridge/schema.go` (MakeTerraformInputs, applyDefaults), `names.go` (AutoName).
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from lab.plugins.protocol.values import SIGNATURE, Properties, Value, bare, is_secret, is_unknown

from .fields import DEFAULTS, Field, Form, plain
from .kind import Failure, Kind

GLOBAL = frozenset({"domains", "glbSettings", "targetLoadBalancerIds", "subnetUuid", "gpuPartitionMode", "corsRules"})
"""Official inputs that the drop-in does nothing with."""


@dataclass(frozen=True)
class Naming:
    """How the engine wants an automatic name: a proposal, none at all, or random digits that come from a seed."""

    seed: bytes = b""
    proposed: str = ""
    disabled: bool = False


def check(kind: Kind, name: str, old: Properties, new: Properties, naming: Naming) -> tuple[Properties, list[Failure]]:
    """The inputs of the resource with the logical name `name`, complete, and everything that is wrong with them."""
    failures: list[Failure] = []
    named = dict(new)
    filled: list[str] = []
    if kind.auto_name and named.get("name") is None:
        automatic = _automatic(name, old, naming)
        if automatic:
            named["name"] = automatic
            filled.append("name")
    checked = _object(kind.inputs, named, "", failures)
    checked[DEFAULTS] = sorted([*checked[DEFAULTS], *filled])
    if not failures:
        failures += kind.problems(plain(checked))
    return checked, [
        Failure(one.property, f"{one.reason}. Examine values at '{_place(name, one)}'") for one in failures
    ]


def _place(name: str, failure: Failure) -> str:
    return f"{name}.{failure.property}" if failure.property else name


def _automatic(name: str, old: Properties, naming: Naming) -> str:
    """The name that it has had, or a new one: the logical name and 7 random hexadecimal digits."""
    if "name" in (old.get(DEFAULTS) or []) and isinstance(before := bare(old.get("name")), str):
        return before
    if naming.disabled:
        return ""
    digits = hashlib.sha256(naming.seed).hexdigest()[:7] if naming.seed else secrets.token_hex(4)[:7]
    return naming.proposed or f"{name}-{digits}"


def _object(fields: Mapping[str, Field], given: Properties, path: str, failures: list[Failure]) -> Properties:
    checked: Properties = {}
    filled: list[str] = []
    for name, value in given.items():
        place = f"{path}{name}"
        if name == DEFAULTS or value is None:
            continue
        if name not in fields:
            known = "is not known to this drop-in" if name in GLOBAL else "is no input of this resource"
            failures.append(Failure(place, f"{name!r} {known}"))
        else:
            checked[name] = _value(fields[name], value, place, failures)
    for name, field in fields.items():
        if name in checked or f"{path}{name}" in {one.property for one in failures}:
            continue
        if field.default is not None:
            checked[name] = field.default
            filled.append(name)
        elif field.required:
            failures.append(Failure(f"{path}{name}", f"Missing required argument. The argument {name!r} is required"))
    checked[DEFAULTS] = sorted(filled)
    return checked


def _value(field: Field, value: Value, path: str, failures: list[Failure]) -> Value:
    if is_secret(value):
        return {**value, "value": _value(field, value.get("value"), path, failures)}
    if is_unknown(value) or value is None:
        return value
    converted = _converted(field.form, value)
    if converted is None:
        failures.append(Failure(path, f"expected {field.form}, got {_form(value)}"))
        return value
    if field.element is not None:
        return [_value(field.element, item, f"{path}[{index}]", failures) for index, item in enumerate(converted)]
    if field.fields is not None:
        return _object(field.fields, converted, f"{path}.", failures)
    if wrong := _wrong(field, converted):
        failures.append(Failure(path, wrong))
    return converted


def _converted(form: Form, value: Value) -> Value:
    """The value in the form, None if it has none: the bridge takes numbers for strings, and the other way round."""
    match form:
        case Form.STRING:
            if isinstance(value, bool):
                return str(value).lower()
            if isinstance(value, int | float):
                return f"{value:g}" if value != int(value) else str(int(value))
            return value if isinstance(value, str) else None
        case Form.INTEGER:
            if isinstance(value, str) and value.removeprefix("-").isdecimal():
                return float(value)
            whole = isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()
            return float(value) if whole else None
        case Form.BOOLEAN:
            if isinstance(value, str) and value in ("true", "false"):
                return value == "true"
            return value if isinstance(value, bool) else None
        case Form.LIST | Form.SET:
            return value if isinstance(value, list) else None
    return value if isinstance(value, dict) and SIGNATURE not in value else None


def _wrong(field: Field, value: Value) -> str:
    if field.form is Form.STRING:
        if not value and field.required and not field.may_be_empty:
            return "expected it not to be empty"
        if field.values and not _among(value, field):
            return f"expected one of {', '.join(field.values)}"
        if value and field.pattern is not None and not field.pattern.fullmatch(value):
            return f"may contain {field.form_says}"
    if field.form is Form.INTEGER:
        if field.least is not None and value < field.least:
            return f"expected at least {field.least}"
        if field.most is not None and value > field.most:
            return f"expected at most {field.most}"
    return ""


def _among(value: str, field: Field) -> bool:
    if field.any_case:
        return value.casefold() in {one.casefold() for one in field.values}
    return value in field.values


def _form(value: Value) -> str:
    names = {str: "a string", bool: "a boolean", float: "a number", int: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "nothing")
