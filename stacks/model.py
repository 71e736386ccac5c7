"""What the sections of a stack's settings have in common."""

import difflib
from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from stacks.files import PROJECT as PROJECT


class Model(BaseModel):
    """A section or a part of one: keys in camel case, unknown ones refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


_M = TypeVar("_M", bound=Model)


def validate(model: type[_M], value: object, path: str, problems: list[str]) -> _M | None:
    """The section at `path`; None where it cannot be read, with a line for every reason added to `problems`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            where = ".".join([path, *map(str, detail["loc"])])
            if detail["type"] == "extra_forbidden":
                parent, _, key = where.rpartition(".")
                problems.append(f"{parent}.{key}: {unknown(key, _keys_at(model, detail['loc'][:-1]))}")
            elif detail["type"] == "missing":
                problems.append(f"{where}: missing")
            elif path == f"{PROJECT}:cluster" and detail["loc"] == ("init",):
                problems.append(f"{where}: must be the full name of exactly one server, such as server-a-1")
            elif detail["type"] == "model_type":
                problems.append(
                    f"{where}: should be a map, `{{}}` where there is nothing to say, not {detail['input']!r}"
                )
            else:
                problems.append(f"{where}: {_plain(detail['msg'])}, not {detail['input']!r}")
        return None


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that is not one of those known."""
    return f"unknown key; {nearest(key, known)}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f'did you mean "{near[0]}"?' if near else f"there are {', '.join(choices)}"


def _keys_at(model: type[Model], loc: tuple[int | str, ...]) -> set[str]:
    """The keys of the part of `model` that `loc` leads to, through maps of models and models in models."""
    for part in loc:
        field = next((f for name, f in model.model_fields.items() if part in (f.alias, name)), None)
        if field is not None:
            inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
            model = next((i for i in inner if isinstance(i, type) and issubclass(i, Model)), model)
    return {field.alias or name for name, field in model.model_fields.items()}


def _plain(message: str) -> str:
    message = message.removeprefix("Input ").removeprefix("Value error, ")
    return message[0].lower() + message[1:]
