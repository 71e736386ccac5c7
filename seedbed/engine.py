"""The Pulumi CLI as `seedbed up` runs it."""

import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from seedbed import UserError
from seedbed.store import Store
from stacks.config import ROOT
from stacks.model import PROJECT

SHORT_SECONDS = 120
UP_SECONDS = 3600
"""More than all steps of a dev stack may take by their own timeouts; only a hanging engine gets this far."""

STOP_SECONDS = 60

_LOCKED = "the stack is currently locked"
_KEPT_LINES = 40


def init_stack(pulumi: Path, stack: str, environment: Mapping[str, str], store: Store) -> bool:
    """Makes the stack in its store; False where it was there. The store is the lab's own, so it may be new."""
    if any(key.startswith(f"{_state_key(stack)}.json") for key in store.list(_state_key(stack))):
        return False
    try:
        done = subprocess.run(
            [pulumi, "stack", "init", stack, "--non-interactive", "--no-select"],
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SHORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"`pulumi stack init {stack}` is not done after {SHORT_SECONDS} s; is the S3 server up?"
        ) from None
    if done.returncode != 0:
        raise UserError(f"`pulumi stack init {stack}` failed:\n{(done.stderr or done.stdout).strip()}")
    return True


def _state_key(stack: str) -> str:
    return f".pulumi/stacks/{PROJECT}/{stack}"


def up(pulumi: Path, stack: str, environment: Mapping[str, str], show: Callable[[str], None]) -> None:
    """Runs `pulumi up`, giving each line of its output to `show`. Raises UserError with the way on where it fails.

    ^C reaches the CLI as well, which then stops after the running steps; this waits for that.
    """
    argv = [str(pulumi), "up", "--stack", stack, "--yes", "--non-interactive", "--skip-preview"]
    argv += ["--suppress-progress", "--suppress-outputs"]
    said: list[str] = []
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            _follow(process, said, show)
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        raise UserError(explain(process.returncode, said, stack))


def _follow(process: "subprocess.Popen[str]", said: list[str], show: Callable[[str], None]) -> None:
    assert process.stdout is not None  # noqa: S101  for the type checker: asked for above
    # An engine that hangs says nothing, so the limit cannot be looked at between lines.
    limit = threading.Timer(UP_SECONDS, process.send_signal, [signal.SIGINT])
    limit.daemon = True
    limit.start()
    try:
        for line in process.stdout:
            text = line.rstrip()
            if text:
                show(text)
                said.append(text)
                del said[:-_KEPT_LINES]
        process.wait(STOP_SECONDS)
    finally:
        limit.cancel()


def _end(process: "subprocess.Popen[str]") -> None:
    """The CLI has had its own ^C, or gets one; it may finish its running steps, so that state stays true."""
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def explain(code: int, said: list[str], stack: str) -> str:
    """What to do after a failed `up`."""
    # The second command makes the state forget the steps whose end it did not see: each can be run twice, and an `up`
    # would warn of them for ever.
    unlock = (
        f'eval "$(make -s env)"; pulumi cancel --yes --stack {stack}; '
        f"pulumi refresh --yes --skip-preview --clear-pending-creates --stack {stack}; make up"
    )
    if any(_LOCKED in line for line in said):
        return (
            "another `pulumi up` holds the lock of this stack, or one was killed. If the process named above is gone, "
            f"take its lock away and go on from where it was: {unlock}"
        )
    if code < 0:
        return f"`pulumi up` was killed (signal {-code}) and left its lock. To go on from where it was: {unlock}"
    return (
        f"`pulumi up` failed with exit code {code}; what it says is above. What is done stays done: put right what "
        "it names and run `make up` again"
    )
