"""What is secret in state, previews and messages.

Sources: `provider:"secret"` on `Connection` in remote/command.go; provider/tests/provider_test.go (regress-256:
stdout and stderr are not secret by themselves); pulumi.com/docs/iac/concepts/secrets.
"""

import json

import pytest
from pulumi import Output, ResourceOptions
from pulumi_command import remote

from tests.engine.conformance.harness import Result, Server, Stack

pytestmark = pytest.mark.engine

SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
HIDDEN = "hidden-from-everybody"


def ciphertext(value: object) -> bool:
    """Whether a stored value is encrypted."""
    return isinstance(value, dict) and value.get(SIGNATURE_KEY) == SECRET_SIGNATURE and "ciphertext" in value


@pytest.fixture(scope="module")
def result(shared_stack: Stack, host: Server) -> Result:
    """One `up` of commands with secrets in every place."""

    def program() -> None:
        remote.Command("plain", create="wc -c", stdin="open", connection=host.connection())
        remote.Command(
            "secret",
            create=Output.secret(f"cat > /dev/null; echo {HIDDEN}-create | wc -c"),
            stdin=Output.secret(HIDDEN),
            environment={"SEEDBED_A": Output.secret(HIDDEN)},
            triggers=[Output.secret(HIDDEN)],
            connection=host.connection(),
            logging=remote.Logging.NONE,
        )
        remote.Command(
            "outputs",
            create="echo printed",
            connection=host.connection(),
            opts=ResourceOptions(additional_secret_outputs=["stdout"]),
        )

    return shared_stack.up(program)


def test_a_connection_is_secret_as_input_and_output(result: Result, shared_stack: Stack) -> None:
    """Also when the program does not say so."""
    resource = shared_stack.resources()["plain"]
    assert ciphertext(resource["inputs"]["connection"])
    assert ciphertext(resource["outputs"]["connection"])


def test_a_secret_input_is_secret_in_inputs_and_outputs(result: Result, shared_stack: Stack) -> None:
    """infer/resource.go: an output that has an input's name has its secretness too."""
    resource = shared_stack.resources()["secret"]
    for part in ("inputs", "outputs"):
        assert ciphertext(resource[part]["create"])
        assert ciphertext(resource[part]["stdin"])
        # The SDK may mark a list or map as a whole, or the values in it.
        assert "ciphertext" in json.dumps(resource[part]["environment"])
        assert "ciphertext" in json.dumps(resource[part]["triggers"])
    assert shared_stack.resources()["plain"]["outputs"]["stdin"] == "open"


def test_output_is_not_secret_unless_the_program_says_so(result: Result, shared_stack: Stack) -> None:
    """Not even when `create` and `stdin` are."""
    assert shared_stack.outputs("secret")["stdout"] == str(len(f"{HIDDEN}-create") + 1)
    assert ciphertext(shared_stack.outputs("outputs")["stdout"])
    assert shared_stack.outputs("outputs")["stderr"] == ""


def test_no_secret_is_in_clear_in_state_or_on_the_console(result: Result, shared_stack: Stack, host: Server) -> None:
    """Neither secret inputs nor the connection's private key."""
    key = host.private_key.splitlines()[1]
    for text in (json.dumps(shared_stack.export()), result.output, json.dumps(result.events)):
        assert HIDDEN not in text
        assert key not in text


def test_unchanged_secrets_are_no_change(result: Result, shared_stack: Stack, host: Server) -> None:
    """Ciphertexts differ from run to run; what is compared is the text."""

    def program() -> None:
        remote.Command(
            "outputs",
            create="echo printed",
            connection=host.connection(),
            opts=ResourceOptions(additional_secret_outputs=["stdout"]),
        )

    touched = shared_stack.preview(program).operations()
    assert ("delete", "secret") in touched
    assert "outputs" not in [name for _, name in touched]


def test_a_changed_connection_is_shown_as_one_secret_in_a_preview(
    result: Result, shared_stack: Stack, host: Server
) -> None:
    """A path into a secret would name what is in it."""

    def program() -> None:
        remote.Command("plain", create="wc -c", stdin="open", connection=host.connection(password=HIDDEN))

    preview = shared_stack.preview(program, "--diff")
    assert list(preview.step("plain")["detailedDiff"]) == ["connection"]
    assert HIDDEN not in preview.output + json.dumps(preview.events)


@pytest.mark.official_breaks("B12: the error repeats the command")
def test_a_secret_command_is_not_repeated_in_its_error(stack: Stack, host: Server) -> None:
    """pulumi.com/docs/iac/concepts/secrets: the CLI's filter knows the secrets of the configuration only."""

    def program() -> None:
        create = Output.secret(f": {HIDDEN}; cat > /dev/null; exit 4")
        remote.Command("c", create=create, stdin=Output.secret(HIDDEN), connection=host.connection())

    result = stack.up(program, succeeds=False)
    assert "Process exited with status 4" in result.text("c")
    assert HIDDEN not in result.output + json.dumps(result.events)


@pytest.mark.official_breaks("B13: the decode error prints the values (pulumi-command#773)")
def test_an_unknown_key_in_a_connection_is_refused_without_printing_the_others(stack: Stack, host: Server) -> None:
    """Registry: the properties of Connection."""

    def program() -> None:
        connection = {"host": "127.0.0.1", "privateKey": HIDDEN, "hostkey": host.host_key}
        remote.Command("c", create="true", connection=connection)  # type: ignore[arg-type]

    result = stack.preview(program, succeeds=False)
    assert "hostkey" in result.text("c")
    assert HIDDEN not in result.output + json.dumps(result.events)
