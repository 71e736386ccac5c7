"""An SSH server that lets the operator in, takes files, and lets commands succeed: hosts for the engine alone."""

import asyncio
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncssh

START_SECONDS = 10


Succeeds = Callable[[str, str], bool]
"""Whether a command does, by the address that it came to and its text."""


@contextmanager
def answering(
    host_key: str, operator_public_key: str, succeeds: Succeeds = lambda _address, _command: True
) -> Iterator[int]:
    """Answers on every loopback address (127.0.0.0/8) until the end; gives the port.

    `host_key` is an OpenSSH private key, `operator_public_key` the line of the only key that is let in.
    """

    async def answer(process: "asyncssh.SSHServerProcess[str]") -> None:
        await process.stdin.read()
        address = str(process.get_extra_info("sockname")[0])
        if not succeeds(address, process.command or ""):
            process.stderr.write("this machine fails\n")
            process.exit(1)
            return
        process.stdout.write('{"result":"paved"}\n')
        process.exit(0)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen(folder: str) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "0.0.0.0",  # noqa: S104  every address of the loopback network; only one key is let in
            0,
            server_host_keys=[asyncssh.import_private_key(host_key)],
            authorized_client_keys=asyncssh.import_authorized_keys(operator_public_key),
            process_factory=answer,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=folder.encode()),
            backlog=512,
        )

    try:
        with tempfile.TemporaryDirectory() as folder:
            server = asyncio.run_coroutine_threadsafe(listen(folder), loop).result(START_SECONDS)
            yield server.get_port()
            loop.call_soon_threadsafe(server.close)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SECONDS)
