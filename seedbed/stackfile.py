"""Pulumi.STACK.yaml as the command line needs it: where the identity is, and how to put one in."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from seedbed import UserError
from stacks.files import PROJECT, ROOT, read_document, stack_file

if TYPE_CHECKING:
    from stacks.settings import Settings

IDENTITY = f"{PROJECT}:identity"
IDENTITY_FILE = f"{PROJECT}:identityFile"

REHEARSAL = "SEEDBED_CONFIG_FILE"
"""The variable that makes a shell a rehearsal's: the file that `pulumi --config-file` takes there."""

PASSPHRASE_FILE = "passphrase"  # noqa: S105 - a name
"""Of a rehearsal, in its lab's folder."""

LABS = ".lab"
"""The folder of the clone that labs keep their folders in."""

# What Pulumi accepts as a stack's name (pulumi/pulumi, sdk/go/common/tokens: alphanumerics, hyphen, underscore, period).
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


@dataclass(frozen=True)
class StackFile:
    """One stack's yaml, read.

    `rehearsal` says that it is not the one that is committed: it was made from that one for the lab, and lies in the lab's
    folder.
    """

    name: str
    path: Path
    config: dict[str, Any]
    salt: str | None
    secrets_provider: str | None
    rehearsal: bool = False

    @property
    def root(self) -> Path:
        """What relative files in it are below."""
        return self.path.parents[2] if self.rehearsal else self.path.parent

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
        return None if value is None else self.root / str(value)

    @property
    def deploy_key(self) -> int:
        """The number of the deploy key that its settings name, whatever else they are; 1 where they name none."""
        value: object = self.config.get(f"{PROJECT}:seed")
        for key in ("repository", "deployKey"):
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, int) else 1


def path_of(name: str, root: Path = ROOT) -> Path:
    """Where the stack's yaml is. Raises UserError for a name that Pulumi would refuse."""
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} is not a stack's name: letters, digits, hyphens, underscores and full stops only")
    return stack_file(name, root)


def load(name: str, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> StackFile:
    """Reads the stack's yaml: Pulumi.NAME.yaml, or its rehearsal's where `environ` is of a shell of that rehearsal.

    Raises stacks.settings.SettingsError where it is missing or not a stack's.
    """
    if environ.get(REHEARSAL) == str(rehearsal_path(name, root)):
        return rehearsal(name, root)
    return committed(name, root)


def committed(name: str, root: Path = ROOT) -> StackFile:
    """Reads Pulumi.NAME.yaml. Raises as `load` does."""
    return _read(name, path_of(name, root), rehearsal=False)


def rehearsal(name: str, root: Path = ROOT) -> StackFile:
    """Reads what the rehearsal of the stack has in its place. Raises UserError where there is no rehearsal."""
    path = rehearsal_path(name, root)
    if not path.exists():
        raise UserError(f"stack {name} is not rehearsed on this machine: `seedbed rehearse {name}` does it")
    return _read(name, path, rehearsal=True)


def on_lab(name: str, root: Path = ROOT) -> StackFile:
    """The stack's yaml that says that it lives on the lab: the committed one, or its rehearsal's.

    Raises UserError where neither does.
    """
    stack = committed(name, root)
    if stack.identity_file is not None:
        return stack
    if not rehearsal_path(name, root).exists():
        raise UserError(
            f"stack {name} does not live on the lab ({stack.path.name} names no {IDENTITY_FILE}), and it is not rehearsed "
            f"there now: `seedbed rehearse {name}` does that"
        )
    return rehearsal(name, root)


def rehearsal_path(name: str, root: Path = ROOT) -> Path:
    """Where the yaml of the stack's rehearsal is, in its lab's folder. Raises UserError as `path_of` does."""
    return root / LABS / name / path_of(name, root).name


def rehearsal_passphrase(folder: Path) -> str:
    """The rehearsal's passphrase. Raises UserError where the lab's folder has none."""
    try:
        return (folder / PASSPHRASE_FILE).read_text()
    except OSError as error:
        raise UserError(
            f"{folder / PASSPHRASE_FILE} cannot be read ({error.strerror}); `seedbed rehearse --down` and begin anew"
        ) from None


def _read(name: str, path: Path, *, rehearsal: bool) -> StackFile:
    document = read_document(path)
    config = document.get("config") or {}
    return StackFile(name, path, config, document.get("encryptionsalt"), document.get("secretsprovider"), rehearsal)


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


def with_other_identity(stack: StackFile, sealed: str) -> str:
    """The yaml's text with another encrypted identity in the place of its own, all else as it was. Raises UserError."""
    text = stack.path.read_text()
    old = stack.sealed_identity
    if old is None or text.count(old) != 1:
        raise UserError(f"{stack.path.name}: {IDENTITY}.secure is not on one line of its own; put it on one")
    return text.replace(old, sealed)


def settings(stack: StackFile, *, lab_is_made: bool = True) -> "Settings":
    """The stack's settings as its file has them now; `lab_is_made` as for `stacks.settings.parse`.

    Raises SettingsError with every problem.
    """
    return _settings(stack, read_document(stack.path).get("config") or {}, lab_is_made=lab_is_made)


def settings_of(stack: StackFile, text: str) -> "Settings":
    """The settings that the stack would have if its file, which can be read, were `text`. Raises as `settings` does."""
    return _settings(stack, (yaml.safe_load(text) or {}).get("config") or {}, lab_is_made=True)


def _settings(stack: StackFile, config: Mapping[str, Any], *, lab_is_made: bool) -> "Settings":
    # Not with the module: who has a preview begin does not wait for it.
    from stacks.settings import parse, split

    own, others = split(config)
    source = str(stack.path.relative_to(stack.root))
    return parse(own, source, stack.root, others=others, lab_is_made=lab_is_made, stack=stack.name)
