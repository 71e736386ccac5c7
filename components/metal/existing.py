"""A machine that somebody else provisioned and that is reached by SSH."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote


@dataclass(frozen=True, kw_only=True)
class ExistingHostArgs:
    """How to log in to the machine.

    `host_key` is the `ssh-ed25519 AAAA…` line that the machine must prove to hold: there is no trust on first use.
    """

    address: str
    port: int
    user: str
    private_key: pulumi.Input[str]
    host_key: str


class ExistingHost(pulumi.ComponentResource):
    """One generation of a machine; it owns nothing, so removing it leaves the machine running."""

    address: pulumi.Input[str]
    port: int
    user: str
    host_key: str

    def __init__(self, name: str, args: ExistingHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("seedbed:metal:ExistingHost", name, None, opts)
        self.address, self.port = args.address, args.port
        self.user, self.host_key = args.user, args.host_key
        self._args = args
        self.register_outputs({"address": args.address})

    def connection(self, *, dial_error_limit: int, per_dial_timeout: int) -> remote.ConnectionArgs:
        """How a remote step logs in; the limits are the provider's, in attempts and in seconds for each."""
        return remote.ConnectionArgs(
            host=self._args.address,
            port=self._args.port,
            user=self._args.user,
            private_key=pulumi.Output.secret(self._args.private_key),
            host_key=self._args.host_key,
            dial_error_limit=dial_error_limit,
            per_dial_timeout=per_dial_timeout,
        )
