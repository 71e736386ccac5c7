"""What create, update and delete of each type do, and what comes out of them.

Source: remote/commandController.go, remote/copyController.go, local/commandController.go, local/runController.go.
"""

import secrets
from collections.abc import Mapping

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log
from lab.plugins.protocol.values import UNKNOWN, Properties, bare, is_secret

from .output import Output

PREVIOUS = {"stdout": "PULUMI_COMMAND_STDOUT", "stderr": "PULUMI_COMMAND_STDERR"}
"""The outputs of the last run and the variables that the next one finds them in."""

_RESULTS = ("stdout", "stderr", "assets", "archive")

REMOTE = "command:remote:Command"
COPY = "command:remote:CopyToRemote"
LOCAL = "command:local:Command"


def new_id(type_: str, name: str) -> str:
    """An identifier as the official plugin makes it: the resource's name, if it is a command, and 8 hex digits."""
    return ("" if type_ == COPY else name) + secrets.token_hex(4)


def load(type_: str) -> None:
    """Imports what the operations of the type need: it takes up to half a second, which no preview should wait for
    and no timeout should count."""
    if type_ == LOCAL:
        from . import local  # noqa: F401
    else:
        from . import copying, remote  # noqa: F401


def preview(type_: str, inputs: Properties, old: Properties | None = None) -> Properties:
    """The outputs of a create or an update that is only previewed: what is printed is not known."""
    if type_ == COPY:
        return dict(inputs)
    results = {"stdout", "stderr"} | {key for key in ("assets", "archive") if old and key in old}
    return {**inputs, **dict.fromkeys(results, UNKNOWN)}


async def create(type_: str, inputs: Properties, log: Log) -> Properties:
    """Creates the resource and returns its outputs."""
    if type_ == COPY:
        await _copy(inputs, log)
        return dict(inputs)
    return await _run(type_, "create", inputs, {}, log)


async def update(type_: str, old: Properties, inputs: Properties, log: Log) -> Properties:
    """Updates the resource and returns its outputs; a command without `update` runs `create` again."""
    if type_ == COPY:
        before, after = bare(old), bare(inputs)
        moved = before.get("remotePath") != after["remotePath"]
        if moved or before.get("source", {}).get("hash") != after["source"].get("hash"):
            await _copy(inputs, log)
        return dict(inputs)
    which = "update" if inputs.get("update") is not None else "create"
    return await _run(type_, which, inputs, old, log)


async def delete(type_: str, state: Properties, log: Log) -> None:
    """Runs the stored `delete` command, if there is one; copies stay where they are."""
    if type_ != COPY:
        await _run(type_, "delete", state, state, log)


async def invoke_run(arguments: Properties, log: Log) -> Properties:
    """The function `command:local:run`."""
    return await _run(LOCAL, "command", arguments, {}, log)


async def _run(type_: str, which: str, inputs: Properties, old: Properties, log: Log) -> Properties:
    """Runs the command in the input `which`; its results replace those of `old`."""
    results = {key: old[key] for key in _RESULTS if key in old}
    results.setdefault("stdout", "")
    results.setdefault("stderr", "")
    plain = bare(inputs)
    command = plain.get(which)
    if command is None:
        return {**inputs, **results}
    previous = {}
    if plain.get("addPreviousOutputInEnv", True):
        previous = {name: text for key, name in PREVIOUS.items() if (text := bare(results[key]))}
    output = Output(plain.get("logging"), log)
    try:
        if type_ == REMOTE:
            await _run_remote(plain, command, previous, output, log)
        else:
            await _run_local(plain, command, previous, output)
    except _FailedError as error:
        shown = "[secret]" if is_secret(inputs[which]) else command
        raise PluginError(output.failure(str(error), shown)) from None
    finally:
        await output.finish()
    results |= {"stdout": output.stdout, "stderr": output.stderr}
    if type_ == LOCAL:
        results |= _files(plain)
    return {**inputs, **results}


class _FailedError(PluginError):
    """The command itself failed: the message lacks command and output still."""


async def _run_remote(plain: Properties, command: str, previous: Mapping[str, str], output: Output, log: Log) -> None:
    from . import connection, remote

    try:
        await remote.run(
            connection.endpoint(plain["connection"]),
            command,
            stdin=plain.get("stdin"),
            environment=plain.get("environment") or {},
            previous=previous,
            output=output,
            log=log,
        )
    except remote.CommandFailedError as error:
        raise _FailedError(str(error)) from None


async def _run_local(plain: Properties, command: str, previous: Mapping[str, str], output: Output) -> None:
    from . import local

    try:
        await local.run(
            command,
            interpreter=plain.get("interpreter"),
            directory=plain.get("dir"),
            environment={**(plain.get("environment") or {}), **previous},
            stdin=plain.get("stdin"),
            output=output,
        )
    except PluginError as error:
        raise _FailedError(str(error)) from None


def _files(plain: Properties) -> Properties:
    from . import local

    files: Properties = {}
    if (patterns := plain.get("assetPaths")) is not None:
        files["assets"] = local.assets(plain.get("dir"), patterns)
    if (patterns := plain.get("archivePaths")) is not None:
        files["archive"] = local.archive(plain.get("dir"), patterns)
    return files


async def _copy(inputs: Properties, log: Log) -> None:
    from . import connection, copying

    plain = bare(inputs)
    await copying.copy(connection.endpoint(plain["connection"]), plain["source"], plain["remotePath"], log)
