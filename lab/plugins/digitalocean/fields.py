"""What the inputs of a resource are: their forms, defaults, and which of their changes replace the resource.

A field is what the Terraform schema says of an attribute (terraform-plugin-sdk `helper/schema/schema.go`), in Pulumi's
names and forms.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lab.plugins.protocol.values import Properties, Value, bare, is_unknown

DEFAULTS = "__defaults"
"""Names of the inputs that were filled in, kept in the inputs (pulumi-terraform-bridge `pkg/tfbridge/schema.go`)."""


class Form(StrEnum):
    """What an input may hold."""

    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "a boolean"
    LIST = "a list"
    SET = "a set"
    OBJECT = "an object"


@dataclass(frozen=True)
class Field:
    """One input.

    Args:
        form: of the value; `element` that of a list's or set's elements, `fields` those of an object.
        required: it must be there, and not be empty unless it `may_be_empty`.
        computed: the API says where the program does not; its absence is then no change.
        default: filled in where it is missing.
        replaces: another value makes another resource (ForceNew); with `replaces_if`, only where that is true of the
            stored old and new one.
        values: the strings that are allowed, if not all, in any case with `any_case`; `most` and `least` bound integers.
        pattern: what a string must match, and `form_says` how to say that.
        stored: what the state holds of a value (StateFunc).
        same: of (stored old, stored new, all new inputs): whether there is no difference (DiffSuppressFunc).
    """

    form: Form
    required: bool = False
    may_be_empty: bool = False
    computed: bool = False
    default: Value = None
    replaces: bool = False
    replaces_if: Callable[[Value, Value], bool] | None = None
    values: tuple[str, ...] = ()
    any_case: bool = False
    least: int | None = None
    most: int | None = None
    pattern: re.Pattern[str] | None = None
    form_says: str = ""
    element: "Field | None" = None
    fields: Mapping[str, "Field"] | None = None
    stored: Callable[[str], str] | None = None
    same: Callable[[Value, Value, Properties], bool] | None = None


def string(**settings: Value) -> Field:
    """A string."""
    return Field(Form.STRING, **settings)


def integer(**settings: Value) -> Field:
    """An integer; on the wire a number, and also a string of digits, as resource IDs are."""
    return Field(Form.INTEGER, **settings)


def boolean(**settings: Value) -> Field:
    """A boolean."""
    return Field(Form.BOOLEAN, **settings)


def list_of(element: Field, **settings: Value) -> Field:
    """A list, whose order counts."""
    return Field(Form.LIST, element=element, **settings)


def set_of(element: Field, **settings: Value) -> Field:
    """A list whose order does not count."""
    return Field(Form.SET, element=element, **settings)


def object_of(fields: Mapping[str, Field], **settings: Value) -> Field:
    """An object; in the official schema a list of at most one."""
    return Field(Form.OBJECT, fields=fields, **settings)


def stored(field: Field, value: Value) -> Value:
    """The value, without secret markers, as the state holds it."""
    value = bare(value)
    if value is None or is_unknown(value):
        return value
    if field.element is not None:
        return [stored(field.element, item) for item in value]
    if field.fields is not None:
        return {
            name: stored(field.fields[name], item)
            for name, item in value.items()
            if name in field.fields and item is not None
        }
    return field.stored(value) if field.stored is not None else value


def canonical(field: Field, value: Value) -> Value:
    """A form of a stored value in which what is the same for the schema is equal: zero values are absent."""
    value = bare(value)
    if is_unknown(value):
        return value
    if value in (None, "", False, 0, 0.0, [], {}):
        return None
    if field.element is not None:
        items = [canonical(field.element, item) for item in value]
        return sorted(items, key=repr) if field.form is Form.SET else items
    if field.fields is not None:
        found = {name: canonical(one, value.get(name)) for name, one in sorted(field.fields.items())}
        return {name: item for name, item in found.items() if item is not None} or None
    if field.any_case:
        return value.casefold()
    return float(value) if field.form is Form.INTEGER else value


def completed(field: Field, old: Value, new: Value) -> Value:
    """The new value with what the API said of it within the old one, where the program says nothing."""
    if isinstance(new, list) and isinstance(old, list) and field.form is Form.LIST and field.element is not None:
        element = field.element
        return [completed(element, old[index], item) if index < len(old) else item for index, item in enumerate(new)]
    if isinstance(new, dict) and isinstance(old, dict) and field.fields is not None:
        said = {
            name: completed(field.fields[name], old.get(name), item) if name in field.fields else item
            for name, item in new.items()
        }
        unsaid = {name: old[name] for name, one in field.fields.items() if one.computed and name in old}
        return {**unsaid, **said}
    return new


def filled(fields: Mapping[str, Field], old: Properties, new: Properties) -> Properties:
    """The inputs with what the API said, as the stored outputs have it, where the program says nothing."""
    unsaid = {name: old[name] for name, one in fields.items() if one.computed and old.get(name) is not None}
    return {**plain(unsaid), **new}


def contains_unknown(value: Value) -> bool:
    """Whether something in the value is not known yet."""
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return is_unknown(value)


def snake(name: str) -> str:
    """`dropletIds` as the API has it: `droplet_ids`."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def plain(value: Value) -> Value:
    """The value as the API wants it: without markers, whole numbers as such, nothing that is absent."""
    value = bare(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if item is not None and key != DEFAULTS}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def differing(field: Field, old: Value, new: Value) -> Iterator[tuple[tuple[str | int, ...], Value, Value]]:
    """The places at which two stored values differ, with what is there in either."""
    if canonical(field, old) == canonical(field, new) and not contains_unknown(new):
        return
    if isinstance(old, list) and isinstance(new, list) and field.element is not None:
        yield from _differing_items(field, old, new)
    elif isinstance(old, dict) and isinstance(new, dict) and field.fields is not None:
        for name, one in field.fields.items():
            for path, before, after in differing(one, old.get(name), new.get(name)):
                yield (name, *path), before, after
    else:
        yield (), old, new


def _differing_items(
    field: Field, old: list[Value], new: list[Value]
) -> Iterator[tuple[tuple[str | int, ...], Value, Value]]:
    assert field.element is not None  # noqa: S101 (the caller looked)
    if field.form is Form.LIST:
        for index in range(max(len(old), len(new))):
            before, after = (items[index] if index < len(items) else None for items in (old, new))
            for path, one, other in differing(field.element, before, after):
                yield (index, *path), one, other
        return
    here = [canonical(field.element, item) for item in old]
    there = [canonical(field.element, item) for item in new]
    for index, item in enumerate(old):
        if here[index] not in there:
            yield (index,), item, None
    for index, item in enumerate(new):
        if there[index] not in here or contains_unknown(item):
            yield (index,), None, item
