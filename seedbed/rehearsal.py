"""What a rehearsal of a stack changes of its settings: as little as the lab's cloud makes necessary.

The stack's file is read, changed and written to the lab's folder; the file itself stays as it is. Identity and
passphrase are made for the rehearsal and end with it: those of the real stack are neither asked for nor used.
"""

import copy
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from lab import cloud_lab, stack_lab
from lab.git import service as git_service
from lab.git import tree as git_tree
from lab.internet.pki import write_private
from seedbed import UserError, stackfile
from seedbed.passphrase import Crypter
from seedbed.stackfile import PASSPHRASE_FILE, StackFile
from stacks.model import PROJECT
from tools.progress import Progress

OPERATOR = "rehearsal"
"""The name under which the firewall lets this machine log in."""

_CLOUD_CONFIG = "digitalocean:"
"""Begins the keys of the cloud's provider: a token or an endpoint there would lead the rehearsal to the real cloud."""


@dataclass(frozen=True)
class Difference:
    """A setting of the section `section` that a rehearsal has otherwise: `keys` lead to it; `value` None takes it away."""

    section: str
    keys: tuple[str, ...]
    value: str | None
    reason: str

    @property
    def name(self) -> str:
        """As errors and the reference name it."""
        return f"{PROJECT}:{'.'.join([self.section, *self.keys])}"


def differences(config: Mapping[str, Any], folder: str, subnet: IPv4Network) -> list[Difference]:
    """What a rehearsal changes of the stack's `config`.

    `folder` is the lab's, as settings name it (relative to the repository); `subnet` the lab's network of public
    addresses. Only what the file has is changed: a stack without a seed gets none.
    """
    return list(_differences(config, folder, subnet))


def _differences(config: Mapping[str, Any], folder: str, subnet: IPv4Network) -> Iterator[Difference]:
    own_keys = "keys of its own: the real ones never reach the lab"
    if stackfile.IDENTITY in config:
        yield Difference("identity", (), None, own_keys)
    yield Difference("identityFile", (), f"{folder}/{stack_lab.IDENTITY}", own_keys)
    yield Difference("k3s", ("sha256File",), f"{folder}/{stack_lab.DIGEST_FILE}", "the release as this lab has it")
    repository = _section(config, "seed").get("repository")
    if isinstance(repository, dict):
        its_git = "the lab's git server, with this clone's tree"
        yield Difference("seed", ("repository", "url"), git_tree.URL, its_git)
        for key, value in (("revision", git_tree.BRANCH), ("path", git_tree.TREE)):
            if key in repository:
                yield Difference("seed", ("repository", key), value, its_git)
        if "knownHosts" in repository:
            yield Difference("seed", ("repository", "knownHosts"), None, its_git)
        yield Difference("seed", ("repository", "knownHostsFile"), f"{folder}/{git_service.KNOWN_HOSTS}", its_git)
        tree = f"{folder}/{git_tree.WORK_TREE}/{git_tree.TREE}"
        yield Difference("seed", ("tree",), tree, "its secrets are sealed for the rehearsal's identity")
    cloud = _section(config, "digitalocean")
    yield Difference("digitalocean", ("operators", OPERATOR), f"{subnet[1]}/32", "this machine logs in to the droplets")
    if isinstance(cloud.get("snapshots"), dict):
        endpoint = cloud_lab.spaces_endpoint(subnet)
        yield Difference("digitalocean", ("snapshots", "endpoint"), endpoint, "the object storage of the lab's cloud")


def changed(config: Mapping[str, Any], what: list[Difference]) -> dict[str, Any]:
    """A copy of the stack's `config` with these differences."""
    new = copy.deepcopy(dict(config))
    for difference in what:
        place, key = new, f"{PROJECT}:{difference.section}"
        for deeper in difference.keys:
            place, key = place.setdefault(key, {}), deeper
        if difference.value is None:
            place.pop(key, None)
        else:
            place[key] = difference.value
    return new


def prepare(committed: StackFile, progress: Progress) -> tuple[StackFile, list[Difference]]:
    """Writes the rehearsal's yaml, as the committed one wants it now, and gives it with what it changes.

    The lab's folder, its network and the passphrase are made where they are missing; nothing runs yet. Raises UserError
    where the stack cannot be rehearsed, SettingsError where the committed settings are wrong.
    """
    _refuse(committed)
    path = stackfile.rehearsal_path(committed.name, committed.root)
    folder = path.parent
    subnet = cloud_lab.ensure_subnet(committed.name, folder, progress)
    what = differences(committed.config, str(folder.relative_to(committed.root)), subnet)
    document = {"encryptionsalt": _salt(path), "config": changed(committed.config, what)}
    heading = (
        f"# Made of {committed.path.name} by `seedbed rehearse {committed.name}`, and made again by the next one.\n"
    )
    write_private(path, (heading + yaml.safe_dump(document, sort_keys=False, width=1000)).encode())
    return stackfile.rehearsal(committed.name, committed.root), what


def table(what: list[Difference]) -> list[str]:
    """A line for each difference."""
    return [f"{d.name}: {'none' if d.value is None else d.value} – {d.reason}" for d in what]


def _refuse(stack: StackFile) -> None:
    if stack.identity_file is not None:
        raise UserError(f"stack {stack.name} lives on the lab as it is: `seedbed up {stack.name}`")
    if stackfile.settings(stack).digitalocean is None:
        raise UserError(
            f"{stack.path.name} has no {PROJECT}:digitalocean: its machines are there already, and the lab's cloud has "
            "none to make in their place"
        )
    foreign = sorted(key for key in stack.config if key.startswith(_CLOUD_CONFIG))
    if foreign:
        raise UserError(
            f"{stack.path.name}: {', '.join(foreign)}: with this the rehearsal would go to the real cloud; take it out and "
            "export the provider's variables instead, such as DIGITALOCEAN_TOKEN"
        )
    sealed = [key for key, value in stack.config.items() if key != stackfile.IDENTITY and _is_sealed(value)]
    if sealed:
        raise UserError(
            f"{stack.path.name}: {', '.join(sorted(sealed))}: encrypted for the real stack, which a rehearsal cannot open"
        )


def _is_sealed(value: object) -> bool:
    if isinstance(value, dict):
        return "secure" in value or any(map(_is_sealed, value.values()))
    return isinstance(value, list) and any(map(_is_sealed, value))


def _salt(path: Path) -> str:
    """The rehearsal's `encryptionsalt`: the one that it has, or a new one of a passphrase that is made with it."""
    if path.exists() and (path.parent / PASSPHRASE_FILE).exists():
        salt = stackfile.rehearsal(path.parent.name, path.parents[2]).salt
        if salt is not None:
            return salt
    value = secrets.token_urlsafe(24)
    write_private(path.parent / PASSPHRASE_FILE, value.encode())
    return Crypter.new(value).salt


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(f"{PROJECT}:{name}")
    return value if isinstance(value, dict) else {}
