"""The lab's git server: `git clone` and `git push` over SSH with keys, and nothing else.

Run as `python -m lab.git.server CONFIG.json` by `lab.git.service`.
"""

import asyncio
import json
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, cast

import asyncssh

from lab.git import access, program
from lab.git.access import RefusedError, Right

USER = "git"
LOGIN_SECONDS = 30
KEEPALIVE_SECONDS = 15
"""How often a silent client is asked whether it is there; the third time in vain ends it and what it started."""

_CHUNK = 1 << 16
_PROTOCOL = re.compile(r"version=[0-2]")
_REFUSED = 128  # git's own exit code for what it cannot go on with


class _Reader(Protocol):
    async def read(self, n: int) -> bytes: ...


class _Writer(Protocol):
    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


class Login(asyncssh.SSHServer):
    """One connection: who it is, and what it may."""

    def __init__(self, lab_dir: Path) -> None:
        self._lab_dir = lab_dir
        self._connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Called when a key is offered, and again when it is used: the last call is about the one that counts."""
        text = " ".join(key.export_public_key().decode().split()[:2])
        right = access.right_of(self._lab_dir, text) if username == USER else None
        self._connection.set_extra_info(right=right)
        if right is None:
            log(address_of(self._connection), f"refused {key.get_fingerprint()} of user {username!r}")
        return right is not None


async def serve_client(client: asyncssh.SSHServerProcess[bytes], root: Path) -> None:
    """Run git for one command of a client, or tell it why not."""
    address = address_of(client)
    right: Right = client.get_extra_info("right")
    what = f"{right} {client.command or client.subsystem or 'shell'!r}"
    try:
        service, repository = access.parse(client.command, root, right)
    except RefusedError as refusal:
        log(address, f"{what}: {refusal}")
        client.stderr.write(f"seedbed lab: {refusal}\n".encode())
        client.exit(_REFUSED)
        return
    try:
        code = await run_git(client, service, repository)
    except (OSError, asyncssh.Error) as error:
        log(address, f"{what}: broken off: {error or type(error).__name__}")
        client.close()
    else:
        log(address, f"{what}: exit code {code}")
        client.exit(code)


async def run_git(client: asyncssh.SSHServerProcess[bytes], service: str, repository: Path) -> int:
    """Connect the client with `git SERVICE`; gives its exit code. It never outlives the client."""
    env = program.environment()
    if _PROTOCOL.fullmatch(client.env.get("GIT_PROTOCOL", "")):
        env["GIT_PROTOCOL"] = client.env["GIT_PROTOCOL"]
    argv = program.command(service, str(repository), settings={"transfer.hideRefs": program.HIDDEN})
    git = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env)
    answer, complaints = cast(asyncio.StreamReader, git.stdout), cast(asyncio.StreamReader, git.stderr)
    # The end comes with what git has to say: it does not always read all that it is sent.
    asking = asyncio.create_task(_feed(client.stdin, cast(asyncio.StreamWriter, git.stdin)))
    try:
        await asyncio.gather(_copy(answer, client.stdout), _copy(complaints, client.stderr))
        return await git.wait()
    finally:
        asking.cancel()
        if git.returncode is None:
            with suppress(ProcessLookupError):
                git.kill()
            await git.wait()


async def _feed(source: _Reader, git: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError, asyncssh.Error, asyncssh.BreakReceived, asyncssh.SignalReceived):
            await _copy(source, git)
    finally:
        git.close()


async def _copy(source: _Reader, target: _Writer) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()


def address_of(peer: "asyncssh.SSHServerConnection | asyncssh.SSHServerProcess[bytes]") -> str:
    """The client's address, which is forgotten when it has gone."""
    return str((peer.get_extra_info("peername") or ("-",))[0])


def log(address: str, text: str) -> None:
    """One line with the time and the client's address."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    print(f"{now}Z {address} {text.encode('ascii', 'backslashreplace').decode()}", flush=True)


async def main(config: Mapping[str, Any]) -> None:
    """Serve until killed."""
    lab_dir, root = Path(config["lab_dir"]), Path(config["root"])

    async def handle(client: asyncssh.SSHServerProcess[bytes]) -> None:
        await serve_client(client, root)

    server = await asyncssh.listen(
        config["address"],
        config["port"],
        server_factory=lambda: Login(lab_dir),
        server_host_keys=[config["host_key"]],
        process_factory=handle,
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        server_version=config["banner"],
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
    )
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())))
