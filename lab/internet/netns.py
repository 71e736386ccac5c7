"""Run a function, a program or a service inside a named network namespace."""

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from lab import LabError, image
from lab.internet import process

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_INHERITED = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", image.VARIABLE)
_REPOSITORY = Path(__file__).resolve().parents[2]

T = TypeVar("T")


def path(netns: str) -> Path:
    """Where `ip netns add` keeps the namespace."""
    return Path("/run/netns") / netns


def command(netns: str | None, argv: Sequence[str]) -> list[str]:
    """`argv` to be run in `netns` (None: where the caller is); the program keeps the pid.

    `nsenter`, not `ip netns exec`: that one adds a mount namespace, which would pin the hosts' mounts.
    """
    return list(argv) if netns is None else ["nsenter", f"--net={path(netns)}", "--", *argv]


def spawn(netns: str | None, folder: Path, name: str, argv: Sequence[str], fingerprint: str) -> None:
    """Start service `name` of the lab in `netns`, as `process.spawn` does, from the folder of this program.

    Raises:
        LabError: there is no such namespace, or the program cannot be started.
    """
    if netns is not None and not path(netns).exists():
        raise _missing(netns)
    # Nothing else of the caller's environment: it may hold the stack's passphrase and keys.
    env = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    process.spawn(folder, name, command(netns, argv), env, _REPOSITORY, fingerprint)


def call(netns: str | None, function: Callable[[], T]) -> T:
    """`function()` with its sockets opened in `netns`; in a thread of its own, as a namespace belongs to a thread.

    Raises:
        LabError: there is no such namespace.
    """
    if netns is None:
        return function()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            _enter(netns)
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name=f"netns {netns}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _enter(netns: str) -> None:
    try:
        handle = os.open(path(netns), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise _missing(netns) from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            raise LabError(f"cannot enter the network namespace {netns}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(handle)


def _missing(netns: str) -> LabError:
    return LabError(f"there is no network namespace {netns}: the lab's network is not up")
