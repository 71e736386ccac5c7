"""SSH connections: who to reach, as whom, with which keys, how often to try.

Source: remote/connection.go. This module loads `asyncssh`, which takes longer than a whole preview: it is imported
when a command runs, not before.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Log, Severity
from lab.plugins.protocol.values import Properties

FIRST_DELAY_SECONDS = 0.1
DELAY_GROWTH = 1.5
LONGEST_DELAY_SECONDS = 5.0
"""Waits between attempts: pulumi/pulumi `sdk/go/common/util/retry/until.go`, its defaults."""

UNLIMITED = -1

KEEPALIVE_SECONDS = 15.0
KEEPALIVE_COUNT = 3
"""A host that does not answer this many questions in a row is gone: noticed within a minute. The official plugin
leaves it to TCP: 15 s and nine probes, Go's `net.KeepAliveConfig`."""

CLOSE_SECONDS = 3.0


@dataclass(frozen=True)
class Endpoint:
    """The input `connection`, or the `proxy` inside it. Durations in seconds."""

    host: str
    port: int
    user: str
    dial_error_limit: int
    per_dial_timeout: int
    host_key: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    private_key_password: str | None = field(default=None, repr=False)
    agent_socket_path: str | None = None
    proxy: "Endpoint | None" = None

    @property
    def address(self) -> str:
        """Host and port as Go prints them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint(properties: Properties) -> Endpoint:
    """Reads a checked `connection` without its secret markers.

    The defaults stand here too because a state may come from an older version that did not store them.
    """
    proxy = properties.get("proxy")
    return Endpoint(
        host=properties["host"],
        port=int(properties.get("port", 22)),
        user=properties.get("user", "root"),
        dial_error_limit=int(properties.get("dialErrorLimit", 10)),
        per_dial_timeout=int(properties.get("perDialTimeout", 15)),
        host_key=properties.get("hostKey"),
        password=properties.get("password"),
        private_key=properties.get("privateKey"),
        private_key_password=properties.get("privateKeyPassword"),
        agent_socket_path=properties.get("agentSocketPath"),
        proxy=endpoint(proxy) if proxy else None,
    )


@contextlib.asynccontextmanager
async def connect(target: Endpoint, log: Log) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """An SSH connection to the target, through its proxy if it has one; closed at the end.

    Raises:
        PluginError: a malformed key (before anything is dialled), or no connection within the limits.
    """
    async with contextlib.AsyncExitStack() as stack:
        options = await _options(target, stack)
        tunnel = None
        if target.proxy is not None:
            try:
                proxy_options = await _options(target.proxy, stack)
                tunnel = await _dial(target.proxy, "Dial proxy", proxy_options, None, log)
            except PluginError as error:
                raise PluginError(f"proxy: {error}") from None
            stack.push_async_callback(_close, tunnel)
        try:
            connection = await _dial(target, "Dial", options, tunnel, log)
        except PluginError as error:
            raise PluginError(f"proxy: {error}" if tunnel else str(error)) from None
        stack.push_async_callback(_close, connection)
        yield connection


async def _close(connection: asyncssh.SSHClientConnection) -> None:
    connection.close()
    try:
        await asyncio.wait_for(connection.wait_closed(), CLOSE_SECONDS)
    except (TimeoutError, OSError):
        connection.abort()


async def _options(target: Endpoint, stack: contextlib.AsyncExitStack) -> dict[str, Any]:
    """The arguments for asyncssh, with all keys read.

    Nothing of the machine's own SSH configuration is used: an `up` must not depend on who runs it.
    """
    options: dict[str, Any] = {
        "username": target.user,
        "config": None,
        "client_keys": None,
        "agent_path": None,
        "known_hosts": None,
        "gss_auth": False,
        "gss_kex": False,
        "host_based_auth": False,
        "password": target.password,
        "keepalive_interval": KEEPALIVE_SECONDS,
        "keepalive_count_max": KEEPALIVE_COUNT,
        # _dial bounds all of it.
        "connect_timeout": None,
        "login_timeout": 0,
    }
    if target.host_key is not None:
        options.update(_pinned(target.host_key))
    keys: list[Any] = []
    if target.private_key is not None:
        try:
            keys.append(asyncssh.import_private_key(target.private_key, target.private_key_password))
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise PluginError(f"ssh: connection.privateKey cannot be used: {error}") from None
    agent_socket = target.agent_socket_path or os.environ.get("SSH_AUTH_SOCK")
    if agent_socket:
        # One that does not answer fails the command, as it does in connection.go.
        try:
            agent = await stack.enter_async_context(asyncssh.connect_agent(agent_socket))
            keys.extend(await agent.get_keys())
        except (OSError, ValueError) as error:
            raise PluginError(f"ssh: agent at {agent_socket}: {error}") from None
    if keys:
        options["client_keys"] = keys
    return options


def _pinned(host_key: str) -> dict[str, Any]:
    """The arguments that accept one host key only."""
    try:
        key = asyncssh.import_public_key(host_key)
    except asyncssh.KeyImportError:
        raise PluginError(
            "ssh: connection.hostKey is not a public key in the form 'ssh-ed25519 AAAA…' (no host name before it)"
        ) from None
    algorithms = [algorithm.decode() for algorithm in key.sig_algorithms]
    return {"known_hosts": ([key], [], []), "server_host_key_algs": algorithms}


async def _dial(
    target: Endpoint,
    what: str,
    options: dict[str, Any],
    tunnel: asyncssh.SSHClientConnection | None,
    log: Log,
) -> asyncssh.SSHClientConnection:
    """Dials until it works or has failed more often than `dialErrorLimit` allows: a limit of 10 is 11 attempts."""
    failures = 0
    delay = FIRST_DELAY_SECONDS
    reason = f"no answer from {target.address}"
    try:
        while True:
            try:
                return await _dial_once(target, options, tunnel)
            except _DialError as error:
                failures += 1
                reason = f"after {failures} failed attempts: {error}"
                if UNLIMITED < target.dial_error_limit < failures:
                    raise PluginError(f"after {failures - 1} failed attempts: {error}") from None
            limit = "inf" if target.dial_error_limit <= UNLIMITED else target.dial_error_limit
            await log(Severity.INFO, f"{what} {failures}/{limit} failed: retrying", status=True)
            await asyncio.sleep(delay)
            delay = min(delay * DELAY_GROWTH, LONGEST_DELAY_SECONDS)
    except asyncio.CancelledError:
        # Whoever set the limit can then say what the time was spent on.
        raise asyncio.CancelledError(reason) from None


class _DialError(Exception):
    """One attempt failed, for a reason that may go away; the text is what x/crypto and net say in Go."""


async def _dial_once(
    target: Endpoint, options: dict[str, Any], tunnel: asyncssh.SSHClientConnection | None
) -> asyncssh.SSHClientConnection:
    # asyncssh takes "no tunnel" as an absent argument.
    extra = {} if tunnel is None else {"tunnel": tunnel}
    try:
        async with asyncio.timeout(target.per_dial_timeout or None):
            return await asyncssh.connect(target.host, target.port, **options, **extra)
    except TimeoutError:
        reason = f"dial tcp {target.address}: i/o timeout"
    except asyncssh.HostKeyNotVerifiable:
        reason = "ssh: handshake failed: ssh: host key mismatch"
    except asyncssh.PermissionDenied:
        reason = "ssh: handshake failed: ssh: unable to authenticate, no supported methods remain"
    except asyncssh.KeyExchangeFailed as error:
        if target.host_key is not None and "host key" in error.reason:
            # The host has no key of the pinned type at all.
            reason = "ssh: handshake failed: ssh: host key mismatch"
        else:
            reason = f"ssh: handshake failed: {error.reason}"
    except asyncssh.ChannelOpenError as error:
        reason = f"ssh: rejected: {error.reason}"
    except asyncssh.Error as error:
        reason = f"ssh: handshake failed: {error.reason}"
    except ConnectionResetError:
        reason = "ssh: handshake failed: connection reset by peer"
    except ConnectionRefusedError:
        reason = f"dial tcp {target.address}: connect: connection refused"
    except socket.gaierror:
        reason = f"dial tcp: lookup {target.host}: no such host"
    except OSError as error:
        reason = f"dial tcp {target.address}: {(error.strerror or str(error)).lower()}"
    raise _DialError(reason)
