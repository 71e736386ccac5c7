"""Pulumi.STACK.yaml as the command line needs it: where the identity is, and how to put one in."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seedbed import UserError
from stacks.config import from_file
from stacks.settings import PROJECT, Settings, parse

ROOT = Path(__file__).resolve().parent.parent

IDENTITY = f"{PROJECT}:identity"
IDENTITY_FILE = f"{PROJECT}:identityFile"

# What Pulumi accepts as a stack's name (pulumi/pulumi, sdk/go/common/tokens: alphanumerics, hyphen, underscore, period).
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class StackFile:
    """One stack's yaml, read."""

    name: str
    path: Path
    config: dict[str, Any]
    salt: str | None
    secrets_provider: str | None

    @property
    def sealed_identity(self) -> str | None:
        """The encrypted identity, or None. Raises UserError where it stands there in clear."""
        value = self.config.get(IDENTITY)
        if value is None:
            return None
        if not isinstance(value, dict) or not isinstance(value.get("secure"), str):
            raise UserError(
                f"{self.path.name}: {IDENTITY} is not encrypted. If it holds real keys they are burnt: "
                f"take it out and run `seedbed init {self.name}`"
            )
        return str(value["secure"])

    @property
    def identity_file(self) -> Path | None:
        """The file that holds the identity of a stack that lives on the lab, or None."""
        value = self.config.get(IDENTITY_FILE)
        return None if value is None else self.path.parent / str(value)


def path_of(name: str, root: Path = ROOT) -> Path:
    """Where the stack's yaml is. Raises UserError for a name that Pulumi would refuse."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a stack's name: letters, digits, hyphens, underscores and full stops only")
    return root / f"Pulumi.{name}.yaml"


def load(name: str, root: Path = ROOT) -> StackFile:
    """Reads Pulumi.NAME.yaml. Raises UserError where it is missing or not yaml."""
    path = path_of(name, root)
    try:
        text = path.read_text()
    except FileNotFoundError:
        known = sorted(p.name.removeprefix("Pulumi.").removesuffix(".yaml") for p in root.glob("Pulumi.*.yaml"))
        raise UserError(
            f"there is no stack {name!r}: {path.name} is missing. Stacks here: {', '.join(known)}"
        ) from None
    try:
        data = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path.name} is not yaml: {error}") from error
    config = data.get("config") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(config or {}, dict):
        raise UserError(f"{path.name}: expected a map with `config:` in it")
    return StackFile(name, path, config or {}, data.get("encryptionsalt"), data.get("secretsprovider"))


def with_identity(text: str, sealed: str, salt: str | None) -> str:
    """The yaml's text with the encrypted identity as the first entry of `config:`, all else as it was.

    Text, because a yaml library would drop the comments and the order that the file's author chose. `salt` is added
    as `encryptionsalt`; None where the file has its own.
    """
    entry = f"  {IDENTITY}:\n    secure: {sealed}\n"
    if re.search(r"^config:[ \t]*(\{\}[ \t]*)?(#.*)?$", text, re.MULTILINE):
        text = re.sub(
            r"^config:[ \t]*(?:\{\}[ \t]*)?(#.*)?\n?$",
            lambda match: "config:" + (f"  {match[1]}" if match[1] else "") + "\n" + entry.rstrip("\n"),
            text,
            count=1,
            flags=re.MULTILINE,
        )
        if not text.endswith("\n"):
            text += "\n"
    else:
        text = text.rstrip("\n") + ("\n" if text.strip() else "") + "config:\n" + entry
    return text if salt is None else f"encryptionsalt: {salt}\n{text}"


def settings(stack: StackFile, *, lab_is_made: bool = True) -> Settings:
    """The stack's settings. Raises stacks.settings.SettingsError with every problem.

    With `lab_is_made=False` the digest that the lab writes beside its identity is not asked for: the lab's hosts
    follow from the settings, and boot before k3s is built.
    """
    if lab_is_made:
        return from_file(stack.name, stack.path.parent)
    prefix = f"{PROJECT}:"
    config = {key.removeprefix(prefix): value for key, value in stack.config.items() if key.startswith(prefix)}
    k3s = config.get("k3s")
    if isinstance(k3s, dict):
        config["k3s"] = {key: value for key, value in k3s.items() if key != "sha256File"}
    return parse(config, stack.path.name, stack.path.parent)
