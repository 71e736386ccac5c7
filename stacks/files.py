"""A stack's file as it stands there, and its error: what is needed of a stack before anything is made of it.

It imports next to nothing, so that the command line can have a preview begin at once.
"""

from pathlib import Path
from typing import Any

import yaml

PROJECT = "seedbed"

ROOT = Path(__file__).resolve().parent.parent
"""The repository; files that settings name are relative to it."""


class SettingsError(Exception):
    """The settings cannot be used; the message has a line for every problem."""

    def __init__(self, source: str, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source} cannot be used, {count}:", *(f"  {p}" for p in problems)]))


def stack_file(stack: str, root: Path = ROOT) -> Path:
    """The file that holds a stack's settings."""
    return root / f"Pulumi.{stack}.yaml"


def read_document(path: Path) -> dict[str, Any]:
    """A stack's file as it stands there. Raises `SettingsError` where it is missing or no map, or has a key twice."""
    try:
        document = yaml.load(path.read_text(), Loader=_UniqueKeys) or {}  # noqa: S506 - a SafeLoader, but stricter
    except FileNotFoundError:
        stacks = sorted(p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in path.parent.glob("Pulumi.*.yaml"))
        raise SettingsError(path.name, [f"does not exist; there are {', '.join(stacks)}"]) from None
    except yaml.YAMLError as error:
        raise SettingsError(path.name, [" ".join(str(error).split())]) from None
    if not isinstance(document, dict) or not isinstance(document.get("config") or {}, dict):
        raise SettingsError(path.name, ["must be a map with `config:` in it"])
    return document


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys without a word, which would lose a machine."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, yaml.Mark] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    f"{key!r} is there twice", seen[key], "the second is here", key_node.start_mark
                )
            seen[key] = key_node.start_mark
        return super().construct_mapping(node, deep=deep)
