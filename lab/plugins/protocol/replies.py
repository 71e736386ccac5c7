"""How an operation ends for the engine: with an answer, an error, or an error and a resource that is there all the same.

Source: pulumi/pulumi `sdk/go/common/util/rpcutil/rpcerror`, `proto/pulumi/provider.proto` (ErrorResourceInitFailed).
"""

from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf import any_pb2  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2

from . import PluginError, calls
from .calls import Context
from .values import Value, bare, is_secret

SHORTEST_HIDDEN = 4
"""Characters of the shortest secret text that is taken out of errors."""

T = TypeVar("T")


class InitFailedError(PluginError):
    """The resource is there and gets into the state, and the operation fails."""

    def __init__(self, message: str, id_: str, outputs: Struct) -> None:
        super().__init__(message)
        self.id = id_
        self.outputs = outputs


async def answer(plugin: str, context: Context, work: Coroutine[Any, Any, T], hidden: Value = None) -> T:
    """The answer of a plugin, or the error without the texts that are secret in `hidden`."""

    async def careful() -> T:
        try:
            return await work
        except InitFailedError as error:
            message = _without(str(error), hidden)
            detail = any_pb2.Any()
            detail.Pack(provider_pb2.ErrorResourceInitFailed(id=error.id, properties=error.outputs, reasons=[message]))
            code = grpc.StatusCode.UNKNOWN
            status = status_pb2.Status(code=code.value[0], message=message, details=[detail])
            metadata = (("grpc-status-details-bin", status.SerializeToString()),)
            await context.abort(code, message, metadata)
        except PluginError as error:
            raise PluginError(_without(str(error), hidden)) from None

    return await calls.answer(plugin, context, careful())


def _without(message: str, hidden: Value) -> str:
    for text in sorted(set(_texts(hidden)), key=len, reverse=True):
        if len(text) >= SHORTEST_HIDDEN:
            message = message.replace(text, "[secret]")
    return message


def _texts(value: Value, *, within: bool = False) -> Iterator[str]:
    """The strings that are secret in the value."""
    if is_secret(value):
        yield from _texts(bare(value), within=True)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item, within=within)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, within=within)
    elif within and isinstance(value, str):
        yield value
