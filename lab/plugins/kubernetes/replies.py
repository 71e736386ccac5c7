"""How an operation ends for the engine: with an answer, an error, or an error and an object that is there all the same.

Source: partialError in provider.go; pulumi/pulumi `sdk/go/common/util/rpcutil/rpcerror`.
"""

from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf import any_pb2  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from google.rpc import status_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import provider_pb2

from lab.plugins.protocol import PluginError, calls
from lab.plugins.protocol.calls import Context
from lab.plugins.protocol.values import Value

from . import objects

SHORTEST_HIDDEN = 4
"""Characters of the shortest secret text that is taken out of errors."""

T = TypeVar("T")


class InitFailedError(PluginError):
    """The object is there and gets into the state, and the operation fails (partialError)."""

    def __init__(self, message: str, id_: str, outputs: Struct) -> None:
        super().__init__(message)
        self.id = id_
        self.outputs = outputs


async def answer(context: Context, work: Coroutine[Any, Any, T], hidden: Value = None) -> T:
    """The answer, or the error without the texts that are secret in `hidden`."""

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

    return await calls.answer("kubernetes", context, careful())


def _without(message: str, hidden: Value) -> str:
    for text in sorted(objects.secret_texts(hidden), key=len, reverse=True):
        if len(text) >= SHORTEST_HIDDEN:
            message = message.replace(text, "[secret]")
    return message
