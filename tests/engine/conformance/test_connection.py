"""How a host is reached, how often, for how long, and what is said when it is not.

Sources: Registry, command.remote.Connection; pulumi/pulumi-command `remote/connection.go`.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi import CustomTimeouts, ResourceOptions
from pulumi_command import remote

from tests.engine.conformance.harness import (
    TIMEOUT_SECONDS,
    Program,
    Server,
    Stack,
    free_port,
    listener,
    other_host_key,
)

pytestmark = pytest.mark.engine


def one(connection: remote.ConnectionArgs, *, create: str = "echo here", seconds: str | None = None) -> Program:
    """A program of one command, under a timeout if asked for."""

    def program() -> None:
        timeouts = CustomTimeouts(create=seconds) if seconds else None
        remote.Command("c", create=create, connection=connection, opts=ResourceOptions(custom_timeouts=timeouts))

    return program


def test_a_connection_has_the_documented_defaults(stack: Stack, host: Server) -> None:
    """Registry: port 22, user root, dialErrorLimit 10, perDialTimeout 15; provider_test.go, TestRegress248.

    A program in another language than Python sends none of them; the provider fills them in.
    """
    import pulumi

    class Bare(pulumi.CustomResource):
        def __init__(self) -> None:
            properties = {"create": None, "connection": {"host": "127.0.0.1"}}
            super().__init__("command:remote:Command", "c", properties, ResourceOptions(version="1.2.1"))

    def program() -> None:
        Bare()

    stack.up(program)
    shown = subprocess.run(
        [stack.pulumi, "stack", "export", "--show-secrets", "--stack", "test"],
        cwd=stack.folder,
        env=stack.environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    ).stdout
    compact = "".join(shown.split())
    for default in ('"port\\":22', '"user\\":\\"root\\"', '"dialErrorLimit\\":10', '"perDialTimeout\\":15'):
        assert default in compact
    assert stack.resources()["c"]["inputs"]["addPreviousOutputInEnv"] is True


def test_failed_dials_are_repeated_as_often_as_the_limit_says(stack: Stack) -> None:
    """Registry: `dialErrorLimit`, "Max allowed errors on trying to dial the remote host": one dial more than that."""
    with listener(hang_up=True) as server:
        limit = 3
        result = stack.up(
            one(remote.ConnectionArgs(host="127.0.0.1", port=server.port, dial_error_limit=limit)), succeeds=False
        )
        assert server.accepted == limit + 1
    text = result.text("c")
    assert "after 3 failed attempts: ssh: handshake failed" in text
    assert [f"Dial {number}/3 failed: retrying" in text for number in (1, 2, 3, 4)] == [True, True, True, False]


def test_a_refused_connection_says_so(stack: Stack) -> None:
    """remote/connection.go, dialWithRetry: `after %d failed attempts: %w`."""
    port = free_port()
    result = stack.up(one(remote.ConnectionArgs(host="127.0.0.1", port=port, dial_error_limit=0)), succeeds=False)
    expected = f"after 0 failed attempts: dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert expected in result.text("c")


def test_a_host_with_another_key_is_refused_and_nothing_runs_there(stack: Stack, host: Server, tmp_path: Path) -> None:
    """Registry: `hostKey`, "The expected host key to verify the server's identity"; retried like any failed dial."""
    wrong = host.connection(host_key=other_host_key(tmp_path), dial_error_limit=1)
    connections = host.connections()
    result = stack.up(one(wrong, create=f"touch {tmp_path / 'ran'}"), succeeds=False)
    assert "after 1 failed attempts: ssh: handshake failed: ssh: host key mismatch" in result.text("c")
    assert host.connections() == connections + 2
    assert not (tmp_path / "ran").exists()


def test_malformed_keys_are_errors_before_any_connection(stack: Stack, host: Server) -> None:
    """remote/connection.go, SShConfig: keys are parsed before the dial."""

    def program() -> None:
        for name, changes in {
            "host-key": {"host_key": "127.0.0.1 ssh-ed25519 nonsense"},
            "private-key": {"private_key": "nonsense"},
        }.items():
            remote.Command(name, create="true", connection=host.connection(dial_error_limit=-1, **changes))

    connections = host.connections()
    result = stack.up(program, "--continue-on-error", succeeds=False)
    assert [result.text(name) != "" for name in ("host-key", "private-key")] == [True, True]
    assert "retrying" not in result.output
    assert host.connections() == connections


def test_without_a_host_key_any_host_is_accepted_and_a_proxy_has_a_key_of_its_own(
    stack: Stack, host: Server, open_host: Server, tmp_path: Path
) -> None:
    """Registry: "If not provided, the host key will be ignored"; Connection.proxy."""
    proxy = {
        "host": "127.0.0.1",
        "port": open_host.port,
        "user": open_host.user,
        "private_key": open_host.private_key,
        "dial_error_limit": 0,
    }

    def program() -> None:
        remote.Command("any", create="echo any", connection=host.connection(host_key=None))
        through = remote.ProxyConnectionArgs(**proxy, host_key=open_host.host_key)
        remote.Command("through", create="echo through", connection=host.connection(proxy=through))
        wrong = remote.ProxyConnectionArgs(**proxy, host_key=other_host_key(tmp_path))
        remote.Command("wrong", create="echo wrong", connection=host.connection(proxy=wrong))

    before = open_host.connections()
    result = stack.up(program, "--continue-on-error", succeeds=False)
    assert stack.outputs("any")["stdout"] == "any"
    assert stack.outputs("through")["stdout"] == "through"
    assert "proxy: after 0 failed attempts: ssh: handshake failed: ssh: host key mismatch" in result.text("wrong")
    assert open_host.connections() == before + 2


def test_a_wrong_user_key_is_refused_by_the_host(stack: Stack, host: Server, open_host: Server) -> None:
    """x/crypto/ssh: `unable to authenticate`; retried like any failed dial."""
    connection = host.connection(private_key=open_host.private_key, dial_error_limit=0)
    result = stack.up(one(connection), succeeds=False)
    assert "ssh: handshake failed: ssh: unable to authenticate" in result.text("c")


def test_the_keys_of_an_agent_are_offered(stack: Stack, host: Server) -> None:
    """Registry: `agentSocketPath`; default is the environment variable SSH_AUTH_SOCK."""
    socket = str(stack.folder / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not Path(socket).exists():
            assert agent.poll() is None
        subprocess.run(
            ["ssh-add", "-q", "-"],
            input=host.private_key,
            text=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
            env={**os.environ, "SSH_AUTH_SOCK": socket},
        )
        stack.up(one(host.connection(private_key=None, agent_socket_path=socket)))
    finally:
        agent.terminate()
        agent.wait(TIMEOUT_SECONDS)
    assert stack.outputs("c")["stdout"] == "here"


@pytest.mark.official_breaks("B2: a handshake that stalls is not bounded by perDialTimeout")
def test_a_dial_that_gets_no_answer_ends_after_its_timeout(stack: Stack) -> None:
    """Registry: `perDialTimeout`, "Max number of seconds for each dial attempt"."""
    with listener(hang_up=False) as server:
        silent = remote.ConnectionArgs(host="127.0.0.1", port=server.port, dial_error_limit=0, per_dial_timeout=1)
        result = stack.up(one(silent, seconds="30s"), succeeds=False)
    assert "after 0 failed attempts: dial tcp" in result.text("c")
    assert "i/o timeout" in result.text("c")


def test_custom_timeouts_end_the_dialling(stack: Stack) -> None:
    """pulumi.com/docs/iac/concepts/resources/options/customtimeouts."""
    endless = remote.ConnectionArgs(host="127.0.0.1", port=free_port(), dial_error_limit=-1)
    assert "Dial 1/inf failed: retrying" in stack.up(one(endless, seconds="2s"), succeeds=False).text("c")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """A file that `endless` makes when it begins; the command ends when the file is taken away after the test."""
    path = tmp_path / "running"
    yield path
    path.unlink(missing_ok=True)


def endless(running: Path) -> str:
    """A command that runs until the end of the test: sshd passes no signal on to a command of root."""
    return f"echo begun; touch {running}; while [ -e {running} ]; do sleep 0.1; done"


@pytest.mark.official_breaks("B3: a running session ignores the timeout and ends when the command does")
def test_custom_timeouts_end_a_running_command(stack: Stack, host: Server, running: Path) -> None:
    """The same page: an operation that takes longer fails."""
    result = stack.up(one(host.connection(), create=endless(running), seconds="2s"), succeeds=False)
    assert "create timed out after 2s" in result.text("c")
    assert "begun" in result.text("c")


@pytest.mark.official_breaks("B3: a running session ignores the cancellation")
def test_ctrl_c_ends_dialling_and_running_commands(stack: Stack, host: Server, running: Path) -> None:
    """provider.proto, Cancel: "the provider should … gracefully shut down and abort any ongoing operations"."""

    def program() -> None:
        remote.Command("session", create=endless(running), connection=host.connection())
        nobody = remote.ConnectionArgs(host="127.0.0.1", port=free_port(), dial_error_limit=-1)
        remote.Command("dial", create="true", connection=nobody)

    with stack.started(program) as process:
        while not running.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode != 0
    assert "create was cancelled" in output


def test_a_session_that_ends_without_a_status_is_an_error(stack: Stack, host: Server) -> None:
    """x/crypto/ssh, ExitMissingError and ExitError: a host that goes down, a command that is killed."""

    def program() -> None:
        remote.Command("lost", create="kill -9 $PPID", connection=host.connection())
        remote.Command("killed", create="kill -KILL $$", connection=host.connection())

    result = stack.up(program, "--continue-on-error", succeeds=False)
    assert "without exit status or exit signal" in result.text("lost")
    assert "Process exited with status 137 from signal KILL" in result.text("killed")


def test_every_command_has_a_connection_of_its_own_and_they_run_at_the_same_time(
    stack: Stack, host: Server, tmp_path: Path
) -> None:
    """remote/connection.go dials for every run; the engine runs what depends on nothing in parallel."""
    count = 4
    meet = f"touch {tmp_path}/pid$$; until [ $(ls {tmp_path} | grep -c pid) = {count} ]; do sleep 0.05; done"

    def program() -> None:
        for number in range(count):
            remote.Command(f"c{number}", create=f"timeout 20 sh -c '{meet}'", connection=host.connection())

    before = host.connections()
    stack.up(program)
    assert host.connections() == before + count
