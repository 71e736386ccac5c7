"""The provider protocol: what the engine calls. Source: pulumi/pulumi `proto/pulumi/provider.proto`; the messages are
those of provider.go."""

import json
import secrets

from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.calls import Context, Engine
from lab.plugins.protocol.changes import Kind, changed, property_diff
from lab.plugins.protocol.log import Severity
from lab.plugins.protocol.operations import Operations
from lab.plugins.protocol.replies import InitFailedError, answer
from lab.plugins.protocol.values import Properties, bare, decode, encode, is_unknown

from . import objects, settings
from .check import Naming, check
from .cluster import NoMatchError, UnreachableError
from .diff import diff, merged, sides
from .lifecycle import Lifecycle, NotLiveError
from .objects import Object

PLUGIN = "kubernetes"
VERSION = "4.34.2"

_CRD_MISSING = (
    "the Kubernetes API server reported that the apiVersion for this resource does not exist."
    " Verify that any required CRDs have been created"
)
_UNREACHABLE = "configured Kubernetes cluster is unreachable"
_REMOVE_BY_HAND = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the"
    ' PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """The service. Errors go to the engine as text, without a traceback."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._operations = Operations()
        self._configure(settings.Settings())

    def _configure(self, given: settings.Settings) -> None:
        self._settings = given
        self._lifecycle = Lifecycle(given)

    async def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:  # noqa: ARG002, N802
        """The version that the SDK asks for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    async def CheckConfig(  # noqa: N802
        self,
        request: provider_pb2.CheckRequest,
        context: Context,
    ) -> provider_pb2.CheckResponse:
        """The provider's inputs as they are; what the drop-in cannot do is refused."""

        async def work() -> provider_pb2.CheckResponse:
            given = bare(decode(request.news))
            failures = [
                provider_pb2.CheckFailure(property=name, reason=f"the drop-in for the kubernetes plugin {refusal}")
                for name, value, refusal in (
                    ("enableServerSideApply", "false", "works by server-side apply only"),
                    ("renderYamlToDirectory", None, "does not render to files"),
                )
                if given.get(name) and value in (None, given[name]) and not is_unknown(given[name])
            ]
            return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

        return await answer(PLUGIN, context, work())

    async def DiffConfig(  # noqa: N802
        self,
        request: provider_pb2.DiffRequest,
        context: Context,
    ) -> provider_pb2.DiffResponse:
        """Another cluster is another provider; see `settings.diff`."""

        async def work() -> provider_pb2.DiffResponse:
            found = settings.diff(bare(decode(request.olds)), bare(decode(request.news)))
            return provider_pb2.DiffResponse(
                changes=changed(bool(found.changed)), diffs=found.changed, replaces=found.replacing
            )

        return await answer(PLUGIN, context, work())

    async def Configure(  # noqa: N802
        self,
        request: provider_pb2.ConfigureRequest,
        context: Context,
    ) -> provider_pb2.ConfigureResponse:
        """Reads the settings; that no cluster can be reached with them is said when one is needed."""

        async def work() -> provider_pb2.ConfigureResponse:
            self._configure(settings.from_variables(request.variables))
            return provider_pb2.ConfigureResponse(
                acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
            )

        return await answer(PLUGIN, context, work())

    async def Check(self, request: provider_pb2.CheckRequest, context: Context) -> provider_pb2.CheckResponse:  # noqa: N802
        """The inputs with name and namespace."""

        async def work() -> provider_pb2.CheckResponse:
            wanted = request.autonaming
            naming = Naming(
                request.randomSeed,
                wanted.proposed_name,
                wanted.mode == wanted.DISABLE and request.HasField("autonaming"),
            )
            checked = check(request.urn, decode(request.olds), decode(request.news), naming, self._settings.namespace)
            return provider_pb2.CheckResponse(inputs=encode(checked))

        return await answer(PLUGIN, context, work())

    async def Diff(self, request: provider_pb2.DiffRequest, context: Context) -> provider_pb2.DiffResponse:  # noqa: N802
        """Compares the stored object with the inputs; asks no server."""

        async def work() -> provider_pb2.DiffResponse:
            found = diff(decode(request.olds), decode(request.news), request.ignoreChanges, self._settings)
            return provider_pb2.DiffResponse(
                changes=changed(bool(found.changes)),
                replaces=[change.text for change in found.changes if change.replaces],
                deleteBeforeReplace=found.deletes_first,
                detailedDiff={
                    change.text: property_diff(
                        change.kind, replaces=change.replaces, in_inputs=change.kind is Kind.DELETE
                    )
                    for change in found.changes
                },
                hasDetailedDiff=True,
            )

        return await answer(PLUGIN, context, work())

    async def Create(self, request: provider_pb2.CreateRequest, context: Context) -> provider_pb2.CreateResponse:  # noqa: N802
        """Makes the object and waits for it."""
        inputs = decode(request.properties)

        async def work() -> provider_pb2.CreateResponse:
            if request.preview:
                return provider_pb2.CreateResponse(properties=request.properties)
            kind = objects.kind_of_urn(request.urn)
            item = objects.from_properties(inputs)
            manager = _manager({}, item)

            def outputs(live: Object) -> Struct:
                return encode(objects.checkpoint(item, live, inputs, item["apiVersion"], manager))

            quoted = json.dumps(request.urn)
            try:
                live = await self._operations.run(
                    "create", 0, self._lifecycle.create(item, manager, request.timeout, self._engine.log(request.urn))
                )
            except UnreachableError as error:
                raise PluginError(f"{_UNREACHABLE}: {error}") from None
            except NoMatchError as error:
                what = f"{kind.api_version}/{kind.name}"
                raise PluginError(
                    f"creation of resource {quoted} with kind {what} failed because {_CRD_MISSING}: {error}"
                ) from None
            except NotLiveError as error:
                raise InitFailedError(
                    f"resource {quoted} was successfully created, but the Kubernetes API server"
                    f" reported that it failed to fully initialize or become live: {error}",
                    objects.identifier(error.live),
                    outputs(error.live),
                ) from None
            except PluginError as error:
                raise PluginError(
                    f"resource {quoted} was not successfully created by the Kubernetes API server: {error}"
                ) from None
            return provider_pb2.CreateResponse(id=objects.identifier(live), properties=outputs(live))

        return await answer(PLUGIN, context, work(), inputs)

    async def Read(self, request: provider_pb2.ReadRequest, context: Context) -> provider_pb2.ReadResponse:  # noqa: N802
        """The live object, for a refresh, an import or a `get`; no answer's ID is empty where there is none."""
        state, inputs = decode(request.properties), decode(request.inputs)

        async def work() -> provider_pb2.ReadResponse:
            kind = objects.kind_of_urn(request.urn)
            before = objects.normalized(objects.from_properties(inputs))
            namespace, name = objects.split_identifier(request.id)
            if not name:
                raise PluginError(
                    f"failed to read resource because of a failure to parse resource name from request ID: {request.id}"
                )
            place = {"name": name, **({"namespace": namespace} if namespace else {})}
            try:
                live = await self._operations.run(
                    "read",
                    0,
                    self._lifecycle.read({"apiVersion": kind.api_version, "kind": kind.name, "metadata": place}),
                )
            except UnreachableError as error:
                return await self._unreadable(request, error)
            if live is None:
                return provider_pb2.ReadResponse()
            found = objects.pruned(live, before) if before else _importable(live)
            api_version = state.get(objects.API_VERSION) or before.get("apiVersion") or kind.api_version
            outputs = objects.checkpoint(found, live, inputs, api_version, _manager(state, before))
            return provider_pb2.ReadResponse(
                id=request.id, properties=encode(outputs), inputs=encode(objects.with_secrets(found, inputs))
            )

        return await answer(PLUGIN, context, work(), [state, inputs])

    async def _unreadable(
        self, request: provider_pb2.ReadRequest, error: UnreachableError
    ) -> provider_pb2.ReadResponse:
        log = self._engine.log(request.urn)
        await log(Severity.WARNING, f"{_UNREACHABLE}: {error}")
        if self._settings.delete_unreachable:
            await log(
                Severity.INFO, _option("deleteUnreachable", "Deleting the unreachable resource from Pulumi state")
            )
            return provider_pb2.ReadResponse()
        if self._settings.skip_update_unreachable:
            what = "Returned data could not reflect the actual cluster configuration."
            await log(Severity.INFO, _option("skipUpdateUnreachable", what))
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        raise PluginError(f"failed to read resource state due to unreachable cluster. {_REMOVE_BY_HAND}")

    async def Update(self, request: provider_pb2.UpdateRequest, context: Context) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Applies the inputs under the resource's own field manager and waits for the object."""
        state, inputs = decode(request.olds), decode(request.news)

        async def work() -> provider_pb2.UpdateResponse:
            old_inputs, old_live = objects.from_checkpoint(state)
            item = objects.normalized(objects.from_properties(inputs))
            managers = (_manager(state, old_inputs), _manager(state, item))
            api_version = state.get(objects.API_VERSION) or item["apiVersion"]

            def outputs(live: Object) -> Struct:
                return encode(objects.checkpoint(item, live, inputs, api_version, managers[1]))

            if request.preview:
                old, new, live = sides(state, inputs)
                return provider_pb2.UpdateResponse(properties=outputs(merged(live, old, new)))
            quoted = json.dumps(request.urn)
            log = self._engine.log(request.urn)
            try:
                live = await self._operations.run(
                    "update",
                    0,
                    self._lifecycle.update(item, old_live, managers, request.ignoreChanges, request.timeout, log),
                )
            except UnreachableError as error:
                raise PluginError(f"{_UNREACHABLE}: {error}") from None
            except NoMatchError as error:
                raise PluginError(f"update of resource {quoted} failed because {_CRD_MISSING}: {error}") from None
            except NotLiveError as error:
                id_ = objects.identifier(error.live)
                raise InitFailedError(
                    f"the Kubernetes API server reported that {json.dumps(id_)} failed to fully initialize or become live:"
                    f" {error}",
                    id_,
                    outputs(error.live),
                ) from None
            except PluginError as error:
                raise PluginError(f"update of resource {quoted} failed: {error}") from None
            return provider_pb2.UpdateResponse(properties=outputs(live))

        return await answer(PLUGIN, context, work(), [state, inputs])

    async def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:  # noqa: N802
        """Deletes the object and waits until it is gone."""
        state = decode(request.properties)

        async def work() -> empty_pb2.Empty:
            log = self._engine.log(request.urn)
            inputs, live = objects.from_checkpoint(state)
            try:
                await self._operations.run("delete", 0, self._lifecycle.delete(inputs, live, request.timeout, log))
            except UnreachableError as error:
                await log(Severity.WARNING, f"{_UNREACHABLE}: {error}")
                if not self._settings.delete_unreachable:
                    raise PluginError(f"{_UNREACHABLE}. {_REMOVE_BY_HAND}") from None
                what = "Deleting the unreachable resource from Pulumi state"
                await log(Severity.INFO, _option("deleteUnreachable", what))
            except NotLiveError as error:
                manager = _manager(state, inputs)
                outputs = objects.checkpoint(inputs, error.live, state, state.get(objects.API_VERSION, ""), manager)
                raise InitFailedError(str(error), request.id, encode(outputs)) from None
            return empty_pb2.Empty()

        return await answer(PLUGIN, context, work(), state)

    async def Invoke(self, request: provider_pb2.InvokeRequest, context: Context) -> provider_pb2.InvokeResponse:  # noqa: N802
        """There is no function."""

        async def work() -> provider_pb2.InvokeResponse:
            raise PluginError(
                f"{request.tok}: this is a drop-in for the kubernetes plugin that knows no functions."
                f" Install the official plugin: pulumi plugin install resource kubernetes {VERSION}"
            )

        return await answer(PLUGIN, context, work())

    async def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:  # noqa: ARG002, N802
        """The user pressed Ctrl-C."""
        self._operations.cancel()
        return empty_pb2.Empty()


def _manager(state: Properties, item: Object) -> str:
    """The resource's field manager: the annotation's, the stored one, or a new one (fieldManagerName)."""
    return (
        objects.annotation(item, "patchFieldManager")
        or state.get(objects.FIELD_MANAGER)
        or f"pulumi-kubernetes-{secrets.token_hex(4)}"
    )


def _importable(live: Object) -> Object:
    """A live object as inputs, for a resource that has none yet."""
    found = objects.normalized({key: value for key, value in live.items() if key != "status"})
    annotations = dict(found["metadata"].get("annotations", {}))
    if annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None) is not None:
        found["metadata"]["annotations"] = annotations
    return found


def _option(name: str, what: str) -> str:
    return f"{_UNREACHABLE} and the `{name}` option is enabled. {what}"
