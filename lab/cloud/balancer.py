"""Load balancers as DigitalOcean's with forwarding rules for TCP: what arrives is passed on as it is.

A backend is down until it has passed as many checks as the threshold says, and so after a failure: DigitalOcean's
"How to Manage Load Balancers", health checks. What its balancers do with connections to a backend that fails its checks
is not documented; here they are closed, as HAProxy's `on-marked-down shutdown-sessions` does, so that a client whose
server has lost its power learns of it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from lab.cloud.hypervisor import Balancer, HealthCheck

CHUNK = 1 << 16
HEALTHY_STATUS = range(200, 400)
"""Source: https://docs.digitalocean.com/glossary/health-check/"""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Probe = Callable[[HealthCheck, str, str], Awaitable[bool]]


@dataclass
class Health:
    """What the checks of one backend have come to."""

    up: bool = False
    _in_a_row: int = field(default=0, repr=False)
    """Checks that said the opposite of `up`, one after another."""

    def note(self, passed: bool, check: HealthCheck) -> bool:
        """Take a check's result into account; true where it changes `up`."""
        if passed == self.up:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        if self._in_a_row < (check.healthy if passed else check.unhealthy):
            return False
        self.up, self._in_a_row = passed, 0
        return True


@dataclass
class Backend:
    """One machine behind a balancer."""

    address: str
    health: Health = field(default_factory=Health)
    connections: set[asyncio.WriteTransport] = field(default_factory=set)
    watch: asyncio.Task[None] | None = None

    def close(self) -> None:
        """End the connections to it, on both sides."""
        for transport in list(self.connections):
            transport.abort()


class Running:
    """A load balancer at work, in the network namespace of this process, which has its addresses."""

    def __init__(self, balancer: Balancer, changed: Callable[[], None], probe: Probe | None = None) -> None:
        """`changed` is called when a backend has become healthy or is it no more."""
        self.balancer = replace(balancer, backends=())
        self._changed, self._probe = changed, probe or ask
        self._backends: dict[str, Backend] = {}
        self._servers: list[asyncio.Server] = []
        self._next = 0

    async def start(self, balancer: Balancer) -> None:
        """Listen. Raises OSError where an address is not there or a port is taken."""
        try:
            for port, target in balancer.ports:
                serve = partial(self._serve, target)
                addresses = [balancer.public, str(balancer.private.ip)]
                self._servers.append(await asyncio.start_server(serve, addresses, port, limit=CHUNK))
        except OSError:
            self.stop()
            raise
        self.update(balancer)

    def listens_as(self, balancer: Balancer) -> bool:
        """Whether `update` alone makes it this one."""
        mine = self.balancer
        return (mine.public, mine.private, mine.ports) == (balancer.public, balancer.private, balancer.ports)

    def update(self, balancer: Balancer) -> None:
        """Take over checks and backends; what is known of those that stay is kept, with their connections."""
        checks_anew = balancer.check != self.balancer.check
        self.balancer = balancer
        for address in [address for address in self._backends if address not in balancer.backends]:
            _end(self._backends.pop(address))
        for address in balancer.backends:
            backend = self._backends.setdefault(address, Backend(address))
            if backend.watch is None or checks_anew:
                if backend.watch is not None:
                    backend.watch.cancel()
                backend.watch = asyncio.create_task(self._watch(backend))

    def stop(self) -> None:
        """Listen no more, and end what is open."""
        for server in self._servers:
            server.close()
        for backend in self._backends.values():
            _end(backend)
        self._servers, self._backends = [], {}

    def health(self) -> Mapping[str, bool]:
        """Of each backend, whether it gets connections."""
        return {address: backend.health.up for address, backend in self._backends.items()}

    async def _watch(self, backend: Backend) -> None:
        clock = asyncio.get_running_loop()
        while True:
            check, began = self.balancer.check, clock.time()
            try:
                async with asyncio.timeout(check.timeout):
                    passed = await self._probe(check, backend.address, str(self.balancer.private.ip))
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
                passed = False
            if backend.health.note(passed, check):
                if not passed:
                    backend.close()
                self._changed()
            await asyncio.sleep(max(0.0, began + check.interval - clock.time()))

    async def _serve(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: to the next healthy backend that takes it, or closed at once."""
        for backend in self._turn():
            try:
                async with asyncio.timeout(self.balancer.check.timeout):
                    there = await asyncio.open_connection(
                        backend.address, port, local_addr=(str(self.balancer.private.ip), 0), limit=CHUNK
                    )
            except (OSError, TimeoutError):
                continue
            await _relay(backend, (reader, writer), there)
            return
        writer.transport.abort()

    def _turn(self) -> list[Backend]:
        """The healthy backends, beginning with the one whose turn it is."""
        healthy = [backend for backend in self._backends.values() if backend.health.up]
        self._next += 1
        start = self._next % len(healthy) if healthy else 0
        return healthy[start:] + healthy[:start]


async def ask(check: HealthCheck, address: str, source: str) -> bool:
    """One check of a backend. The certificate behind `https` may be anybody's. Raises OSError, ValueError."""
    tls = None
    if check.protocol == "https":
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(address, check.port, local_addr=(source, 0), ssl=tls)
    try:
        if check.protocol == "tcp":
            return True
        head = f"GET {check.path} HTTP/1.1\r\nHost: {address}:{check.port}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        line = await reader.readuntil(b"\r\n")
        return int(line.split()[1]) in HEALTHY_STATUS
    except IndexError:
        return False
    finally:
        writer.transport.abort()


async def _relay(backend: Backend, client: Connection, server: Connection) -> None:
    """Pass on in both directions until both are at their end, or one breaks."""
    ends = {client[1].transport, server[1].transport}
    backend.connections |= ends
    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(_pump(client[0], server[1]))
            both.create_task(_pump(server[0], client[1]))
        for transport in ends:
            transport.close()
    except* OSError:
        for transport in ends:
            transport.abort()
    finally:
        backend.connections -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):  # the other direction has closed it already
        writer.write_eof()


def _end(backend: Backend) -> None:
    if backend.watch is not None:
        backend.watch.cancel()
    backend.close()
