"""Commands on this machine: the resource and the function.

Sources: Registry, command.local.Command and command.local.run; pulumi/pulumi-command `local/commandOutputs.go`,
`local/commandController.go`, `local/base.go`.
"""

from pathlib import Path

import pulumi
import pytest
from pulumi import CustomTimeouts, ResourceOptions
from pulumi_command import local

from tests.engine.conformance.harness import Result, Stack

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def result(shared_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """One `up` of local commands."""
    folder = tmp_path_factory.mktemp("local")

    def program() -> None:
        local.Command("shell", create="echo out; echo err >&2")
        local.Command("stdin", create="cat", stdin="text")
        local.Command("directory", create="pwd", dir=str(folder))
        local.Command("environment", create='echo $ONE $TWO; test -n "$HOME"', environment={"ONE": "1", "TWO": "2"})
        local.Command("interpreter", create="print(6 * 7)", interpreter=["python3", "-c"])
        local.Command(
            "files",
            create="mkdir -p assets/logos src; echo > assets/logos/logo.svg; echo > src/index.js; echo > src/secret.js",
            dir=str(folder),
            asset_paths=["assets/**", "src/**.js", "!**secret.*"],
            archive_paths=["src/*.js"],
        )
        local.Command("log-none", create="echo quiet", logging=local.Logging.NONE)
        pulumi.export("function", local.run_output(command="echo $A; cat", stdin="in", environment={"A": "B"}).stdout)

    return shared_stack.up(program)


@pytest.mark.parametrize(
    ("name", "stdout"),
    [("shell", "out"), ("stdin", "text"), ("environment", "1 2"), ("interpreter", "42"), ("log-none", "quiet")],
)
def test_a_local_command_gives_its_output(result: Result, shared_stack: Stack, name: str, stdout: str) -> None:
    """Registry: `stdin`, `environment` (added to the engine's own), `interpreter` (default /bin/sh -c)."""
    assert shared_stack.outputs(name)["stdout"] == stdout
    assert shared_stack.outputs("shell")["stderr"] == "err"


def test_a_local_command_runs_in_its_directory(result: Result, shared_stack: Stack) -> None:
    """Registry: `dir`."""
    outputs = shared_stack.outputs("directory")
    assert outputs["stdout"] == outputs["dir"]


def test_files_are_found_by_the_patterns_of_the_documentation(result: Result, shared_stack: Stack) -> None:
    """Registry: `assetPaths`, its example; `archivePaths`."""
    outputs = shared_stack.outputs("files")
    assert sorted(outputs["assets"]) == ["assets/logos/logo.svg", "src/index.js"]
    assert sorted(outputs["archive"]["assets"]) == ["src/index.js", "src/secret.js"]


def test_local_output_is_logged_unless_unwanted(result: Result) -> None:
    """Registry: `logging`."""
    assert {message["message"].strip() for message in result.messages("shell")} == {"out", "err"}
    assert result.messages("log-none") == []


def test_the_function_runs_in_previews_too(result: Result, shared_stack: Stack, tmp_path: Path) -> None:
    """Registry, local.run: "This command will always be run on any preview or deployment"."""
    stack_resource = shared_stack.resources()["conformance-test"]
    assert stack_resource["outputs"]["function"] == "B\nin"

    def program() -> None:
        local.run_output(command=f"touch {tmp_path / 'ran'}")

    shared_stack.preview(program)
    assert (tmp_path / "ran").exists()


def test_previews_run_no_resource_and_know_no_output_that_may_change(stack: Stack, tmp_path: Path) -> None:
    """provider_test.go, TestLocalCommand: stdout and stderr are computed in the preview of a create or an update.

    A command that gets another's output as an input is previewed with what is known.
    """

    def program(text: str) -> None:
        first = local.Command("first", create=f"echo {text}; touch {tmp_path}/ran-{text}")
        local.Command("second", create=f"cat; touch {tmp_path}/ran-{text}", stdin=first.stdout)
        local.Command("apart", create="true")

    preview = stack.preview(lambda: program("one"))
    assert sorted(preview.operations()) == [("create", "apart"), ("create", "first"), ("create", "second")]
    assert not (tmp_path / "ran-one").exists()
    stack.up(lambda: program("one"))
    assert stack.outputs("second")["stdout"] == "one"
    update = stack.preview(lambda: program("two"))
    assert sorted(update.operations()) == [("update", "first"), ("update", "second")]
    assert sorted(update.step("second")["detailedDiff"]) == ["create", "stdin"]
    assert not (tmp_path / "ran-two").exists()


def test_local_commands_update_replace_and_delete_as_remote_ones_do(stack: Stack, tmp_path: Path) -> None:
    """local/commandController.go; the previous output is in the environment."""
    done = tmp_path / "done"

    def program(stdin: str, trigger: str) -> None:
        local.Command(
            "c",
            create=f"echo create >> {done}; echo made",
            update=f"echo update $PULUMI_COMMAND_STDOUT >> {done}; echo changed",
            delete=f"echo delete $PULUMI_COMMAND_STDOUT >> {done}",
            stdin=stdin,
            triggers=[trigger],
        )

    stack.up(lambda: program("a", "a"))
    stack.up(lambda: program("b", "a"))
    stack.up(lambda: program("b", "b"))
    assert done.read_text().splitlines() == ["create", "update made", "create", "delete changed"]
    stack.destroy()
    assert done.read_text().splitlines()[4:] == ["delete made"]


def test_failures_name_status_command_and_output_and_timeouts_end_what_was_started(
    stack: Stack, tmp_path: Path
) -> None:
    """local/commandOutputs.go: `%w: running %q:`; os/exec: `exit status`; exec.CommandContext."""

    def program() -> None:
        local.Command("status", create="echo said; exit 7")
        local.Command("no-directory", create="true", dir=str(tmp_path / "missing"))
        local.Command("no-interpreter", create="true", interpreter=["no-such-interpreter"])
        timeouts = CustomTimeouts(create="1s")
        local.Command("slow", create="sleep 30 & echo $!; wait", opts=ResourceOptions(custom_timeouts=timeouts))

    result = stack.up(program, "--continue-on-error", succeeds=False)
    assert 'exit status 7: running "echo said; exit 7":\nsaid' in result.text("status")
    assert "no such file or directory" in result.text("no-directory")
    assert "executable file not found" in result.text("no-interpreter")
    assert result.text("slow") != ""
    started = next(text for message in result.messages("slow") if (text := message["message"].strip()).isdigit())
    assert not alive(int(started))


def alive(pid: int) -> bool:
    """Whether the process is there and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
