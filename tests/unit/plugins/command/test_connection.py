"""Dialling: waits, limits, keys; against servers in this process."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import asyncssh
import pytest

from lab.plugins.command import connection, remote
from lab.plugins.command.output import Output
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.log import Severity
from lab.plugins.protocol.operations import Operations

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
USER_KEY = asyncssh.generate_private_key("ssh-ed25519")


class Server(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


async def quiet(severity: Severity, message: str, *, status: bool = False) -> None:
    return


def target(port: int, **changes: Any) -> connection.Endpoint:
    properties = {
        "host": "127.0.0.1",
        "port": float(port),
        "privateKey": USER_KEY.export_private_key().decode(),
        "hostKey": HOST_KEY.export_public_key().decode(),
        "dialErrorLimit": 0.0,
        **changes,
    }
    return connection.endpoint({key: value for key, value in properties.items() if value is not None})


def served(test: Callable[[int], Awaitable[None]], handler: Callable[..., Any], *keys: asyncssh.SSHKey) -> None:
    """Runs the test against a server with these host keys."""

    async def run() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Server,
            server_host_keys=list(keys) or [HOST_KEY],
            process_factory=handler,
        )
        async with server:
            await test(server.get_port())

    asyncio.run(run())


async def run_there(port: int, stdin: str | None = None, **changes: Any) -> Output:
    output = Output("none", quiet)
    await remote.run(target(port, **changes), "any", stdin=stdin, environment={}, previous={}, output=output, log=quiet)
    return output


def test_waits_grow_by_half_up_to_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    messages: list[str] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def log(severity: Severity, message: str, *, status: bool = False) -> None:
        messages.append(message)

    async def refuse(*arguments: Any, **options: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(connection.asyncio, "sleep", sleep)
    monkeypatch.setattr(connection.asyncssh, "connect", refuse)

    async def dial() -> None:
        async with connection.connect(target(1, dialErrorLimit=12.0), log):
            pass

    with pytest.raises(
        PluginError, match=r"after 12 failed attempts: dial tcp 127\.0\.0\.1:1: connect: connection refused"
    ):
        asyncio.run(dial())
    assert waits == pytest.approx([0.1 * 1.5**number for number in range(10)] + [5.0, 5.0])
    assert messages[-1] == "Dial 12/12 failed: retrying"


def test_a_pinned_key_is_chosen_among_several_and_another_is_a_mismatch() -> None:
    others = [
        asyncssh.generate_private_key("ecdsa-sha2-nistp256"),
        asyncssh.generate_private_key("ssh-rsa", key_size=2048),
    ]

    def handler(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write("here")
        process.exit(0)

    async def chosen(port: int) -> None:
        assert (await run_there(port)).stdout == "here"

    served(chosen, handler, *others, HOST_KEY)

    async def mismatch(port: int) -> None:
        with pytest.raises(PluginError, match="after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch"):
            await run_there(port)

    served(mismatch, handler, *others)


def test_malformed_keys_are_named_and_not_repeated() -> None:
    for changes, named in (
        ({"hostKey": "nonsense-key"}, "connection.hostKey"),
        ({"privateKey": "nonsense-key"}, "connection.privateKey"),
        ({"proxy": {"host": "127.0.0.1", "hostKey": "nonsense-key"}}, "proxy: ssh: connection.hostKey"),
    ):
        with pytest.raises(PluginError, match=named) as error:
            asyncio.run(run_there(1, **changes))
        assert "nonsense" not in str(error.value)


def test_an_agent_that_does_not_answer_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")
    with pytest.raises(PluginError, match="agent at /nowhere/agent"):
        asyncio.run(run_there(1))


def test_a_host_that_answers_no_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_SECONDS", 0.05)
    monkeypatch.setattr(connection, "KEEPALIVE_COUNT", 1)

    async def run() -> None:
        server = await asyncssh.listen(
            "127.0.0.1", 0, server_factory=Server, server_host_keys=[HOST_KEY], process_factory=stay
        )
        cut = asyncio.Event()
        begun = asyncio.Event()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.get_port())

            async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    if not cut.is_set():
                        sink.write(data)

            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

        proxy = await asyncio.start_server(relay, "127.0.0.1", 0)

        def feed(*arguments: Any) -> None:
            begun.set()

        output = Output("none", quiet)
        monkeypatch.setattr(output, "feed", feed)
        port = proxy.sockets[0].getsockname()[1]
        running = asyncio.create_task(
            remote.run(target(port), "any", stdin=None, environment={}, previous={}, output=output, log=quiet)
        )
        await begun.wait()
        cut.set()
        with pytest.raises(remote.CommandFailedError, match="without exit status or exit signal"):
            await running
        proxy.close()
        server.close()

    async def stay(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write("begun")
        await asyncio.sleep(60)

    asyncio.run(asyncio.wait_for(run(), 30))


def test_an_endpoint_does_not_show_its_secrets() -> None:
    shown = repr(target(1, password="hidden", privateKeyPassword="hidden", proxy={"host": "p", "password": "hidden"}))
    assert "hidden" not in shown
    assert "PRIVATE" not in shown


def test_dialling_that_runs_out_of_time_says_what_was_tried() -> None:
    async def dial() -> None:
        async with connection.connect(target(1, dialErrorLimit=-1.0), quiet):
            pass

    expected = r"\(customTimeouts\): after \d+ failed attempts: dial tcp 127\.0\.0\.1:1: connect: connection refused$"
    with pytest.raises(PluginError, match=expected):
        asyncio.run(Operations().run("create", 0.5, dial()))
