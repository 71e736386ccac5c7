"""What a machine is to those who pave it, wherever it comes from."""

from typing import Protocol

from pulumi_command import remote


class Host(Protocol):
    """One generation of a machine that is reached by SSH."""

    user: str
    """Who logs in."""

    def connection(self, *, dial_error_limit: int, per_dial_timeout: int) -> remote.ConnectionArgs:
        """How a remote step logs in; the limits are the provider's, in attempts and in seconds for each."""
        ...
