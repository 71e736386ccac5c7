"""Actions: what a droplet, a volume or a reserved IP is told to do, which takes the cloud a while.

A droplet does one at a time and refuses others meanwhile; the official plugin asks again then
(`volume/resource_volume_attachment.go`). To ask for one twice does no harm: the second is refused, or changes nothing.
"""

from http import HTTPStatus

from lab.plugins.protocol.values import Value

from .api import Body
from .errors import ApiError
from .kind import live
from .work import Work

BUSY = ("pending event", "pending action", "event is pending")
"""What the API says of a droplet, a volume or an address that has another action going on."""


async def perform(work: Work, group: str, method: str, target: Value, body: Body) -> None:
    """Asks for the action until the target is not busy, and waits until it is done."""

    answer: Body = {}

    async def missing() -> str | None:
        nonlocal answer
        try:
            answer = await work.api.ask(group, method, target, body=body, log=work.log)
        except ApiError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY or not error.says(*BUSY):
                raise
            return "waiting for another action to end"
        return None

    await work.until(missing)
    await work.finished(answer)


async def of_droplet(work: Work, id_: str, type_: str, **settings: Value) -> None:
    """An action of a droplet."""
    await perform(work, "droplet_actions", "post", int(id_), {"type": type_, **settings})


async def attach(work: Work, volume: str, droplet: str) -> None:
    """Attaches a volume to a droplet; one that is attached to it already is fine."""
    if await holder(work, volume) == droplet:
        return
    try:
        await perform(work, "volume_actions", "post_by_id", volume, {"type": "attach", "droplet_id": int(droplet)})
    except ApiError:
        if await holder(work, volume) != droplet:
            raise


async def detach(work: Work, volume: str, droplet: str) -> None:
    """Takes a volume from a droplet; one that is gone, or is not attached, is fine."""
    try:
        await perform(work, "volume_actions", "post_by_id", volume, {"type": "detach", "droplet_id": int(droplet)})
    except ApiError:
        if await holder(work, volume) == droplet:
            raise


async def holder(work: Work, volume: str) -> str | None:
    """The droplet that a volume is attached to."""
    found = await live(work, "volumes", "volume", volume)
    droplets = (found or {}).get("droplet_ids") or []
    return str(droplets[0]) if droplets else None
