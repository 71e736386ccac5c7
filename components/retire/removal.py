"""How a machine is taken out of the cluster, by scripts on the servers that stay and on the machine itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.remote.session import Login
from components.retire.gate import Leaving, RetireError, Say


@dataclass(frozen=True, kw_only=True)
class Removal:
    """`private_key` logs in everywhere; `drain_seconds` is how long pods may take to go elsewhere."""

    private_key: str
    drain_seconds: int

    def __call__(self, leaving: Leaving, servers: Sequence[Login], say: Say) -> None:  # noqa: ARG002
        """See `components.retire.gate.Remove`."""
        say("begins to leave")
        raise RetireError("not built yet")
