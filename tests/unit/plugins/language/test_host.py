"""The drop-in language host, without an engine."""

import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from lab.plugins.language import host


def test_every_method_it_answers_is_one_of_the_protocol():
    methods = host.Host("").methods

    for name in methods:
        assert hasattr(language_pb2_grpc.LanguageRuntimeServicer, name), name
    assert language_pb2.DESCRIPTOR.services_by_name["LanguageRuntime"].full_name == host.SERVICE


@pytest.mark.parametrize("text", ["", "3.11", "x" * 127, "ü" * 128, "x" * 70_000])
def test_what_it_writes_by_hand_is_what_protobuf_writes(text: str):
    by_hand = host.string_field(1, text) + host.string_field(2, "1")

    assert language_pb2.AboutResponse.FromString(by_hand) == language_pb2.AboutResponse(executable=text, version="1")


def test_it_says_which_interpreter_it_is_and_which_sdk():
    about = language_pb2.AboutResponse.FromString(host.about(b"", None))
    info = plugin_pb2.PluginInfo.FromString(host.plugin_info(b"", None))

    assert about.executable == sys.executable
    assert about.version == ".".join(map(str, sys.version_info[:3]))
    assert info.version.startswith("3.")


def test_the_dependencies_are_what_nothing_else_needs_unless_all_are_asked_for():
    def names(**asked: bool) -> set[str]:
        request = language_pb2.GetProgramDependenciesRequest(**asked).SerializeToString()
        answer = language_pb2.GetProgramDependenciesResponse.FromString(host.program_dependencies(request, None))
        return {host.canonical(found.name) for found in answer.dependencies}

    assert "pulumi-command" in names()
    assert "pulumi" not in names()  # pulumi-command needs it
    assert {"pulumi", "pulumi-command", "grpcio"} <= names(transitiveDependencies=True)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (None, ""),
        (0, ""),
        (3, "Program exited with non-zero exit code: 3"),
        ("bye", "Program exited with non-zero exit code: 1"),
    ],
)
def test_an_exit_is_reported_with_the_code_of_the_interpreter(code: object, error: str, capsys):
    assert host.exit_error(SystemExit(code)) == error
    assert capsys.readouterr().err == ("bye\n" if code == "bye" else "")


def test_serving_starts_before_the_sdk_is_imported():
    script = "import sys; from lab.plugins.language import host; print('pulumi' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout

    assert said.strip() == "False"


@pytest.fixture
def running():
    """A host that serves, as the engine starts one: it holds both ends of its standard input and output."""
    with subprocess.Popen(
        [sys.executable, "-u", "-P", host.__file__, "127.0.0.1:1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_host_ends_when_it_is_interrupted(running, number: int):
    running.send_signal(number)

    assert running.wait(timeout=30) == 0


def test_a_host_ends_when_the_engine_is_gone(running):
    running.stdin.close()

    assert running.wait(timeout=30) == 0


def test_a_host_runs_no_second_program():
    serving = host.Host("")
    context = Mock()
    context.abort.side_effect = InterruptedError
    assert serving.ran.acquire(blocking=False)  # as a first run does

    with pytest.raises(InterruptedError):
        serving.run(b"", context)

    assert "ran a program already" in context.abort.call_args.args[1]


def test_a_frame_of_the_program_is_recognised_by_its_real_file(tmp_path: Path):
    (tmp_path / "real.py").write_text("raise KeyError('x')\n")
    (tmp_path / "__main__.py").symlink_to(tmp_path / "real.py")
    try:
        host.run_main(tmp_path)
    except KeyError as error:
        shown = host.traceback_of_program(error, tmp_path)

    assert shown.splitlines()[1].strip() == f'File "{tmp_path}/__main__.py", line 1, in <module>'
