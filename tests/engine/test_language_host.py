"""The language host, drop-in or official, does for a program what Pulumi documents."""

import os
import signal
import sys
import textwrap

import pytest

from tests.engine.harness import Engine, lives, wait_until
from tools.toolchain import CLONE, Toolchain

COMPONENT = """
import pulumi

class Thing(pulumi.ComponentResource):
    def __init__(self, name, **options):
        super().__init__("test:index:Thing", name, None, pulumi.ResourceOptions(**options))
        self.register_outputs({})
"""


@pytest.fixture
def drop_in(toolchain: Toolchain) -> None:
    if "language-python" not in toolchain.drop_ins:
        pytest.skip("the official language host is in use, which has its own way here")


def test_a_program_is_previewed_applied_previewed_as_unchanged_and_destroyed(engine: Engine):
    engine.program(
        COMPONENT + "Thing('a')\npulumi.export('answer', pulumi.Output.from_input(41).apply(lambda x: x + 1))"
    )

    assert engine.preview().ops == {"trial-dev": "create", "a": "create"}
    assert engine.up().changes == {"create": 2}
    assert engine.outputs() == {"answer": 42}
    assert engine.preview("--expect-no-changes").ops == {}
    assert engine.destroy().changes == {"delete": 2}
    assert engine.stack_export().get("resources", []) == []


def test_a_program_is_run_as_python_would_run_it(engine: Engine):
    (engine.folder / "beside.py").write_text("import pulumi\npulumi.export('beside', __name__)\n")
    engine.program(
        textwrap.dedent("""
            import os, sys, threading
            import pulumi
            import beside
            pulumi.export("name", __name__)
            pulumi.export("folder", os.getcwd())
            pulumi.export("in main thread", threading.current_thread() is threading.main_thread())
            pulumi.export("standard input", sys.stdin.read())
            pulumi.export("path", sys.path)
            print("a word on stdout")
            print("a word on stderr", file=sys.stderr)
        """)
    )

    outcome = engine.up()
    outputs = engine.outputs()

    assert outputs["name"] == "__main__"
    assert outputs["beside"] == "beside"
    assert outputs["folder"] == str(engine.folder)
    assert outputs["in main thread"] is True
    assert outputs["standard input"] == ""
    assert str(CLONE) not in outputs["path"]
    assert "a word on stdout" in outcome.text
    assert "a word on stderr" in outcome.text


def test_configuration_reaches_the_program_and_secrets_stay_secret(engine: Engine):
    engine.program(
        textwrap.dedent("""
            import pulumi
            config = pulumi.Config()
            pulumi.export("plain", config.require_object("plain"))
            pulumi.export("hidden", config.require_secret("hidden"))
            pulumi.export("run", [pulumi.get_project(), pulumi.get_stack(), pulumi.get_organization()])
        """)
    )
    engine.config({"plain": {"list": [1, 2]}})
    engine.secret("hidden", "hunter2")

    outcome = engine.up()

    assert engine.outputs() == {
        "plain": {"list": [1, 2]},
        "hidden": "hunter2",
        "run": ["trial", "dev", "organization"],
    }
    for hidden in ("hunter2", engine.passphrase):
        assert hidden not in outcome.stdout + outcome.stderr
    assert "hunter2" not in str(engine.stack_export())


def test_a_run_error_shows_its_message_and_nothing_of_the_host(engine: Engine, drop_in: None):
    engine.program("import pulumi\nraise pulumi.RunError('two things are wrong:\\n - a\\n - b')\n")

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert outcome.messages == ["error: two things are wrong:\n - a\n - b"]


def test_an_unhandled_exception_shows_the_programs_own_frames_only(engine: Engine, drop_in: None):
    (engine.folder / "beside.py").write_text("def fail():\n    return {}['missing']\n")
    engine.program("import beside\nbeside.fail()\n")

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    (message,) = outcome.messages
    lines = [line.strip() for line in message.splitlines()]
    assert lines[:3] == [
        "error: Program failed with an unhandled exception:",
        "Traceback (most recent call last):",
        f'File "{engine.folder}/__main__.py", line 2, in <module>',
    ]
    assert f'File "{engine.folder}/beside.py", line 2, in fail' in lines
    assert lines[-1] == "KeyError: 'missing'"
    assert "host.py" not in message
    assert "runpy" not in message


def test_an_exception_in_an_apply_fails_the_run_with_its_place(engine: Engine):
    engine.program(
        "import pulumi\n"
        "def fail(_):\n"
        "    raise ValueError('not this one')\n"
        "pulumi.export('x', pulumi.Output.from_input(1).apply(fail))\n"
    )

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert "line 3, in fail" in outcome.text
    assert "ValueError: not this one" in outcome.text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("sys.exit(0)", None),
        ("sys.exit(7)", "Program exited with non-zero exit code: 7"),
        ("sys.exit('said at the end')", "said at the end"),
    ],
)
def test_a_program_that_calls_exit_ends_as_its_code_says(engine: Engine, call: str, message: str | None):
    engine.program(f"import sys\n{call}\n")

    outcome = engine.preview(check=False)

    if message is None:
        assert outcome.code == 0
    else:
        assert outcome.code != 0
        assert message in outcome.text


def test_a_project_without_a_program_is_told_so(engine: Engine):
    engine.program("")
    (engine.folder / "__main__.py").unlink()

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert "unable to find main python program" in outcome.text


def test_another_virtualenv_than_the_hosts_is_refused(engine: Engine, drop_in: None):
    engine.program("", {"runtime": {"name": "python", "options": {"virtualenv": "venv"}}})

    outcome = engine.preview(check=False)

    assert outcome.code != 0
    assert f"the drop-in language host runs programs in {sys.prefix}" in outcome.text
    assert f"{engine.folder}/venv" in outcome.text


def test_a_delete_hook_guards_the_preview_and_runs_when_the_program_does(engine: Engine):
    hooked = COMPONENT + textwrap.dedent("""
        import pathlib

        def gate(args):
            name = args.urn.rpartition("::")[2]
            if name not in pathlib.Path("retire").read_text():
                raise Exception(f"{name} is not on the retire list")
            pathlib.Path("seen").write_text(name)

        hook = pulumi.ResourceHook("gate", gate, pulumi.ResourceHookOptions(on_dry_run=True))
        names = pathlib.Path("names").read_text().split()
        for name in names:
            Thing(name, hooks=pulumi.ResourceHookBinding(before_delete=[hook]))
    """)
    engine.program(hooked)
    (engine.folder / "names").write_text("a b")
    (engine.folder / "retire").write_text("")
    engine.up()

    (engine.folder / "names").write_text("a")
    refused = engine.preview(check=False)
    assert refused.code != 0
    assert "b is not on the retire list" in refused.text

    (engine.folder / "retire").write_text("b")
    assert engine.preview().ops == {"b": "delete"}
    assert engine.up().ops == {"b": "delete"}
    assert (engine.folder / "seen").read_text() == "b"

    (engine.folder / "retire").write_text("a")
    without = engine.destroy(check=False)
    assert without.code != 0
    assert "--run-program" in without.text
    assert engine.destroy("--run-program").changes["delete"] == 2
    assert (engine.folder / "seen").read_text() == "a"


def test_a_transform_changes_what_is_registered(engine: Engine):
    engine.program(
        COMPONENT
        + textwrap.dedent("""
            def protect(args):
                return pulumi.ResourceTransformResult(
                    args.props, pulumi.ResourceOptions.merge(args.opts, pulumi.ResourceOptions(protect=True))
                )

            pulumi.runtime.register_resource_transform(protect)
            Thing("a")
        """)
    )

    assert engine.preview().step("a").new["protect"] is True


def test_an_update_keeps_to_the_plan_that_was_saved(engine: Engine):
    engine.program(COMPONENT + "Thing('a')\n")
    engine.preview("--save-plan", "plan.json")
    engine.program(COMPONENT + "Thing('a')\nThing('b')\n")

    refused = engine.up("--plan", "plan.json", check=False)
    assert refused.code != 0
    assert "create is not allowed by the plan" in refused.text

    engine.program(COMPONENT + "Thing('a')\n")
    assert engine.up("--plan", "plan.json").changes == {"create": 2}


def test_the_host_ends_with_an_engine_that_is_killed(engine: Engine, drop_in: None):
    pid_file = engine.folder / "pid"
    engine.program(
        f"import os, pathlib, time\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(300)\n"
    )
    cli = engine.popen("preview")
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()), "the program's start")
    host = int(pid_file.read_text())
    assert lives(host)

    os.kill(cli.pid, signal.SIGKILL)
    cli.communicate(timeout=30)

    wait_until(lambda: not lives(host), "the host's end")


def test_what_the_cli_asks_besides_is_answered(engine: Engine, drop_in: None):
    engine.program("")

    about = engine.run("about").text
    assert f"executable='{sys.prefix}/bin/python'" in about
    assert "pulumi_command" in about.replace("-", "_")

    installed = engine.run("install").text
    assert "installs nothing" in installed
