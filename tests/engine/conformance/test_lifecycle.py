"""When a remote command is created, updated, replaced, deleted, and in which order.

Sources: Registry, command.remote.Command (inputs `create`, `update`, `delete`, `triggers`); pulumi/pulumi-command
`remote/commandController.go`; `provider:"replaceOnChanges"` on `Triggers` in `common/inputs.go`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pulumi import ResourceOptions
from pulumi_command import remote

from tests.engine.conformance.harness import Program, Result, Server, Stack, free_port

pytestmark = pytest.mark.engine

CHANGES: dict[str, dict[str, Any]] = {
    "create": {"create": "echo other >> $done"},
    "update": {"update": "echo update >> $done; true"},
    "delete": {"delete": "true"},
    "stdin": {"stdin": "text"},
    "environment": {"environment": {"SEEDBED_A": "b"}},
    "connection": {"connection": {"dial_error_limit": 2}},
    "logging": {"logging": "stderr"},
    "previous": {"add_previous_output_in_env": False},
    "still": {},
}
"""One command for each input, and how that input changes."""


@dataclass
class Story:
    """The life of one stack: created, left alone, changed, destroyed; and what the commands left on the way."""

    folder: Path
    created: dict[str, dict[str, Any]]
    untouched: Result
    untouched_ran: bool
    previewed: Result
    changed: Result
    state: dict[str, dict[str, Any]]
    destroyed: Result
    deleting_connections: int

    def did(self, name: str) -> list[str]:
        """What the commands of one resource wrote down, in order."""
        return (self.folder / name).read_text().split()


def story_program(host: Server, folder: Path, *, changed: bool) -> Program:
    """All resources of the story, before and after the change."""
    value = "b" if changed else "a"

    def program() -> None:
        def declare(name: str, opts: ResourceOptions | None = None, **arguments: Any) -> None:
            for key in ("create", "update", "delete"):
                if key in arguments:
                    arguments[key] = arguments[key].replace("$done", str(folder / name))
            connection = host.connection(**arguments.pop("connection", {}))
            remote.Command(name, **arguments, connection=connection, opts=opts)

        for name, change in CHANGES.items():
            before = {"create": "echo create >> $done", "update": "echo update >> $done"}
            declare(name, **{**before, **(change if changed else {})})
        declare("no-update", create=f"echo {value} | tee -a $done")
        declare("silent-update", create="echo out; echo err >&2", update="true", stdin=value)
        replaced: dict[str, Any] = {"update": "echo update >> $done", "triggers": ["same", {"nested": value}]}
        declare("replaced", create=f"echo +{value} >> $done", delete=f"echo -{value} >> $done", **replaced)
        declare(
            "deleted-first",
            create=f"echo +{value} >> $done",
            delete=f"echo -{value} >> $done",
            **replaced,
            opts=ResourceOptions(delete_before_replace=True),
        )
        ignored: dict[str, Any] = {
            "create": f"echo {value} >> $done",
            "triggers": [value],
            "connection": {"dial_error_limit": 2 if changed else 1},
        }
        declare("ignore-all", **ignored, opts=ResourceOptions(ignore_changes=["*"]))
        named = ResourceOptions(ignore_changes=["create", "triggers", "connection"])
        declare("ignore-named", **ignored, opts=named)
        declare("stored-delete", create="true", delete="cat >> $done", stdin="from the state")

    return program


@pytest.fixture(scope="module")
def story(shared_stack: Stack, host: Server, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One stack through its whole life, for the rules that only look at what happened."""
    folder = tmp_path_factory.mktemp("story")
    before, after = (story_program(host, folder, changed=changed) for changed in (False, True))
    shared_stack.up(before)
    created = shared_stack.resources()
    connections, files = host.connections(), {path: path.read_text() for path in folder.iterdir()}
    untouched = shared_stack.preview(before, "--expect-no-changes")
    shared_stack.refresh()
    ran = (connections, files) != (host.connections(), {path: path.read_text() for path in folder.iterdir()})
    previewed = shared_stack.preview(after)
    changed = shared_stack.up(after)
    state = shared_stack.resources()
    connections = host.connections()
    destroyed = shared_stack.destroy()
    return Story(
        folder, created, untouched, ran, previewed, changed, state, destroyed, host.connections() - connections
    )


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "still"])
def test_a_change_of_any_input_but_triggers_is_an_update_and_runs_the_update_command(story: Story, name: str) -> None:
    """Registry: `update`, "The command to run when the resource is updated"; inputs without replaceOnChanges."""
    assert story.changed.operations_of(name) == ["update"]
    assert story.did(name) == ["create", "update"]
    key = {"previous": "addPreviousOutputInEnv"}.get(name, name)
    assert list(story.previewed.step(name)["detailedDiff"]) == [key]


def test_unchanged_inputs_run_nothing_and_connect_to_nothing(story: Story) -> None:
    """Registry: "this command will not be executed if the resource has already been created and its inputs are
    unchanged"; there is no Read, so that a refresh asks nobody."""
    assert story.untouched.operations() == []
    assert not story.untouched_ran
    assert story.changed.operations_of("still") == []
    assert story.did("still") == ["create"]


def test_an_update_without_an_update_command_runs_create_again(story: Story) -> None:
    """Registry: "If an `update` command isn't provided, then `create` will also be run when the resource's inputs
    are modified"; the output is the new run's."""
    assert story.changed.operations_of("no-update") == ["update"]
    assert story.did("no-update") == ["a", "b"]
    assert [state["no-update"]["outputs"]["stdout"] for state in (story.created, story.state)] == ["a", "b"]


def test_an_update_command_replaces_the_output_of_create(story: Story) -> None:
    """remote/commandController.go, Update: the outputs are those of the last run, even if that printed nothing."""
    states = [state["silent-update"]["outputs"] for state in (story.created, story.state)]
    assert [(outputs["stdout"], outputs["stderr"]) for outputs in states] == [("out", "err"), ("", "")]


def test_changed_triggers_replace_even_with_an_update_command_and_create_before_they_delete(story: Story) -> None:
    """`replaceOnChanges` on `triggers`; the old one is deleted by its own command, after the new one is there."""
    assert list(story.previewed.step("replaced")["detailedDiff"]) == ["create", "delete", "triggers[1].nested"]
    assert story.changed.operations_of("replaced") == ["create-replacement", "replace", "delete-replaced"]
    assert story.did("replaced") == ["+a", "+b", "-a", "-b"]


def test_delete_before_replace_turns_the_order_round(story: Story) -> None:
    """pulumi.com/docs/iac/concepts/resources/options/deletebeforereplace."""
    assert story.changed.operations_of("deleted-first") == ["delete-replaced", "replace", "create-replacement"]
    assert story.did("deleted-first") == ["+a", "-a", "+b", "-b"]


@pytest.mark.parametrize("name", ["ignore-all", "ignore-named"])
def test_ignored_changes_keep_a_command_quiet(story: Story, name: str) -> None:
    """pulumi.com/docs/iac/concepts/resources/options/ignorechanges."""
    assert story.previewed.operations_of(name) == story.changed.operations_of(name) == []
    assert story.did(name) == ["a"]


def test_delete_uses_the_stored_command_and_stdin_and_without_a_command_no_connection(story: Story) -> None:
    """remote/commandController.go, Delete: it has the state only."""
    assert story.did("stored-delete") == ["from", "the", "state"]
    with_delete = {"delete", "replaced", "deleted-first", "stored-delete"}
    assert story.deleting_connections == len(with_delete)


def test_a_resource_gets_its_name_and_eight_hex_digits_as_its_id(story: Story) -> None:
    """remote/commandController.go: `resource.NewUniqueHex(name, 8, 0)`."""
    identifier = story.created["still"]["id"]
    assert identifier.removeprefix("still") == f"{int(identifier[-8:], 16):08x}"
    assert story.state["still"]["id"] == identifier


def test_a_delete_fails_when_the_host_is_gone_and_the_resource_stays(stack: Stack, host: Server) -> None:
    """pulumi-command#104: the dial error fails the delete."""

    def program() -> None:
        remote.Command("c", delete="true", connection=host.connection(port=free_port(), dial_error_limit=0))

    stack.up(program)
    result = stack.destroy(succeeds=False)
    assert "connection refused" in result.output
    assert "c" in stack.resources()


def test_a_failed_create_leaves_no_resource_and_names_status_command_and_output(stack: Stack, host: Server) -> None:
    """remote/commandOutputs.go: `%w: running %q:` and both streams; x/crypto's `Process exited with status`."""

    def program() -> None:
        remote.Command("c", create="echo out; echo err >&2; exit 3", connection=host.connection())

    text = stack.up(program, succeeds=False).text("c")
    assert 'Process exited with status 3: running "echo out; echo err >&2; exit 3":' in text
    assert "out\n" in text
    assert "err\n" in text
    assert "c" not in stack.resources()


def test_a_failed_update_keeps_the_old_state_and_is_tried_again(stack: Stack, host: Server) -> None:
    """pulumi.com/docs/iac/concepts/how-pulumi-works: a failed step changes no state."""
    works = stack.folder / "works"

    def program(text: str) -> Program:
        def declare() -> None:
            command = f"echo {text}; test -e {works} -o {text} = one"
            remote.Command("c", create=command, connection=host.connection())

        return declare

    stack.up(program("one"))
    stack.up(program("two"), succeeds=False)
    assert stack.outputs("c")["stdout"] == "one"
    works.touch()
    assert stack.up(program("two")).operations() == [("update", "c")]
    assert stack.outputs("c")["stdout"] == "two"
