"""What goes into a remote command and what comes out: stdin, environment, outputs, logging.

Sources: Registry, command.remote.Command; pulumi/pulumi-command `remote/commandOutputs.go`, `remote/logging.go`.
"""

import pytest
from pulumi_command import remote

from tests.engine.conformance.harness import Result, Server, Stack

pytestmark = pytest.mark.engine

LONG = 200_000


@pytest.fixture(scope="module")
def result(shared_stack: Stack, host: Server) -> Result:
    """One `up` of commands that only print."""

    def program() -> None:
        connection = host.connection()
        remote.Command("stdin", create="cat; echo end", stdin="first\nsecond", connection=connection)
        remote.Command("no-stdin", create="cat; echo end", connection=connection)
        remote.Command("unread-stdin", create="echo unread", stdin="x" * LONG, connection=connection)
        remote.Command("newlines", create="printf 'a\\n\\n'; printf '\\nb' >&2", connection=connection)
        remote.Command("bytes", create="printf 'a\\377b'", connection=connection)
        remote.Command("shell", create="echo $((1 + 1)) | tr 2 3; exit 0", connection=connection)
        remote.Command(
            "environment",
            create="echo $SEEDBED_ONE-$SEEDBED_TWO",
            environment={"SEEDBED_ONE": "1", "SEEDBED_TWO": "two words"},
            connection=connection,
        )
        for mode in ("stdout", "stderr", "stdoutAndStderr", "none"):
            remote.Command(
                f"log-{mode}",
                create="echo to-out; echo to-err >&2",
                logging=mode,  # type: ignore[arg-type]
                connection=connection,
            )
        remote.Command("log-default", create="echo to-out; echo to-err >&2", connection=connection)
        remote.Command("log-long", create=f"head -c {LONG} /dev/zero | tr '\\0' x", connection=connection)

    return shared_stack.up(program)


def test_stdin_reaches_the_command_and_ends(result: Result, shared_stack: Stack) -> None:
    """Registry: "Pass a string to the command's process as standard in"."""
    assert shared_stack.outputs("stdin")["stdout"] == "first\nsecondend"
    assert shared_stack.outputs("no-stdin")["stdout"] == "end"
    assert shared_stack.outputs("unread-stdin")["stdout"] == "unread"


def test_one_newline_at_the_end_is_not_part_of_an_output(result: Result, shared_stack: Stack) -> None:
    """`strings.TrimSuffix(…, "\\n")`."""
    outputs = shared_stack.outputs("newlines")
    assert (outputs["stdout"], outputs["stderr"]) == ("a\n", "\nb")


def test_output_that_is_not_text_does_not_break_the_state(result: Result, shared_stack: Stack) -> None:
    """The protocol carries UTF-8 only."""
    assert shared_stack.outputs("bytes")["stdout"] == "a\N{REPLACEMENT CHARACTER}b"


def test_a_command_is_run_by_the_login_shell(result: Result, shared_stack: Stack) -> None:
    """RFC 4254 §6.5: an `exec` request."""
    assert shared_stack.outputs("shell")["stdout"] == "3"


def test_environment_that_the_server_accepts_is_set(result: Result, shared_stack: Stack) -> None:
    """Registry: "this only works if the SSH server is configured to accept these variables via AcceptEnv"."""
    assert shared_stack.outputs("environment")["stdout"] == "1-two words"


@pytest.mark.parametrize(
    ("name", "logged"),
    [
        ("log-stdout", {"to-out"}),
        ("log-stderr", {"to-err"}),
        ("log-stdoutAndStderr", {"to-out", "to-err"}),
        ("log-none", set()),
        ("log-default", {"to-out", "to-err"}),
    ],
)
def test_logging_chooses_the_streams_that_are_shown_and_changes_no_output(
    result: Result, shared_stack: Stack, name: str, logged: set[str]
) -> None:
    """Registry: `logging`, "This doesn't affect the capturing of stdout and stderr as outputs"."""
    messages = result.messages(name)
    # A login shell may have something to say of its own.
    said = {message["message"].strip() for message in messages}
    assert {line for line in said if line.startswith("to-")} == logged
    assert all(message.get("ephemeral") and message["severity"] == "info" for message in messages)
    outputs = shared_stack.outputs(name)
    assert (outputs["stdout"], outputs["stderr"]) == ("to-out", "to-err")


@pytest.mark.official_breaks("B4: a logged line of more than 64 KiB hangs it (util/util.go, bufio.Scanner)")
def test_a_line_of_any_length_is_logged_and_captured(result: Result, shared_stack: Stack) -> None:
    """Registry: `logging` sets no limit."""
    assert len(shared_stack.outputs("log-long")["stdout"]) == LONG
    assert sum(message["message"].count("x") for message in result.messages("log-long")) == LONG


def test_environment_that_the_server_refuses_fails_before_the_command_runs(stack: Stack, host: Server) -> None:
    """remote/commandOutputs.go: `could not set environment variable`; pulumi-command#48."""

    def program() -> None:
        command = f"touch {stack.folder / 'ran'}"
        remote.Command("c", create=command, environment={"OTHER": "value"}, connection=host.connection())

    result = stack.up(program, succeeds=False)
    assert 'could not set environment variable "OTHER": ssh: setenv failed' in result.text("c")
    assert "AcceptEnv" in result.text("c")
    assert not (stack.folder / "ran").exists()


def test_the_previous_output_is_in_the_environment_of_update_and_delete_unless_refused_or_unwanted(
    stack: Stack, host: Server, open_host: Server
) -> None:
    """Registry: `addPreviousOutputInEnv`, true by default; refused by the server it is a warning only (#584)."""
    left = stack.folder / "left"
    show = 'echo "[$PULUMI_COMMAND_STDOUT|$PULUMI_COMMAND_STDERR]"'

    def program(stdin: str) -> None:
        def declare(name: str, server: Server, **arguments: bool) -> None:
            remote.Command(
                name,
                create=f"echo out; echo err >&2; {show}",
                update=show,
                delete=f"{show} >> {left}",
                stdin=stdin,
                connection=server.connection(),
                **arguments,  # type: ignore[arg-type]
            )

        declare("open", open_host)
        declare("refused", host)
        declare("unwanted", open_host, add_previous_output_in_env=False)

    stack.up(lambda: program("one"))
    assert stack.outputs("open")["stdout"] == "out\n[|]", "there is nothing before a create"
    result = stack.up(lambda: program("two"))
    assert stack.outputs("open")["stdout"] == "[out\n[|]|err]"
    assert stack.outputs("refused")["stdout"] == "[|]"
    assert stack.outputs("unwanted")["stdout"] == "[|]"
    warned = {message["urn"].rpartition("::")[2] for message in result.messages() if message["severity"] == "warning"}
    assert warned == {"refused"}
    stack.destroy()
    assert sorted(left.read_text().splitlines()) == ["[[out", "[|]", "[|]", "[|]|err]|]"]
