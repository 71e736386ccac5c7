import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import ToolError
from tools.process import run


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_the_program_printed_is_given_back():
    assert run(["sh", "-c", "echo out; echo err >&2"], "trial", timeout=10) == "out\nerr\n"


def test_a_failure_shows_the_last_lines_and_the_remedy():
    with pytest.raises(ToolError) as caught:
        run(["sh", "-c", "seq 1 100; exit 3"], "trial", timeout=10, remedy="Try again.")

    lines = str(caught.value).splitlines()
    assert lines[0] == "trial failed (exit code 3)"
    assert lines[1] == "  | 76"
    assert lines[-2:] == ["  | 100", "Try again."]


def test_a_program_that_does_not_end_is_ended_with_its_children(tmp_path: Path):
    script = f"sleep 300 & echo $! > {tmp_path}/child; echo started; wait"

    with pytest.raises(ToolError, match=r"trial: not done after 0\.5 s"):
        run(["sh", "-c", script], "trial", timeout=0.5)

    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not lives(child))


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(ToolError, match="trial: no-such-program cannot be started: No such file"):
        run(["no-such-program"], "trial", timeout=10)


def test_the_environment_is_the_given_one():
    said = run([sys.executable, "-c", "import os; print(sorted(os.environ))"], "trial", 10, env={"A": "1"})

    assert "'A'" in said
    assert "HOME" not in said
