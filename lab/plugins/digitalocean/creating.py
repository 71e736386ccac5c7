"""Creating so that nothing is made twice and nothing is lost: what a lost answer has left is looked for, and adopted.

A POST of the API makes one thing each time that it is sent. When its answer is lost, or is a 5xx, the thing may be
there. It is ours if the account shows one that has what was asked for and was made since we asked.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Severity

from .api import Body
from .errors import ApiError, LostError
from .work import Work

LOOKS = (0.5, 1.0, 2.0, 4.0)
"""Pauses before each look, in units of the shortest pause between requests: lists lag behind what is created."""

CLOCK_SECONDS = 2.0
"""What `created_at` may be early by: it has whole seconds."""

Search = Callable[[], Awaitable[list[Body]]]


async def make(
    work: Work, send: Callable[[], Awaitable[Body]], search: Search, *, unique: bool, accept: str = ""
) -> Body:
    """What `send` makes: its answer, or, where that is lost, the one that `search` finds.

    Args:
        send: the request, sent once.
        search: what the account has that is as was asked for, made since `began`.
        unique: whether the API refuses a second one of the same name, so that to send it again does no harm.
        accept: the key of the answer under which a created thing is; found things come without it.

    Raises:
        PluginError: it is not made, or what is there may not be ours; the message says what to do.
    """
    tried = 0
    uncertain = False
    while True:
        tried += 1
        try:
            body = await send()
            return body[accept] if accept else body
        except LostError as error:
            if not error.is_uncertain:
                raise
            failure: PluginError = error
        except ApiError as error:
            # A refused repetition may be refused for what the first one made.
            if not error.is_uncertain and not uncertain:
                raise
            failure = error
        uncertain = True
        await work.log(Severity.INFO, f"{failure}; looking whether {work.name} is there all the same", status=True)
        if found := await _look(work, search):
            if len(found) > 1:
                raise PluginError(
                    f"{failure}. The account has {len(found)} that may be {work.name}, and which one was just made cannot"
                    " be told: delete those that are too many, or import the right one with `pulumi import`"
                )
            await work.log(Severity.INFO, f"{work.name} was created though the answer was lost; it is adopted")
            return found[0]
        answered = isinstance(failure, ApiError)
        if not (unique or answered) or tried > work.retries.most:
            raise PluginError(
                f"{failure}. The account does not show {work.name}. Look for it in a minute: if it is there, import it"
                " with `pulumi import`, or delete it; then run it again"
            )


async def named(work: Work, group: str, kind: str, body: Body) -> Body:
    """As `make`, of a thing whose name the account has once: `group` is the client's for it and its list, `kind` one's key."""
    began = now()

    async def search() -> list[Body]:
        return [
            one
            for one in await work.api.find(group, "list", group)
            if one["name"] == body["name"] and since(work, began, one["created_at"])
        ]

    return await make(
        work, lambda: work.api.once(group, "create", body=body, log=work.log), search, unique=True, accept=kind
    )


async def _look(work: Work, search: Search) -> list[Body]:
    for units in LOOKS:
        await asyncio.sleep(units * work.retries.wait_min)
        if found := await search():
            return found
    return []


def since(work: Work, began: float, created_at: str) -> bool:
    """Whether the API's time is not before `began`, a time of this machine."""
    try:
        moment = datetime.fromisoformat(created_at.replace("Z", "+00:00"))
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() >= began + work.api.clock_ahead - CLOCK_SECONDS


def now() -> float:
    """The time of this machine, for `since`."""
    return time.time()
