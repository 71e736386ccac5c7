"""One call of the engine: its context, its errors, and the log of the engine that made it."""

import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc

from . import PluginError
from .log import Log, Severity

MESSAGE_BYTES = 400 * 1024 * 1024
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
]
"""The limit of the engine's own channels (pulumi/pulumi `sdk/go/common/util/rpcutil`)."""

_LOG_SECONDS = 5.0

T = TypeVar("T")


class Context(Protocol):
    """The part of gRPC's context of a call that is used here."""

    async def abort(
        self, code: grpc.StatusCode, details: str, trailing_metadata: tuple[tuple[str, bytes], ...] = ()
    ) -> NoReturn:
        """Ends the call with an error."""
        ...


class Engine:
    """The engine that started this plugin, as far as its log goes."""

    def __init__(self, address: str) -> None:
        self._stub = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS))

    def log(self, urn: str) -> Log:
        """A log whose messages belong to the resource `urn`."""

        async def log(severity: Severity, message: str, *, status: bool = False) -> None:
            request = engine_pb2.LogRequest(
                severity=getattr(engine_pb2, severity.value), message=message, urn=urn, ephemeral=status
            )
            try:
                await self._stub.Log(request, timeout=_LOG_SECONDS)
            except grpc.aio.AioRpcError:
                # A message that the engine does not take must not fail the operation.
                return

        return log


def type_of(urn: str) -> str:
    """The resource's own type; the URN has those of its parents before it, separated by `$`."""
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    """The resource's logical name."""
    return urn.split("::", 3)[3]


async def answer(plugin: str, context: Context, work: Coroutine[Any, Any, T]) -> T:
    """What the work returns; an error of it goes to the engine as text, without a traceback.

    `plugin` is named where the error is one of the plugin's own code.
    """
    try:
        return await work
    except PluginError as error:
        await context.abort(grpc.StatusCode.UNKNOWN, str(error))
    except Exception as error:
        # The text of an unexpected error may hold an input; its place does not.
        place = traceback.extract_tb(error.__traceback__)[-1]
        await context.abort(
            grpc.StatusCode.INTERNAL,
            f"unexpected {type(error).__name__} in the {plugin} drop-in, {Path(place.filename).name}:{place.lineno}",
        )
