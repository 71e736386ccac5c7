"""Creating, reading, updating and deleting one resource."""

import asyncio

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log
from lab.plugins.protocol.replies import InitFailedError
from lab.plugins.protocol.values import Properties, bare, encode

from . import outputs
from .api import Api
from .fields import plain
from .kind import Kind
from .settings import Settings
from .spaces import Spaces
from .waiting import GoneError, Sight, Waiting
from .work import Work


class Lifecycle:
    """The operations on the account of the settings. A `timeout` is in seconds, 0 where the program says none."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._api = Api(settings)
        self._spaces = Spaces(settings)
        self._waiting = Waiting()

    async def _work(self, kind: Kind, name: str, seconds: float, log: Log) -> Work:
        # The time is the cloud's: it begins once there is a client.
        if kind.by_api:
            await self._api.connect()
        deadline = asyncio.get_running_loop().time() + seconds
        return Work(self._api, self._spaces, self._waiting, self._settings.retries, name, deadline, log)

    async def create(self, kind: Kind, inputs: Properties, timeout: float, log: Log) -> tuple[str, Properties]:
        """The ID and the outputs. Raises InitFailedError once there is something that must not be lost."""
        said = plain(inputs)
        name = _name(kind, said)
        try:
            work = await self._work(kind, name, timeout or kind.times.create, log)
            made = await kind.create(work, said)
        except PluginError as error:
            raise PluginError(f"create {name}: {error}") from None
        kept = {**outputs.of_inputs(kind, inputs), **made.outputs}

        def stored(shown: Properties) -> Properties:
            return outputs.marked(kind, outputs.merged(kind, kept, shown), inputs)

        try:
            await kind.settle(work, made.id, said)
            return made.id, stored(await _seen(kind, work, made.id, kept))
        except GoneError:
            raise PluginError(
                f"{name} ({made.id}) was created, and is gone while it was waited for: the cloud had no room for it, or"
                " someone has deleted it. Run it again, and it is made anew"
            ) from None
        except asyncio.CancelledError:
            raise InitFailedError(
                f"{name} ({made.id}) was created, and the update was cancelled before it was ready: run it again",
                made.id,
                encode(stored({})),
            ) from None
        except PluginError as error:
            raise InitFailedError(
                f"{name} ({made.id}) was created, and is not ready: {error}",
                made.id,
                encode(stored(await _shown(kind, work, made.id, kept))),
            ) from None

    async def read(
        self, kind: Kind, id_: str, state: Properties, inputs: Properties, log: Log
    ) -> tuple[str, Properties, Properties] | None:
        """ID, outputs and inputs as the API has them, None where it is gone; without a state, of an import ID."""
        kept = bare(state)
        if not state:
            id_, kept = kind.identity(id_)
        name = _name(kind, kept or {"name": id_})
        try:
            work = await self._work(kind, name, kind.times.update, log)
            shown = await kind.read(work, id_, plain(kept))
        except PluginError as error:
            raise PluginError(f"read {name} ({id_}): {error}") from None
        if shown is None:
            return None
        found = outputs.merged(kind, kept, shown)
        said = outputs.inputs_after_read(kind, inputs, found) if inputs else outputs.importable(kind, found)
        return id_, outputs.marked(kind, found, state, inputs), said

    async def update(
        self, kind: Kind, id_: str, state: Properties, inputs: Properties, timeout: float, log: Log
    ) -> Properties:
        """The outputs. Raises InitFailedError, with what the API shows, where it is changed in part or not at all."""
        old, said = bare(state), plain(inputs)
        name = _name(kind, said)
        work = await self._work(kind, name, timeout or kind.times.update, log)
        new = outputs.of_inputs(kind, inputs)
        gone = [name for name, field in kind.inputs.items() if not field.computed and name not in new]
        kept = {**{name: value for name, value in old.items() if name not in gone}, **new}

        def stored(known: Properties, shown: Properties) -> Properties:
            return outputs.marked(kind, outputs.merged(kind, known, shown), state, inputs)

        try:
            if kind.update is not None:
                await kind.update(work, id_, plain(old), said)
            return stored(kept, await _seen(kind, work, id_, kept))
        except GoneError:
            raise InitFailedError(
                f"update {name} ({id_}): it is gone: someone has deleted it. Run `pulumi up --refresh`, and it is made anew",
                id_,
                encode(stored(old, {})),
            ) from None
        except PluginError as error:
            raise InitFailedError(
                f"update {name} ({id_}): {error}", id_, encode(stored(old, await _shown(kind, work, id_, old)))
            ) from None

    async def delete(self, kind: Kind, id_: str, state: Properties, timeout: float, log: Log) -> None:
        """Returns when it is gone."""
        old = plain(state)
        name = _name(kind, old)
        try:
            work = await self._work(kind, name, timeout or kind.times.delete, log)
            await kind.delete(work, id_, old)
        except PluginError as error:
            raise PluginError(f"delete {name} ({id_}): {error}") from None


def _name(kind: Kind, said: Properties) -> str:
    return f"{kind.noun} {kind.label(said)}".strip()


async def _seen(kind: Kind, work: Work, id_: str, kept: Properties) -> Properties:
    """What the API shows, now or soon. Raises GoneError."""
    found: Properties | None = None
    sight = Sight()

    async def missing() -> str | None:
        nonlocal found
        found = await kind.read(work, id_, plain(kept))
        return sight.missed() if found is None else None

    await work.until(missing)
    return found or {}


async def _shown(kind: Kind, work: Work, id_: str, kept: Properties) -> Properties:
    """What the API shows, nothing if it does not: for the state of what went wrong already."""
    try:
        return await kind.read(work, id_, plain(kept)) or {}
    except PluginError:
        return {}
