"""The Pulumi CLI as `seedbed up` runs it."""

import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from seedbed import UserError
from seedbed.stackfile import REHEARSAL, StackFile
from seedbed.store import Store
from stacks.config import ROOT
from stacks.model import PROJECT

SHORT_SECONDS = 120
UP_SECONDS = 3600
"""More than all steps of a dev stack may take by their own timeouts; only a hanging engine gets this far."""

STOP_SECONDS = 60

_LOCKED = "the stack is currently locked"
_KEPT_LINES = 40


def init_stack(pulumi: Path, stack: StackFile, environment: Mapping[str, str], store: Store) -> bool:
    """Makes the stack in its store; False where it was there. The store is the lab's own, so it may be new."""
    if any(key.startswith(f"{_state_key(stack.name)}.json") for key in store.list(_state_key(stack.name))):
        return False
    if not stack.rehearsal:
        _init(pulumi, stack.name, environment, stack.root)
        return True
    # `pulumi stack init` takes no --config-file, and would write a salt into the yaml beside Pulumi.yaml: the committed
    # one. So it works in a folder where the two are the rehearsal's.
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        for file in (stack.root / "Pulumi.yaml", stack.path):
            shutil.copy(file, folder)
        _init(pulumi, stack.name, environment, Path(folder))
    return True


def _init(pulumi: Path, stack: str, environment: Mapping[str, str], folder: Path) -> None:
    argv = [str(pulumi), "stack", "init", stack, "--non-interactive", "--no-select"]
    done = _short(argv, environment, folder)
    if done is None:
        raise UserError(f"`pulumi stack init {stack}` is not done after {SHORT_SECONDS} s; is the S3 server up?")
    if done.returncode != 0:
        raise UserError(f"`pulumi stack init {stack}` failed:\n{(done.stderr or done.stdout).strip()}")


def output(stack: StackFile, name: str, environment: Mapping[str, str]) -> str:
    """An output of the stack, which is no secret, from its state. Raises UserError where it cannot be had."""
    argv = ["pulumi", "stack", "output", name, "--stack", stack.name, "--non-interactive"]
    done = _short(argv, environment, stack.root)
    if done is None:
        raise UserError(f"`{' '.join(argv)}` is not done after {SHORT_SECONDS} s; does the state store answer?")
    if done.returncode != 0:
        raise UserError(
            f"the state of stack {stack.name} does not tell its output {name}, which the last `pulumi up` leaves there:\n"
            f"{(done.stderr or done.stdout).strip()}"
        )
    return done.stdout.strip()


def _short(argv: list[str], environment: Mapping[str, str], folder: Path) -> "subprocess.CompletedProcess[str] | None":
    """None: not done in time."""
    try:
        return subprocess.run(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SHORT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("there is no `pulumi` on PATH: `make ready` brings one") from None
    except subprocess.TimeoutExpired:
        return None


def _state_key(stack: str) -> str:
    return f".pulumi/stacks/{PROJECT}/{stack}"


def up(pulumi: Path, stack: StackFile, environment: Mapping[str, str], show: Callable[[str], None]) -> None:
    """Runs `pulumi up`, giving each line of its output to `show`. Raises UserError with the way on where it fails.

    ^C reaches the CLI as well, which then stops after the running steps; this waits for that.
    """
    argv = [str(pulumi), "up", "--stack", stack.name, "--yes", "--non-interactive", "--skip-preview"]
    argv += ["--suppress-progress", "--suppress-outputs"]
    if stack.rehearsal:
        argv += ["--config-file", str(stack.path)]
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


def explain(code: int, said: list[str], stack: StackFile) -> str:
    """What to do after a failed `up`."""
    name = stack.name
    shell, option, again = 'eval "$(make -s env)"', "", "make up"
    if stack.rehearsal:
        shell, option = f'eval "$(seedbed env {name} --rehearsal)"', f' --config-file "${REHEARSAL}"'
        again = f"seedbed rehearse {name}"
    # The second command makes the state forget the steps whose end it did not see: each can be run twice, and an `up`
    # would warn of them for ever.
    unlock = (
        f"{shell}; pulumi cancel --yes --stack {name}; "
        f"pulumi refresh --yes --skip-preview --clear-pending-creates --stack {name}{option}; {again}"
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
        f"it names and run `{again}` again"
    )
