"""What a machine is to those who pave it, wherever it comes from."""

from typing import Protocol

import pulumi
from pulumi_command import remote


class Host(Protocol):
    """One generation of a machine that is reached by SSH."""

    address: pulumi.Input[str]
    port: int
    user: str
    """Who logs in."""
    host_key: str
    """The `ssh-ed25519 AAAA…` line that the machine must prove to hold."""

    def connection(self, *, dial_error_limit: int, per_dial_timeout: int) -> remote.ConnectionArgs:
        """How a remote step logs in; the limits are the provider's, in attempts and in seconds for each."""
        ...
