"""Creating, updating, reading and deleting one object on the server.

Source: await/await.go (Creation, Update, Read, Deletion), ssa/actions.go and their callers in provider.go.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TypeVar

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity
from lab.plugins.protocol.values import Value

from . import fields, objects, waiting
from .cluster import ApiError, Cluster, NoMatchError
from .objects import Object
from .settings import Settings

RETRY_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""The pauses between tries to create an object whose kind or namespace is missing (retry/retry.go)."""

READY_SECONDS = 600.0
DELETE_SECONDS = 300.0
POLL_SECONDS = 0.5

CONFLICT_HELP = (
    "Server-Side Apply field conflict detected. See https://www.pulumi.com/registry/packages/kubernetes/how-to-guides/"
    "managing-resources-with-server-side-apply/#handle-field-conflicts-on-existing-resources for troubleshooting help."
)
TIMED_OUT = "timed out waiting for the condition"

T = TypeVar("T")


class NotLiveError(PluginError):
    """The object is there and is not what was asked for: it is stored as `live`, and the operation fails."""

    def __init__(self, message: str, live: Object) -> None:
        super().__init__(message)
        self.live = live


class Lifecycle:
    """The operations on a cluster; every request waits in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cluster = Cluster(settings.kubeconfig)
        self._threads = ThreadPoolExecutor(max_workers=32)

    async def create(self, item: Object, manager: str, timeout: float, log: Log) -> Object:
        """Creates the object, or applies it with `upsertExistingObjects`, and waits until it is ready.

        `timeout` in seconds, 0 for none said. Raises NotLiveError where the object is made and does not get ready.
        """
        conditions = waiting.conditions(item)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for tried in range(len(RETRY_SECONDS) + 1):
            try:
                live = await self._create(item, manager)
                break
            except (ApiError, NoMatchError) as error:
                missing = isinstance(error, NoMatchError) or error.status == HTTPStatus.NOT_FOUND
                late = timeout and loop.time() - began + RETRY_SECONDS[min(tried, 4)] > timeout
                if not missing or late or tried == len(RETRY_SECONDS):
                    raise
                await log(Severity.INFO, f"Retry #{tried}; creation failed: {error}", status=True)
                await asyncio.sleep(RETRY_SECONDS[tried])
        return await self._wait(live, item, conditions, timeout, log)

    async def update(
        self,
        item: Object,
        old_live: Object,
        managers: tuple[str, str],
        ignored: Sequence[str],
        timeout: float,
        log: Log,
    ) -> Object:
        """Applies the object and waits until it is ready; `managers` are the old and the new field manager.

        Raises NotLiveError, with the object as it is, where the server takes the change not or not whole.
        """
        conditions = waiting.conditions(item)
        live = await self._call(self._cluster.get, old_live)
        manager = managers[1]
        try:
            if patch := fields.take_over(live, manager):
                live = await self._call(self._cluster.json_patch, live, patch)
            wanted = fields.without_ignored(item, live, manager, ignored)
            applied = await self._apply(wanted, manager)
        except ApiError as error:
            raise NotLiveError(str(error), live) from None
        live = await self._wait(applied, item, conditions, timeout, log)
        if managers[0] != manager:
            await self._relinquish(live, managers[0])
        return live

    async def read(self, item: Object) -> Object | None:
        """The live object, None if there is none."""
        try:
            return await self._call(self._cluster.get, item)
        except NoMatchError:
            return None
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def delete(self, inputs: Object, live: Object, timeout: float, log: Log) -> None:
        """Deletes the object and waits until it is gone; one that is gone already is fine.

        Raises NotLiveError where it does not go in time.
        """
        propagation = objects.annotation(inputs, "deletionPropagationPolicy").capitalize()
        if propagation not in ("Orphan", "Background"):
            propagation = "Foreground"
        try:
            await self._call(self._cluster.delete, live, propagation)
        except NoMatchError:
            return
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return
            raise
        if objects.kind_of(live).name == "Namespace" and objects.annotation(inputs, "skipAwait") == "true":
            return
        await self._until_gone(live, _seconds(timeout, inputs, DELETE_SECONDS), log)

    async def _create(self, item: Object, manager: str) -> Object:
        if self._settings.upsert:
            return await self._apply(item, manager)
        return await self._call(self._cluster.create, item, fields.CREATOR)

    async def _apply(self, item: Object, manager: str) -> Object:
        force = self._settings.patch_force or objects.annotation(item, "patchForce") == "true"
        try:
            return await self._call(lambda: self._cluster.apply(item, manager, force=force))
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
            text = f"{CONFLICT_HELP}\nThe resource managed by field manager {json.dumps(manager)} had an apply conflict"
            raise ApiError(error.status, error.reason, f"{text}: {error}") from None

    async def _relinquish(self, live: Object, manager: str) -> None:
        """Takes from the manager all that it owns: an apply of nothing but the object's name."""
        known = {key: live["metadata"][key] for key in ("name", "namespace") if key in live["metadata"]}
        nothing = {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": known}
        await self._call(lambda: self._cluster.apply(nothing, manager, force=False))

    async def _wait(
        self, live: Object, item: Object, conditions: Sequence[waiting.Condition], timeout: float, log: Log
    ) -> Object:
        loop = asyncio.get_running_loop()
        end = loop.time() + _seconds(timeout, item, READY_SECONDS)
        said = ""
        while missing := next((one for one in conditions if not one.met(live)), None):
            if loop.time() > end:
                raise NotLiveError(TIMED_OUT, live)
            if said != missing.text:
                said = missing.text
                await log(Severity.INFO, f"Waiting for {said}", status=True)
            await asyncio.sleep(POLL_SECONDS)
            live = await self._call(self._cluster.get, live)
        if said:
            await log(Severity.INFO, "", status=True)
        return live

    async def _until_gone(self, live: Object, seconds: float, log: Log) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        uid, pause, said = objects.metadata(live).get("uid"), 0.02, False
        while (found := await self.read(live)) is not None:
            live = found
            if uid is not None and found["metadata"].get("uid") != uid:
                return  # another one of the same name
            if loop.time() > end:
                finalizers = [
                    *found["metadata"].get("finalizers", []),
                    *(found.get("spec") or {}).get("finalizers", []),
                ]
                held = f": finalizers might be preventing deletion ({', '.join(finalizers)})" if finalizers else ""
                raise NotLiveError(TIMED_OUT + held, found)
            if not said and pause >= POLL_SECONDS:
                said = True
                await log(Severity.INFO, "Resource scheduled for deletion", status=True)
            await asyncio.sleep(pause)
            pause = min(pause * 2, POLL_SECONDS)
        if said:
            await log(Severity.INFO, "", status=True)

    async def _call(self, function: Callable[..., T], *arguments: Value) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _seconds(timeout: float, item: Object, otherwise: float) -> float:
    """`customTimeouts`, or else the annotation, or else the official plugin's own."""
    annotated = objects.annotation(item, "timeoutSeconds")
    return timeout or (float(annotated) if annotated.isdecimal() else 0.0) or otherwise
