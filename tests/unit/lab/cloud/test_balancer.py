"""Load balancers on loopback: whose turn it is, who is healthy, and what becomes of connections."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from lab.cloud.balancer import Health, Running, ask
from lab.cloud.hypervisor import Balancer, HealthCheck

PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
CHECK = HealthCheck("tcp", 1, "/", interval=3600, timeout=1, unhealthy=3, healthy=2)
ONCE = replace(CHECK, unhealthy=1, healthy=1)


def free_port(*addresses: str) -> int:
    """One that is free at all of them."""
    while True:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            port = 0
            for address in addresses:
                taken = stack.enter_context(socket.socket())
                taken.bind((address, port))
                port = taken.getsockname()[1]
            return port


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def backend(address: str, port: int, serve: Handler) -> AsyncIterator[None]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, address, port)
    yield
    server.close()


def says(text: str) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.encode())

    return serve


class Checks:
    """The answers of health checks as a test has them; every check asks anew at once when they change."""

    def __init__(self, *healthy: str) -> None:
        self.healthy = set(healthy)

    async def probe(self, check: HealthCheck, address: str, source: str) -> bool:
        assert source == PRIVATE
        return address in self.healthy


@asynccontextmanager
async def running(balancer: Balancer, checks: Checks) -> AsyncIterator[Running]:
    changed = asyncio.Event()
    at_work = Running(balancer, changed.set, checks.probe)
    await at_work.start(balancer)
    if checks.healthy:
        await changed.wait()
    await settle()
    yield at_work
    at_work.stop()


async def settle() -> None:
    """Let everything that can go on do so."""
    for _ in range(20):
        await asyncio.sleep(0)


def balancer(target: int, *backends: str, check: HealthCheck = ONCE) -> Balancer:
    port = free_port(PUBLIC, PRIVATE)
    return Balancer("lb", PUBLIC, IPv4Interface(f"{PRIVATE}/8"), ((port, target),), check, backends)


async def said(address: str, port: int) -> str:
    """What comes until the end of a connection; empty where it is refused or reset."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
        with contextlib.closing(writer):
            return (await reader.read()).decode()
    except OSError:
        return ""


def test_a_backend_is_down_until_it_has_passed_as_many_checks_as_it_must() -> None:
    health = Health()
    assert [health.note(True, CHECK) for _ in range(3)] == [False, True, False]
    assert health.up


def test_a_backend_goes_down_after_as_many_failures_in_a_row_and_a_pass_between_counts() -> None:
    health = Health(up=True)
    changes = [health.note(passed, CHECK) for passed in (False, False, True, False, False, False)]
    assert changes == [False] * 5 + [True]
    assert not health.up


def test_connections_go_to_healthy_backends_in_turn_from_the_private_address() -> None:
    async def test() -> None:
        async def source(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"{writer.get_extra_info('sockname')[0]} {writer.get_extra_info('peername')[0]}".encode())

        names = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
        port = free_port(*names)
        async with AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(backend(name, port, source))
            wanted = balancer(port, *names)
            await stack.enter_async_context(running(wanted, Checks(*names[:2])))
            for address in (PUBLIC, PRIVATE):
                seen = {await said(address, wanted.ports[0][0]) for _ in range(4)}
                assert seen == {f"{names[0]} {PRIVATE}", f"{names[1]} {PRIVATE}"}

    asyncio.run(test())


def test_without_a_healthy_backend_a_connection_is_closed_at_once() -> None:
    async def test() -> None:
        port = free_port("127.0.0.11")
        wanted = balancer(port, "127.0.0.11")
        async with backend("127.0.0.11", port, says("never")), running(wanted, Checks()):
            assert await said(PUBLIC, wanted.ports[0][0]) == ""

    asyncio.run(test())


def test_a_backend_that_refuses_hands_the_connection_to_the_next() -> None:
    async def test() -> None:
        port = free_port("127.0.0.11", "127.0.0.12")
        wanted = balancer(port, "127.0.0.11", "127.0.0.12")
        checks = Checks("127.0.0.11", "127.0.0.12")
        async with backend("127.0.0.12", port, says("here")), running(wanted, checks):
            assert {await said(PUBLIC, wanted.ports[0][0]) for _ in range(3)} == {"here"}

    asyncio.run(test())


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Gives back line after line, and says goodbye at the end."""
    while line := await reader.readline():
        writer.write(line)
    writer.write(b"bye")


def test_the_end_of_one_direction_leaves_the_other_open() -> None:
    async def test() -> None:
        port = free_port("127.0.0.11")
        wanted = balancer(port, "127.0.0.11")
        async with backend("127.0.0.11", port, echo), running(wanted, Checks("127.0.0.11")):
            reader, writer = await asyncio.open_connection(PUBLIC, wanted.ports[0][0])
            lines = b"x\n" * 100_000
            writer.write(lines)
            writer.write_eof()
            assert await reader.read() == lines + b"bye"
            writer.close()

    asyncio.run(test())


def test_a_connection_outlives_other_backends_and_ends_with_the_health_of_its_own() -> None:
    async def test() -> None:
        port = free_port("127.0.0.11", "127.0.0.12")
        one, two = "127.0.0.11", "127.0.0.12"
        wanted = balancer(port, one)
        checks = Checks(one, two)
        async with backend(one, port, echo), backend(two, port, echo), running(wanted, checks) as at_work:
            reader, writer = await asyncio.open_connection(PUBLIC, wanted.ports[0][0])
            writer.write(b"first\n")
            assert await reader.readline() == b"first\n"
            at_work.update(replace(wanted, backends=(one, two)))
            await settle()
            assert at_work.health() == {one: True, two: True}
            writer.write(b"second\n")
            assert await reader.readline() == b"second\n"
            checks.healthy = {two}
            at_work.update(replace(wanted, backends=(one, two), check=replace(ONCE, path="/asks-again")))
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            assert at_work.health() == {one: False, two: True}
            writer.close()

    asyncio.run(test())


def test_a_port_that_is_taken_is_said_and_leaves_nothing_open() -> None:
    async def test() -> None:
        wanted = balancer(1)
        port = wanted.ports[0][0]
        both = replace(wanted, ports=((free_port(PUBLIC, PRIVATE), 1), (port, 1)))
        async with backend(PUBLIC, port, says("other")):
            at_work = Running(both, lambda: None)
            with pytest.raises(OSError, match="address already in use"):
                await at_work.start(both)
        assert await said(PUBLIC, both.ports[0][0]) == ""

    asyncio.run(test())


@pytest.mark.parametrize(
    ("answer", "passes"),
    [
        ("HTTP/1.1 200 OK\r\n\r\n", True),
        ("HTTP/1.1 302 Found\r\n\r\n", True),
        ("HTTP/1.1 404 Not Found\r\n\r\n", False),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", False),
        ("HTTP/1.1\r\n", False),
    ],
)
def test_a_check_by_http_wants_a_status_of_success(answer: str, passes: bool) -> None:
    async def test() -> None:
        port = free_port("127.0.0.11")
        check = replace(CHECK, protocol="http", port=port, path="/healthz")
        asked = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readline())
            writer.write(answer.encode())

        async with backend("127.0.0.11", port, serve):
            assert await ask(check, "127.0.0.11", PRIVATE) is passes
        assert asked == [b"GET /healthz HTTP/1.1\r\n"]

    asyncio.run(test())


def test_a_check_by_tcp_wants_a_connection_and_no_more() -> None:
    async def test() -> None:
        port = free_port("127.0.0.11")
        check = replace(CHECK, port=port)
        async with backend("127.0.0.11", port, says("")):
            assert await ask(check, "127.0.0.11", PRIVATE)
        with pytest.raises(ConnectionRefusedError):
            await ask(check, "127.0.0.11", PRIVATE)

    asyncio.run(test())
