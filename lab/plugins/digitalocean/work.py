"""What an operation on one resource has at hand."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity

from .api import Api
from .retry import Retries
from .waiting import Waiting

if TYPE_CHECKING:
    from .spaces import Spaces


@dataclass(frozen=True)
class Work:
    """One operation.

    Args:
        name: of the resource, for messages: `droplet server-a-1`.
        deadline: the time of the running loop until which is waited.
        log: where progress goes.
    """

    api: Api
    spaces: "Spaces"
    waiting: Waiting
    retries: Retries
    name: str
    deadline: float
    log: Log

    async def until(self, missing: Callable[[], Awaitable[str | None]], what: str = "") -> None:
        """Waits until nothing is missing; see `Waiting.until`."""
        await self.waiting.until(what or self.name, missing, self.deadline, self.log)

    async def finished(self, answer: dict[str, dict[str, object]]) -> None:
        """Waits for the action that the API answered with.

        Raises PluginError if it fails.
        """
        action = answer["action"]
        kind = str(action.get("type", "action")).replace("_", " ")
        if action.get("status") == "completed":
            return

        async def missing() -> str | None:
            status = str((await self.api.ask("actions", "get", action["id"]))["action"]["status"])
            if status == "errored":
                raise PluginError(
                    f"{kind} ended with an error (action {action['id']}): see the resource's history in the control"
                    " panel, and run it again"
                )
            return None if status == "completed" else f"at the action {kind} ({status})"

        await self.log(Severity.INFO, f"{self.name}: {kind}", status=True)
        await self.until(missing)
