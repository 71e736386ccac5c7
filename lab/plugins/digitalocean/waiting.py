"""Waiting for what takes the cloud a while, with a word about it."""

import asyncio
from collections.abc import Awaitable, Callable

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity

SHORTEST_SECONDS = 0.25
LONGEST_SECONDS = 5.0
GROWTH = 1.5
POLLS_PER_MINUTE = 120
"""In all, however many are waited for: half of what `retry.Pace` lets through."""

FEW = 4
"""As many ask as they like: once their intervals are long, they are far below that."""


UNSEEN = 5
"""Times that something may be missing before it counts as gone: what is new is not shown everywhere at once."""


class StillWaitingError(PluginError):
    """The time is over, and what was waited for has not come."""


class GoneError(PluginError):
    """What was there is not there any more."""


class Sight:
    """Counts how often something was not shown while it was waited for."""

    def __init__(self) -> None:
        self._missed = 0

    def missed(self) -> str:
        """What to say of it. Raises GoneError when it has not been shown for too long."""
        self._missed += 1
        if self._missed > UNSEEN:
            raise GoneError("it is gone")
        return "not shown by the API"


class Waiting:
    """All that is waited for at the moment."""

    def __init__(self) -> None:
        self._waiting = 0

    async def until(self, what: str, missing: Callable[[], Awaitable[str | None]], deadline: float, log: Log) -> None:
        """Asks `missing` until it returns None; what it returns else is what `what` is or does instead.

        `deadline` is a time of the running loop. Raises StillWaitingError when it is over.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        interval = SHORTEST_SECONDS
        self._waiting += 1
        said = False
        try:
            while (status := await missing()) is not None:
                spent = loop.time() - began
                left = deadline - loop.time()
                if left <= 0:
                    raise StillWaitingError(f"{what} is still {status} after {spent:.0f} s")
                await log(Severity.INFO, f"{what} is {status}, for {spent:.0f} s", status=True)
                said = True
                shared = self._waiting * 60.0 / POLLS_PER_MINUTE if self._waiting > FEW else 0.0
                await asyncio.sleep(min(max(interval, shared), left))
                interval = min(interval * GROWTH, LONGEST_SECONDS)
        finally:
            self._waiting -= 1
        if said:
            await log(Severity.INFO, "", status=True)
