"""Runs one command on a host: one connection, one session, closed at the end.

Source: remote/commandOutputs.go. Loads `asyncssh`: import it when a command runs, see connection.py.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Mapping

import asyncssh
from asyncssh.packet import String

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity

from .connection import Endpoint, connect
from .output import Output, Stream

_REFUSED = (
    "Unable to set '{name}'. The SSH server refuses this variable: it has to be named in AcceptEnv of its"
    " configuration. With a shell on the host, 'NAME=value command' does the same without it."
)


class CommandFailedError(PluginError):
    """The command was started and did not end well; the message says how, without command and output."""


async def run(
    target: Endpoint,
    command: str,
    *,
    stdin: str | None,
    environment: Mapping[str, str],
    previous: Mapping[str, str],
    output: Output,
    log: Log,
) -> None:
    """Runs the command; what it prints goes to `output`.

    The variables of `environment` must be accepted by the host; those of `previous` (the last run's output) may
    be refused, with a warning. Cancelling sends SIGTERM to the command.

    Raises:
        CommandFailedError: an exit status other than 0, or none because the connection was lost.
        PluginError: no connection, or a variable that the host refuses; the command was not run.
    """
    async with connect(target, log) as connection:
        session = _Session(environment, previous, output, log)
        try:
            channel, _ = await connection.create_session(
                lambda: session, command, env={}, request_pty=False, encoding=None
            )
        except (asyncssh.Error, OSError) as error:
            raise PluginError(f"ssh: no session: {error}") from None
        try:
            try:
                if stdin:
                    channel.write(stdin.encode())
                channel.write_eof()
            except BrokenPipeError:
                # The command has ended already, or wants no input.
                pass
            lost = await session.ended
        except asyncio.CancelledError:
            _terminate(channel)
            raise
        _raise_for_status(channel, lost)


class _Session(asyncssh.SSHClientSession[bytes]):
    """Passes the output on and asks for the environment before the command starts."""

    def __init__(self, environment: Mapping[str, str], previous: Mapping[str, str], output: Output, log: Log) -> None:
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._environment = environment
        self._previous = previous
        self._output = output
        self._log = log

    def connection_made(self, chan: "asyncssh.SSHClientChannel[bytes]") -> None:
        # asyncssh sends `env` requests without asking for an answer, so that a refusal goes unseen and the command
        # runs without its environment. It has no public way to ask: its request method is replaced for this channel.
        request = chan._make_request

        async def request_with_environment(kind: bytes, *arguments: bytes) -> bool | None:
            if kind == b"exec":
                await self._set_environment(request)
            return await request(kind, *arguments)

        chan._make_request = request_with_environment  # type: ignore[method-assign,assignment]

    async def _set_environment(self, request: Callable[..., Awaitable[bool | None]]) -> None:
        for name, value in self._environment.items():
            if not await request(b"env", String(name), String(value)):
                await self._log(Severity.ERROR, _REFUSED.format(name=name))
                raise PluginError(f'could not set environment variable "{name}": ssh: setenv failed')
        for name, value in self._previous.items():
            if not await request(b"env", String(name), String(value)):
                await self._log(Severity.WARNING, _REFUSED.format(name=name))

    def data_received(self, data: bytes, datatype: int | None) -> None:
        stream = Stream.STDERR if datatype == asyncssh.EXTENDED_DATA_STDERR else Stream.STDOUT
        self._output.feed(stream, data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(exc)


def _terminate(channel: "asyncssh.SSHClientChannel[bytes]") -> None:
    try:
        channel.terminate()
    except OSError:
        # It has ended meanwhile.
        return


def _raise_for_status(channel: "asyncssh.SSHClientChannel[bytes]", lost: Exception | None) -> None:
    """Says it in the words of x/crypto/ssh (session.go, `ExitError` and `ExitMissingError`)."""
    ended_by = channel.get_exit_signal()
    if ended_by is not None:
        name, _, message, _ = ended_by
        known = getattr(signal, f"SIG{name}", None)
        reason = f"Process exited with status {128 + (known or 0)} from signal {name}"
        raise CommandFailedError(f"{reason}. Reason was: {message}" if message else reason)
    status = channel.get_exit_status()
    if status is None:
        cause = f" ({lost})" if lost else ""
        raise CommandFailedError(f"wait: remote command exited without exit status or exit signal{cause}")
    if status != 0:
        raise CommandFailedError(f"Process exited with status {status}")
