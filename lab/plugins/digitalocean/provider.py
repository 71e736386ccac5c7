"""The provider protocol: what the engine calls. Source: pulumi/pulumi `proto/pulumi/provider.proto`; the messages are
those of pulumi-terraform-bridge `pkg/tfbridge/provider.go`."""

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.calls import Context, Engine, name_of, type_of
from lab.plugins.protocol.changes import changed, property_diff
from lab.plugins.protocol.operations import Operations
from lab.plugins.protocol.replies import answer
from lab.plugins.protocol.values import decode, encode, equal

from . import outputs, settings
from .check import Naming, check
from .diff import diff
from .kind import Kind
from .kinds import kind_of
from .lifecycle import Lifecycle

PLUGIN = "digitalocean"
VERSION = "4.84.1"


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service. Errors go to the engine as text, without a traceback."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._operations = Operations()
        self._lifecycle = Lifecycle(settings.Settings())

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802
        """The version that the SDK asks for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    async def CheckConfig(  # noqa: N802
        self,
        request: provider_pb2.CheckRequest,
        context: Context,  # noqa: ARG002
    ) -> provider_pb2.CheckResponse:
        """The provider's inputs as they are."""
        return provider_pb2.CheckResponse(inputs=request.news)

    async def DiffConfig(  # noqa: N802
        self,
        request: provider_pb2.DiffRequest,
        context: Context,
    ) -> provider_pb2.DiffResponse:
        """No change of the provider's inputs replaces anything."""

        async def work() -> provider_pb2.DiffResponse:
            old, new = decode(request.olds), decode(request.news)
            names = sorted(name for name in old.keys() | new.keys() if not equal(old.get(name), new.get(name)))
            return provider_pb2.DiffResponse(changes=changed(bool(names)), diffs=names)

        return await answer(PLUGIN, context, work())

    async def Configure(  # noqa: N802
        self,
        request: provider_pb2.ConfigureRequest,
        context: Context,
    ) -> provider_pb2.ConfigureResponse:
        """Reads the settings; whether a token is good is known when it is needed."""

        async def work() -> provider_pb2.ConfigureResponse:
            self._lifecycle = Lifecycle(settings.from_variables(request.variables))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
            )

        return await answer(PLUGIN, context, work())

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:  # noqa: N802
        """The inputs with defaults and name, and what is wrong with them."""
        news = decode(request.news)

        async def work() -> provider_pb2.CheckResponse:
            wanted = request.autonaming
            naming = Naming(
                request.randomSeed,
                wanted.proposed_name,
                wanted.mode == wanted.DISABLE and request.HasField("autonaming"),
            )
            checked, failures = check(_kind(request.urn), name_of(request.urn), decode(request.olds), news, naming)
            return provider_pb2.CheckResponse(
                inputs=encode(checked),
                failures=[provider_pb2.CheckFailure(property=one.property, reason=one.reason) for one in failures],
            )

        return await answer(PLUGIN, context, work(), news)

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:  # noqa: N802
        """Compares the stored outputs with the inputs; asks nobody."""

        async def work() -> provider_pb2.DiffResponse:
            kind = _kind(request.urn)
            found = diff(kind, decode(request.olds), decode(request.news), request.ignoreChanges)
            return provider_pb2.DiffResponse(
                changes=changed(bool(found.changes)),
                diffs=outputs.names(change.text for change in found.changes),
                replaces=outputs.names(change.text for change in found.changes if change.replaces),
                deleteBeforeReplace=found.deletes_first,
                detailedDiff={
                    change.text: property_diff(change.kind, replaces=change.replaces) for change in found.changes
                },
                hasDetailedDiff=True,
            )

        return await answer(PLUGIN, context, work())

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:  # noqa: N802
        """Makes it and waits for it."""
        inputs = decode(request.properties)

        async def work() -> provider_pb2.CreateResponse:
            kind = _kind(request.urn)
            if request.preview:
                return provider_pb2.CreateResponse(properties=encode(outputs.foreseen(kind, inputs)))
            log = self._engine.log(request.urn)
            id_, found = await self._operations.run(
                "create", 0, self._lifecycle.create(kind, inputs, request.timeout, log)
            )
            return provider_pb2.CreateResponse(id=id_, properties=encode(found))

        return await answer(PLUGIN, context, work(), inputs)

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:  # noqa: N802
        """What the API shows, for a refresh, an import or a `get`; an answer without an ID where it is gone."""
        state, inputs = decode(request.properties), decode(request.inputs)

        async def work() -> provider_pb2.ReadResponse:
            kind, log = _kind(request.urn), self._engine.log(request.urn)
            found = await self._operations.run("read", 0, self._lifecycle.read(kind, request.id, state, inputs, log))
            if found is None:
                return provider_pb2.ReadResponse()
            id_, properties, said = found
            return provider_pb2.ReadResponse(id=id_, properties=encode(properties), inputs=encode(said))

        return await answer(PLUGIN, context, work(), [state, inputs])

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Changes it in place."""
        state, inputs = decode(request.olds), decode(request.news)

        async def work() -> provider_pb2.UpdateResponse:
            kind, log = _kind(request.urn), self._engine.log(request.urn)
            if request.preview:
                return provider_pb2.UpdateResponse(properties=encode(outputs.foreseen_after(kind, state, inputs)))
            found = await self._operations.run(
                "update", 0, self._lifecycle.update(kind, request.id, state, inputs, request.timeout, log)
            )
            return provider_pb2.UpdateResponse(properties=encode(found))

        return await answer(PLUGIN, context, work(), [state, inputs])

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        """Removes it and waits until it is gone."""
        state = decode(request.properties)

        async def work() -> empty_pb2.Empty:
            kind, log = _kind(request.urn), self._engine.log(request.urn)
            await self._operations.run(
                "delete", 0, self._lifecycle.delete(kind, request.id, state, request.timeout, log)
            )
            return empty_pb2.Empty()

        return await answer(PLUGIN, context, work(), state)

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:  # noqa: N802
        """There is no function."""

        async def work() -> provider_pb2.InvokeResponse:
            raise PluginError(
                f"{request.tok}: this is a drop-in for the digitalocean plugin that knows no functions."
                f" Install the official plugin: pulumi plugin install resource digitalocean {VERSION}"
            )

        return await answer(PLUGIN, context, work())

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """The user pressed Ctrl-C."""
        self._operations.cancel()
        return empty_pb2.Empty()


def _kind(urn: str) -> Kind:
    return kind_of(type_of(urn), VERSION)
