"""Starts, stops and looks after the git server of one lab."""

import contextlib
import json
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from lab import LabError
from lab.git import access, program
from lab.internet import netns, pki, process
from lab.internet.names import GIT
from tools.debian import ensure_packages
from tools.progress import Progress

PORT = 22
ROOT = "git"
KNOWN_HOSTS = "git_known_hosts"
HOST_KEY = "git_host_key"
START_SECONDS = 15.0
"""How long the server may take until it answers."""

_NAME = "git"
_CONFIG = "git.conf.json"
_POLL = 0.05
_PROBE_SECONDS = 1.0


@dataclass(frozen=True)
class Status:
    """Whether the server runs (its pid, or None), and whether it answers right now as the one that was started."""

    pid: int | None
    answers: bool


def start(
    lab_dir: Path,
    netns_name: str | None,
    address: str,
    readers: Sequence[str],
    writers: Sequence[str],
    progress: Progress,
    port: int = PORT,
) -> bool:
    """Have the server run, with this configuration, and wait until it answers; True if it was started now.

    Also writes the known hosts, under the server's name and its address.

    Args:
        lab_dir: the lab's folder; the host key is made there if it has none. It serves what is below its `git`.
        netns_name: the network namespace that it runs in; None is the caller's own (tests).
        address: the IPv4 address in it that it listens on.
        readers: the public keys that may clone.
        writers: those that may also push.
        port: another than the usual one in tests.

    Raises:
        LabError: the port is taken, or it does not answer in time (with its last log lines).
        ToolError: git is missing and cannot be installed.
    """
    ensure_packages(program.PACKAGES, progress)
    folder = process.services_dir(lab_dir)
    with process.lock(folder):
        (lab_dir / ROOT).mkdir(exist_ok=True, mode=0o700)
        access.write(lab_dir, readers, writers)
        key = _ensure_host_key(lab_dir)
        _write_known_hosts(lab_dir, key, address, port)
        config = {
            "lab_dir": str(lab_dir.absolute()),
            "root": str((lab_dir / ROOT).absolute()),
            "netns": netns_name,
            "address": address,
            "port": port,
            "host_key": str((lab_dir / HOST_KEY).absolute()),
        }
        fingerprint = process.digest(json.dumps(config), key, _sources())
        config["banner"] = f"seedbed-{fingerprint}"
        stale = not process.runs(folder, _NAME, fingerprint)
        if stale:
            process.stop(folder, _NAME, _arguments(folder))
            (folder / _CONFIG).write_text(json.dumps(config, indent=1))
            netns.spawn(netns_name, folder, _NAME, [sys.executable, *_arguments(folder)], fingerprint)
        netns.call(netns_name, lambda: _await(folder, address, port, f"seedbed-{fingerprint}"))
    return stale


def stop(lab_dir: Path) -> bool:
    """End the server; True if it ran. Its repositories stay."""
    folder = lab_dir / "services"
    if not folder.is_dir():
        return False
    with process.lock(folder):
        return process.stop(folder, _NAME, _arguments(folder))


def status(lab_dir: Path) -> Status | None:
    """What runs; None for a lab that never had a git server."""
    folder = lab_dir / "services"
    try:
        config = json.loads((folder / _CONFIG).read_text())
    except FileNotFoundError:
        return None
    daemon = process.running(folder, _NAME)
    if daemon is None:
        return Status(None, answers=False)
    try:
        complaint = netns.call(config["netns"], lambda: _complaint(config["address"], config["port"], config["banner"]))
    except LabError:  # the namespace is gone: a half-removed lab
        return Status(daemon.pid, answers=False)
    return Status(daemon.pid, answers=complaint is None)


def renew_host_key(lab_dir: Path) -> None:
    """Give the server another host key, which it has from the next `start` on: clients that pinned the old one refuse."""
    (lab_dir / HOST_KEY).unlink(missing_ok=True)


def ssh_command(lab_dir: Path) -> str:
    """What `GIT_SSH_COMMAND` has to be for the operator on this machine; nothing of the user's own ssh set-up counts."""
    known_hosts = f'UserKnownHostsFile="{lab_dir.absolute() / KNOWN_HOSTS}"'
    options = ["IdentitiesOnly=yes", "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", known_hosts]
    argv = ["ssh", "-F", "none", "-i", str(lab_dir.absolute() / "operator_key")]
    for option in options:
        argv += ["-o", option]
    return shlex.join(argv)


def _ensure_host_key(lab_dir: Path) -> str:
    """The public half of the host key, which lives as long as the lab."""
    file = lab_dir / HOST_KEY
    if not file.exists():
        new = Ed25519PrivateKey.generate()
        pki.write_private(file, new.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    try:
        key = load_ssh_private_key(file.read_bytes(), None)
    except ValueError as error:
        raise LabError(f"{file} is damaged: remove it, and `seedbed lab up` makes another host key") from error
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def _write_known_hosts(lab_dir: Path, key: str, address: str, port: int) -> None:
    hosts = [host if port == PORT else f"[{host}]:{port}" for host in (GIT, address)]
    draft = lab_dir / f"{KNOWN_HOSTS}.new"
    draft.write_text("".join(f"{host} {key}\n" for host in hosts))
    draft.rename(lab_dir / KNOWN_HOSTS)


def _await(folder: Path, address: str, port: int, banner: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while complaint := _complaint(address, port, banner):
        ended = process.running(folder, _NAME) is None
        if ended or time.monotonic() > deadline:
            what = "has ended" if ended else f"does not answer after {START_SECONDS:.0f} s: {complaint}"
            tail = process.log_tail(folder, _NAME)
            raise LabError(f"the lab's git server {what}; the last lines of {folder / _NAME}.log:\n{tail}")
        time.sleep(_POLL)


def _complaint(address: str, port: int, banner: str) -> str | None:
    """Why it is not our server that answers with its version (RFC 4253 §4.2); None if it is."""
    wanted, got = f"SSH-2.0-{banner}\r\n".encode(), b""
    try:
        with socket.create_connection((address, port), timeout=_PROBE_SECONDS) as connection:
            while len(got) < len(wanted) and (data := connection.recv(len(wanted) - len(got))):
                got += data
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        return str(error) or type(error).__name__
    return None if got == wanted else "another server answers at this address"


def _arguments(folder: Path) -> list[str]:
    return ["-m", "lab.git.server", str((folder / _CONFIG).absolute())]


def _sources() -> str:
    """The server's own code: a newer one replaces a running older one."""
    files = [Path(__file__).with_name(f"{name}.py") for name in ("access", "program", "server")]
    return process.digest(*(file.read_text() for file in files))
