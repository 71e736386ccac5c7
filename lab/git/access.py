"""Who may do what at the lab's git server: a file of public keys, read anew at every login."""

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from lab.internet.pki import write_private

FILE = "git_access"

_COMMAND = re.compile(r"(git-(?:upload|receive)-pack) '/?((?:[A-Za-z0-9][A-Za-z0-9._-]*/)*[A-Za-z0-9][A-Za-z0-9._-]*)'")
"""What git, and what speaks its protocol, sends: the path in quotes. No part of a path begins with a dot or a hyphen."""


class Right(StrEnum):
    """What a key is good for."""

    READ = "read"
    WRITE = "write"


class RefusedError(Exception):
    """A plain sentence for whoever asked."""


def write(lab_dir: Path, readers: Sequence[str], writers: Sequence[str]) -> None:
    """Say which public keys (`ssh-ed25519 AAAA…`) may clone, and which may also push; counts from the next login on."""
    lines = [f"{right} {key}\n" for right, keys in ((Right.READ, readers), (Right.WRITE, writers)) for key in keys]
    write_private(lab_dir / FILE, "".join(lines).encode())


def right_of(lab_dir: Path, key: str) -> Right | None:
    """What the public key, type and base64 without a comment, may do; None for nothing."""
    try:
        lines = (lab_dir / FILE).read_text().splitlines()
    except FileNotFoundError:
        return None
    found = {right for right, *words in map(str.split, lines) if words[:2] == key.split()}
    return max((right for right in Right if right in found), default=None, key=list(Right).index)


def parse(command: str | None, root: Path, right: Right) -> tuple[str, Path]:
    """The service (`upload-pack`, `receive-pack`) and the repository below `root` that a client's command asks for.

    Raises:
        RefusedError: it asks for something else, for what the key may not do, or for what is not there.
    """
    if not command:
        raise RefusedError("this server speaks git only: there is no shell")
    match = _COMMAND.fullmatch(command)
    if match is None:
        raise RefusedError("this server answers only git clone, fetch and push, of the repositories that it has")
    service, path = match[1].removeprefix("git-"), match[2]
    if service == "receive-pack" and right is not Right.WRITE:
        raise RefusedError("this key may read only: push with the operator's key")
    repository = root / path
    if not (repository / "HEAD").is_file() or root.resolve() not in repository.resolve().parents:
        raise RefusedError(f"there is no repository {path}")
    return service, repository
