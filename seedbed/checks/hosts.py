"""The machines: each answers, is the one whose key is pinned, and lets the operator's key in."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncssh

from seedbed.checks.disk import HOST_FAIL_BYTES, HOST_WARN_BYTES, grade
from seedbed.findings import Finding, fail, ok, warn

LIMIT_SECONDS = 5.0
"""How long one host may take; all are asked at the same time."""


HOST_KEY_ALGORITHMS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""The pinned key's first, by which a host that has it answers. With that one alone, one that has others only would break off,
or be broken off from, whichever comes first; so it is told by its key."""


@dataclass(frozen=True)
class Target:
    """One machine as it should be; `host_key` is `ssh-ed25519 AAAA…`."""

    name: str
    address: str
    port: int
    user: str
    host_key: str


def check_hosts(
    targets: Sequence[Target], operator_key: str, stack: str, limit: float = LIMIT_SECONDS
) -> list[Finding]:
    """Asks all of them at once; `operator_key` is an OpenSSH private key, `limit` the seconds that one may take."""
    return asyncio.run(_check_all(targets, operator_key, stack, limit))


async def _check_all(targets: Sequence[Target], operator_key: str, stack: str, limit: float) -> list[Finding]:
    found = await asyncio.gather(*(_check(target, operator_key, stack, limit) for target in targets))
    return [finding for findings in found for finding in findings]


async def _check(target: Target, operator_key: str, stack: str, limit: float) -> list[Finding]:
    where = f"host {target.name} ({target.address}:{target.port})"
    try:
        async with asyncio.timeout(limit):
            return await _log_in(target, where, operator_key)
    except TimeoutError:
        return [fail(f"{where}: no answer within {limit:g} s", "Is it on, and does a firewall let this machine in?")]
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed):
        return [
            fail(
                f"{where}: answers with another host key than the pinned one",
                "Either another machine has this address, or this one was not given its key: "
                f"`seedbed cloud-init {stack} {target.name}` prints it. Do not go on before you know which.",
            )
        ]
    except asyncssh.PermissionDenied:
        return [
            fail(
                f"{where}: is the right machine and refuses the operator's key",
                f"Put the stack's operator key into {target.user}'s authorized_keys there; "
                f"`seedbed cloud-init {stack} {target.name}` shows it.",
            )
        ]
    except OSError as error:
        return [fail(f"{where}: cannot be reached ({error.strerror or error})", "Is it on, and is sshd running?")]
    except asyncssh.Error as error:
        return [fail(f"{where}: ssh fails ({error.reason})", "Look at sshd's journal on the host.")]


async def _log_in(target: Target, where: str, operator_key: str) -> list[Finding]:
    async with asyncssh.connect(
        target.address,
        target.port,
        username=target.user,
        client_keys=[asyncssh.import_private_key(operator_key)],
        known_hosts=([asyncssh.import_public_key(target.host_key)], [], []),
        server_host_key_algs=list(HOST_KEY_ALGORITHMS),
        agent_path=None,
        config=None,
        preferred_auth="publickey",
    ) as connection:
        result = await connection.run("df -Pk /var/lib | tail -n 1", check=False)
    reachable = ok(f"{where}: answers, with the pinned key")
    try:
        available = int(str(result.stdout).split()[3]) * 1024
    except (IndexError, ValueError):
        return [reachable, warn(f"{where}: its free disk could not be read")]
    return [reachable, grade(f"disk: {target.name}", available, HOST_FAIL_BYTES, HOST_WARN_BYTES)]
