"""The provider protocol: what the engine calls. Source: pulumi/pulumi `proto/pulumi/provider.proto`."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.calls import Context, Engine, answer, name_of, type_of
from lab.plugins.protocol.changes import changed, property_diff
from lab.plugins.protocol.operations import Operations
from lab.plugins.protocol.values import bare, decode, encode, is_unknown

from . import resources
from .diff import changes
from .inputs import LOCAL_RUN, RESOURCES, Failure, Inputs, check

VERSION = "1.2.1"

T = TypeVar("T")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service. Errors go to the engine as text, without a traceback."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._operations = Operations()

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802
        """The version that the SDK asks for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    async def CheckConfig(  # noqa: N802
        self,
        request: provider_pb2.CheckRequest,
        context: Context,  # noqa: ARG002
    ) -> provider_pb2.CheckResponse:
        """The provider has no configuration."""
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(  # noqa: N802
        self,
        request: provider_pb2.DiffRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> provider_pb2.DiffResponse:
        """The provider has no configuration that could differ."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    async def Configure(  # noqa: N802
        self,
        request: provider_pb2.ConfigureRequest,  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> provider_pb2.ConfigureResponse:
        """Secrets come marked, previews come to create and update, outputs come as plain values."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:  # noqa: N802
        """The inputs with defaults, and what is wrong with them."""

        async def work() -> provider_pb2.CheckResponse:
            checked, failures = check(_inputs_of(type_of(request.urn)), decode(request.news))
            return provider_pb2.CheckResponse(inputs=encode(checked), failures=_failures(failures))

        return await _answer(context, work())

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:  # noqa: N802
        """Every changed input is an update; changed triggers are a replacement."""

        async def work() -> provider_pb2.DiffResponse:
            inputs = _inputs_of(type_of(request.urn))
            # The state of older engines has outputs only; they hold every input under its own name.
            before = decode(request.old_inputs if request.HasField("old_inputs") else request.olds)
            old = {key: value for key, value in before.items() if key in inputs.forms}
            found = changes(old, decode(request.news), inputs.replacing)
            return provider_pb2.DiffResponse(
                changes=changed(bool(found)),
                diffs=sorted({change.property for change in found}),
                replaces=sorted({change.property for change in found if change.replaces}),
                detailedDiff={change.path: property_diff(change.kind, replaces=change.replaces) for change in found},
                hasDetailedDiff=True,
            )

        return await _answer(context, work())

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:  # noqa: N802
        """Runs `create`, or copies."""

        async def work() -> provider_pb2.CreateResponse:
            type_, inputs = type_of(request.urn), decode(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(resources.preview(type_, inputs)))
            resources.load(type_)
            outputs = await self._operations.run(
                "create", request.timeout, resources.create(type_, inputs, self._engine.log(request.urn))
            )
            id_ = resources.new_id(type_, name_of(request.urn))
            return provider_pb2.CreateResponse(id=id_, properties=encode(outputs))

        return await _answer(context, work())

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:  # noqa: ARG002, N802
        """A refresh asks no host: what is stored is returned."""
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Runs `update`, or `create` where there is none, or copies again."""

        async def work() -> provider_pb2.UpdateResponse:
            type_, old, inputs = type_of(request.urn), decode(request.olds), decode(request.news)
            if request.preview:
                return provider_pb2.UpdateResponse(properties=encode(resources.preview(type_, inputs, old)))
            resources.load(type_)
            outputs = await self._operations.run(
                "update", request.timeout, resources.update(type_, old, inputs, self._engine.log(request.urn))
            )
            return provider_pb2.UpdateResponse(properties=encode(outputs))

        return await _answer(context, work())

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        """Runs the stored `delete` over the stored connection."""

        async def work() -> empty_pb2.Empty:
            type_, state = type_of(request.urn), decode(request.properties)
            if state.get("delete") is not None:
                resources.load(type_)
            log = self._engine.log(request.urn)
            await self._operations.run("delete", request.timeout, resources.delete(type_, state, log))
            return empty_pb2.Empty()

        return await _answer(context, work())

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:  # noqa: N802
        """The function `command:local:run`, in previews too."""

        async def work() -> provider_pb2.InvokeResponse:
            if request.tok != "command:local:run":
                raise PluginError(f"the command package has no function {request.tok}")
            arguments, failures = check(LOCAL_RUN, decode(request.args))
            if failures:
                return provider_pb2.InvokeResponse(failures=_failures(failures))
            if any(is_unknown(value) for value in bare(arguments).values()):
                return provider_pb2.InvokeResponse()
            result = await self._operations.run("run", 0, resources.invoke_run(arguments, self._engine.log("")))
            return provider_pb2.InvokeResponse(**{"return": encode(result)})

        return await _answer(context, work())

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """The user pressed Ctrl-C."""
        self._operations.cancel()
        return empty_pb2.Empty()


def _inputs_of(type_: str) -> Inputs:
    try:
        return RESOURCES[type_]
    except KeyError:
        known = ", ".join(RESOURCES)
        raise PluginError(
            f"{type_}: this is a drop-in for the command plugin that knows only {known}."
            f" For other types, install the official plugin: pulumi plugin install resource command {VERSION}"
        ) from None


def _failures(failures: list[Failure]) -> list[provider_pb2.CheckFailure]:
    return [provider_pb2.CheckFailure(property=failure.property, reason=failure.reason) for failure in failures]


async def _answer(context: Context, work: Coroutine[Any, Any, T]) -> T:
    return await answer("command", context, work)
