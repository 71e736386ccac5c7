"""versitygw over folders: what the lab's two S3 servers, of the state and of its cloud's object storage, have in common.

Options and variables are those of versitygw v1.8.0 (cmd/versitygw/main.go, cmd/internal/gwcli/posix.go).
"""

import errno
import http.client
import os
import secrets
import socket
import string
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import LabError
from lab.internet import netns, process

REGION = "us-east-1"
START_SECONDS = 10.0

HEALTH = "/healthz"
_POLL = 0.02


@dataclass(frozen=True)
class Gateway:
    """One server and what it is made of.

    Args:
        name: of its pid file and log in the lab's `services` folder.
        what: what errors call it, such as `S3 server`.
        binary: the versitygw executable.
        data: a folder in it is a bucket.
        sidecar: where objects' metadata goes on a file system that keeps no attributes.
        address: IPv4, where it listens.
        netns: the network namespace that it runs in; None is the caller's own.
        options: for versitygw itself.
        posix_options: for its `posix` part.
    """

    name: str
    what: str
    binary: Path
    data: Path
    sidecar: Path
    address: str
    port: int
    access_key: str
    secret_key: str = field(repr=False)
    netns: str | None = None
    options: tuple[str, ...] = ()
    posix_options: tuple[str, ...] = ()

    def ensure(self, folder: Path, cwd: Path, remedy: str) -> bool:
        """Have it run with just these options, without waiting for it; True if it was started now.

        `folder` is the lab's `services` folder; `remedy` ends the error about a port that is taken.

        Raises:
            LabError: another program has the port, or it cannot be started.
        """
        argv = netns.command(self.netns, self._argv())
        if (daemon := process.running(folder, self.name)) is not None and daemon.argv == argv:
            return False
        stop(folder, self.name, self.data, self.posix_options)
        if not netns.call(self.netns, lambda: is_free(self.address, self.port)):
            raise LabError(
                f"another program listens on {self.address}:{self.port}, the port of this lab's {self.what}. End it"
                f" (`ss -ltnp sport = {self.port}` names it){remedy}"
            )
        # The keys go by environment: a command line can be read by everybody.
        env = {
            "PATH": os.environ.get("PATH", os.defpath),
            "ROOT_ACCESS_KEY": self.access_key,
            "ROOT_SECRET_KEY": self.secret_key,
        }
        if not takes_attributes(self.data):
            self.sidecar.mkdir(exist_ok=True)
            env["VGW_META_SIDECAR"] = str(self.sidecar.absolute())
        process.spawn(folder, self.name, argv, env, cwd, fingerprint="")
        return True

    def _argv(self) -> list[str]:
        argv = [str(self.binary), "--port", f"{self.address}:{self.port}", "--region", REGION, "--health", HEALTH]
        return [*argv, "--keep-alive", *self.options, *_tail(self.data, self.posix_options)]


def stop(folder: Path, name: str, data: Path, posix_options: Sequence[str] = ()) -> bool:
    """End server `name`; True if it ran. Its data stays."""
    return process.stop(folder, name, _tail(data, posix_options))


def _tail(data: Path, posix_options: Sequence[str]) -> list[str]:
    """What ends the server's command line, and no other program's."""
    return ["posix", *posix_options, str(data.absolute())]


def access_key() -> str:
    """A new one, of 20 characters."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))


def secret_key() -> str:
    """A new one, of 40 characters."""
    return secrets.token_urlsafe(30)


def free_port(address: str, ports: range, seed: Path) -> int:
    """A free port; where the search begins depends on the folder `seed`, so that two labs are not led to the same one."""
    begin = zlib.crc32(str(seed.absolute()).encode()) % len(ports)
    for step in range(len(ports)):
        port = ports[(begin + step) % len(ports)]
        if is_free(address, port):
            return port
    raise LabError(f"no free port on {address} between {ports.start} and {ports.stop - 1}")


def is_free(address: str, port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def takes_attributes(folder: Path) -> bool:
    """Whether the file system keeps user attributes, where versitygw puts an object's metadata."""
    try:
        os.setxattr(folder, "user.seedbed", b"")
        os.removexattr(folder, "user.seedbed")
    except OSError:
        return False
    return True


def wait(folder: Path, names: Sequence[str], what: str, address: str, port: int) -> None:
    """Until `what` answers at the address, seen from the caller's network namespace.

    `names` are the services in `folder` that it consists of.

    Raises:
        LabError: one of them has ended, or it does not answer in time; with the last lines of a log.
    """
    deadline = time.monotonic() + START_SECONDS
    while (reason := _complaint(address, port)) is not None:
        ended = next((name for name in names if process.running(folder, name) is None), None)
        if ended is not None or time.monotonic() > deadline:
            said = "has ended" if ended else f"does not answer after {START_SECONDS:.0f} s ({reason})"
            name = ended or names[0]
            tail = process.log_tail(folder, name)
            raise LabError(f"the lab's {what} {said}; the last lines of {folder / f'{name}.log'}:\n{tail}")
        time.sleep(_POLL)


def _complaint(address: str, port: int) -> str | None:
    connection = http.client.HTTPConnection(address, port, timeout=1)
    try:
        connection.request("GET", HEALTH)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    else:
        return None if answer.status == 200 else f"HTTP {answer.status}"
    finally:
        connection.close()
