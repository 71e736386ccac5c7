"""Runs one command on this machine.

Source: local/commandOutputs.go.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import ARCHIVE, ASSET, SIGNATURE, Properties, Value

from .globs import matching
from .output import Output, Stream

DEFAULT_INTERPRETER = ("/bin/sh", "-c")

_CHUNK = 64 * 1024
_TERMINATION_SECONDS = 3.0


async def run(
    command: str,
    *,
    interpreter: Sequence[str] | None,
    directory: str | None,
    environment: Mapping[str, str],
    stdin: str | None,
    output: Output,
) -> None:
    """Runs the command in a process group of its own; what it prints goes to `output`.

    Cancelling sends SIGTERM to the group, and SIGKILL to what is left after a few seconds.

    Raises:
        PluginError: it cannot be started, or ends with a status other than 0 (the message says how, without
            command and output).
    """
    arguments = [*(interpreter or DEFAULT_INTERPRETER), command]
    if directory is not None and not Path(directory).is_dir():
        raise PluginError(f"chdir {directory}: no such file or directory")
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=directory,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    except FileNotFoundError:
        raise PluginError(f'exec: "{arguments[0]}": executable file not found in $PATH') from None
    except OSError as error:
        raise PluginError(f"fork/exec {arguments[0]}: {error.strerror}") from None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_write(process, stdin))
            group.create_task(_read(process.stdout, Stream.STDOUT, output))
            group.create_task(_read(process.stderr, Stream.STDERR, output))
        status = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if status < 0:
        raise PluginError(f"signal: {(signal.strsignal(-status) or str(-status)).lower()}")
    if status != 0:
        raise PluginError(f"exit status {status}")


async def _write(process: asyncio.subprocess.Process, stdin: str | None) -> None:
    if process.stdin is None or stdin is None:
        return
    # A command need not read its input.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(stdin.encode())
        await process.stdin.drain()
    process.stdin.close()


async def _read(pipe: asyncio.StreamReader | None, stream: Stream, output: Output) -> None:
    while pipe is not None and (data := await pipe.read(_CHUNK)):
        output.feed(stream, data)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ends the process group; the leader is not waited for yet, so its number cannot belong to others."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), _TERMINATION_SECONDS)
            return


def assets(directory: str | None, patterns: Sequence[str]) -> dict[str, Value]:
    """The output `assets`: relative path to file asset."""
    base = Path(directory) if directory is not None else Path.cwd()
    found = {}
    for path in matching(base, patterns):
        digest = hashlib.sha256((base / path).read_bytes()).hexdigest()
        found[path] = {SIGNATURE: ASSET, "hash": digest, "path": str(base / path), "text": "", "uri": ""}
    return found


def archive(directory: str | None, patterns: Sequence[str]) -> Properties:
    """The output `archive`: the files that the patterns select as one archive.

    Its hash covers names and contents; it is not the number that the Go SDK computes from a tar file.
    """
    members = assets(directory, patterns)
    digest = hashlib.sha256()
    for path, member in members.items():
        digest.update(f"{path}\0{member['hash']}\n".encode())
    return {SIGNATURE: ARCHIVE, "hash": digest.hexdigest(), "assets": members, "path": "", "uri": ""}
