"""Run a program to its end, with a timeout, and turn a failure into an error that shows what it said last."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools import ToolError

LAST_LINES = 25
ANSWER_SECONDS = 30


def run(
    argv: Sequence[str],
    what: str,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    remedy: str = "",
) -> str:
    """Run `argv` and give back what it printed (both streams).

    `what` names the work in the error ("build of k3s"). On a timeout or an interrupt the program is ended with all
    that it started.

    Raises:
        ToolError: it cannot be started, exits with another code than 0, or takes more than `timeout` seconds.
    """
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(_message(f"{what}: {argv[0]} cannot be started: {error.strerror}", "", remedy)) from error
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        _end(process)
        said = error.output.decode(errors="replace") if isinstance(error.output, bytes) else (error.output or "")
        raise ToolError(_message(f"{what}: not done after {timeout:g} s", said, remedy)) from None
    except BaseException:
        _end(process)
        raise
    if process.returncode != 0:
        raise ToolError(_message(f"{what} failed (exit code {process.returncode})", output, remedy))
    return output


def answer(argv: Sequence[str | Path], variables: Mapping[str, str]) -> str | None:
    """What a program says when it is asked for its version, with more variables; None where it does not run."""
    try:
        done = subprocess.run(
            [str(word) for word in argv],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
            check=True,
            env={**os.environ, **variables},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def politely(argv: Sequence[str]) -> list[str]:
    """`argv` run at a low priority where `nice` exists: a build must not starve the lab that runs beside it."""
    nice = shutil.which("nice")
    return [nice, "-n", "10", *argv] if nice else list(argv)


def _end(process: subprocess.Popen[str]) -> None:
    """End the program and its children: it leads a process group of its own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _message(head: str, output: str, remedy: str) -> str:
    tail = "".join(f"\n  | {line}" for line in output.rstrip().splitlines()[-LAST_LINES:])
    return head + tail + (f"\n{remedy}" if remedy else "")
