"""Scripts on machines outside of the engine's resources, by the OpenSSH client: what a gate does, and what only looks."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where a machine is; `host_key` is the `ssh-ed25519 AAAA…` line that it must prove to hold."""

    machine: str
    address: str
    port: int
    user: str
    host_key: str
