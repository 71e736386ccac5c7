"""What is kept of a creation that does not end well."""

import asyncio
from collections.abc import Sequence

import pytest

from lab.plugins.digitalocean import waiting
from lab.plugins.digitalocean.fields import string
from lab.plugins.digitalocean.kind import Created, Kind
from lab.plugins.digitalocean.lifecycle import Lifecycle
from lab.plugins.digitalocean.settings import Settings
from lab.plugins.digitalocean.work import Work
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Severity
from lab.plugins.protocol.replies import InitFailedError
from lab.plugins.protocol.values import Properties


async def log(severity: Severity, message: str, *, status: bool = False) -> None:
    """To nobody."""


def thing(shown: Sequence[bool], settles: bool = True) -> Kind:
    """A kind whose one resource is shown by the API as `shown` says, reading after reading, and at last for good."""
    readings = list(shown)

    async def create(work: Work, inputs: Properties) -> Created:
        return Created("7")

    async def settle(work: Work, id_: str, inputs: Properties) -> None:
        if not settles:
            raise PluginError("it does not")

    async def read(work: Work, id_: str, state: Properties) -> Properties | None:
        is_shown = readings.pop(0) if len(readings) > 1 else readings[0]
        return {"name": "a"} if is_shown else None

    async def nothing(work: Work, id_: str, *states: Properties) -> None:
        """Nothing to do."""

    return Kind(
        token="digitalocean:index/thing:Thing",
        noun="thing",
        inputs={"name": string(required=True)},
        computed=(),
        create=create,
        read=read,
        update=nothing,
        delete=nothing,
        settle=settle,
        by_api=False,
    )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SHORTEST_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "LONGEST_SECONDS", 0.001)


def created(kind: Kind) -> tuple[str, Properties]:
    return asyncio.run(Lifecycle(Settings()).create(kind, {"name": "a"}, 30, log))


def test_what_is_created_and_not_shown_at_once_is_waited_for() -> None:
    assert created(thing([False, False, True]))[0] == "7"


def test_what_is_created_and_gone_is_not_in_the_state() -> None:
    with pytest.raises(PluginError, match=r"thing a \(7\) was created, and is gone .*it is made anew") as caught:
        created(thing([False]))
    assert not isinstance(caught.value, InitFailedError)


def test_what_is_created_and_not_ready_is_in_the_state() -> None:
    with pytest.raises(InitFailedError, match=r"thing a .* is not ready: it does not") as caught:
        created(thing([True], settles=False))
    assert caught.value.id == "7"


def test_what_is_gone_before_an_update_stays_in_the_state_until_a_refresh() -> None:
    update = Lifecycle(Settings()).update(thing([False]), "7", {"name": "a"}, {"name": "b"}, 30, log)
    with pytest.raises(InitFailedError, match=r"it is gone: .*`pulumi up --refresh`"):
        asyncio.run(update)
