"""Operations that end in time: by themselves, at their timeout, or when the user cancels the update."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from . import PluginError

T = TypeVar("T")


class Operations:
    """All operations that run at the moment."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._cancelled = False

    async def run(self, what: str, timeout: float, work: Coroutine[Any, Any, T]) -> T:
        """Runs the work for `timeout` seconds at most; 0 is no limit.

        The limit is the resource option `customTimeouts`, which "the operation … will fail" after
        (pulumi.com/docs/iac/concepts/resources/options/customtimeouts).

        Raises:
            PluginError: the time is over, or the update was cancelled.
        """
        task = asyncio.create_task(work)
        self._running.add(task)
        if self._cancelled:
            task.cancel()
        try:
            async with asyncio.timeout(timeout or None) as limit:
                return await task
        except TimeoutError as error:
            if not limit.expired():
                raise
            # What the work was cancelled out of, where it says so: see `connection._dial`.
            spent_on = f": {error.__cause__}" if str(error.__cause__ or "") else ""
            raise PluginError(f"{what} timed out after {timeout:g}s (customTimeouts){spent_on}") from None
        except asyncio.CancelledError:
            if self._cancelled:
                raise PluginError(f"{what} was cancelled") from None
            raise
        finally:
            self._running.discard(task)

    def cancel(self) -> None:
        """Ends everything that runs, and everything that is begun later."""
        self._cancelled = True
        for task in self._running:
            task.cancel()
