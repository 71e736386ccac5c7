"""The Pulumi CLI as `seedbed up`, `seedbed review` and `seedbed apply` run it."""

import json
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedbed import UserError
from seedbed.stackfile import REHEARSAL, StackFile
from seedbed.store import Store
from stacks.files import PROJECT, ROOT

SHORT_SECONDS = 120
UP_SECONDS = 3600
"""More than all steps of a dev stack may take by their own timeouts; only a hanging engine gets this far."""

APPLY_SECONDS = 6 * 3600
"""The same for a plan, which may drain many machines one after the other."""

STOP_SECONDS = 60
STOP_APPLY_SECONDS = 3600
"""For how long the steps that run at a ^C may go on: a machine that leaves is drained to the end."""

PREVIEWING = "Previewing update"
UPDATING = "Updating"
"""How the two parts of an `up` begin, each on a line of its own; the stack's lock is held in both.

Source: github.com/pulumi/pulumi/pkg/v3 v3.232.0, backend/diy/backend.go (`Update`) and backend/display.
"""

_LOCKED = "the stack is currently locked"
_KEPT_LINES = 40

# Source: github.com/pulumi/pulumi/pkg/v3 v3.232.0, resource/deploy/step_generator.go and deployment_executor.go
_OTHER_THAN_PLANNED = ("not allowed by the plan", "violates plan", "expected resource operations for")


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


def _short(
    argv: list[str], environment: Mapping[str, str], folder: Path, seconds: float = SHORT_SECONDS
) -> "subprocess.CompletedProcess[str] | None":
    """None: not done in time."""
    try:
        return subprocess.run(
            argv,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise UserError("there is no `pulumi` on PATH: `make ready` brings one") from None
    except subprocess.TimeoutExpired:
        return None


def _state_key(stack: str) -> str:
    return f".pulumi/stacks/{PROJECT}/{stack}"


def exported(stack: StackFile, environment: Mapping[str, str]) -> dict[str, Any]:
    """The stack's state as it is stored, its secrets encrypted. Raises UserError where it cannot be had."""
    argv = ["pulumi", "stack", "export", "--stack", stack.name, "--non-interactive"]
    done = _short(argv, environment, stack.root)
    if done is None:
        raise UserError(f"`{' '.join(argv)}` is not done after {SHORT_SECONDS} s; does the state store answer?")
    if done.returncode != 0:
        raise UserError(f"the state of stack {stack.name} cannot be read:\n{(done.stderr or done.stdout).strip()}")
    state: dict[str, Any] = json.loads(done.stdout)
    return state


@dataclass(frozen=True)
class Previewed:
    """How a preview ended: what `--json` printed, parsed (None where that is nothing), the plan, and what else it said,
    which may be anything."""

    code: int
    digest: dict[str, Any] | None
    plan: bytes | None
    said: str


def preview(stack: StackFile, environment: Mapping[str, str]) -> Previewed:
    """Runs `pulumi preview` once and keeps its plan; it writes nothing and asks for no lock. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        plan = Path(folder) / "plan.json"
        argv = ["pulumi", "preview", "--stack", stack.name, "--non-interactive", "--json", "--show-sames"]
        argv += ["--show-replacement-steps", "--save-plan", str(plan), *_config_file(stack)]
        done = _short(argv, environment, ROOT, UP_SECONDS)
        if done is None:
            raise UserError(f"`pulumi preview` is not done after {UP_SECONDS} s; does the state store answer?")
        try:
            digest = json.loads(done.stdout)
        except ValueError:
            digest = None
        said = done.stderr if digest else done.stdout + done.stderr
        return Previewed(done.returncode, digest, plan.read_bytes() if plan.exists() else None, said.strip())


def up(
    pulumi: Path,
    stack: StackFile,
    environment: Mapping[str, str],
    show: Callable[[str], None],
    plan: Path | None = None,
    locked: Callable[[], None] = lambda: None,
) -> None:
    """Runs `pulumi up`, giving each line of its output to `show`. Raises UserError with the way on where it fails.

    With `plan` nothing else than what the plan has is done. The engine compares as it goes, so what it finds to be otherwise
    it finds in the preview that comes first there, in which nothing is touched. `locked` is called when the stack's lock is
    held and that preview begins; while it looks, the engine stands still, and where it raises UserError, nothing is done.

    ^C reaches the CLI as well, which then stops after the running steps; this waits for that.
    """
    argv = [str(pulumi), "up", "--stack", stack.name, "--yes", "--non-interactive"]
    argv += ["--suppress-progress", "--suppress-outputs", *_config_file(stack)]
    argv += ["--skip-preview"] if plan is None else ["--plan", str(plan)]
    said: list[str] = []
    began = looked = plan is None
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

        def hear(line: str) -> None:
            nonlocal began, looked
            show(line)
            began = began or line.startswith(UPDATING)
            if not looked and line.startswith((PREVIEWING, UPDATING)):
                looked = True
                _look(process, stack, environment, locked)

        try:
            _follow(process, said, hear, UP_SECONDS if plan is None else APPLY_SECONDS)
        except KeyboardInterrupt:
            # The CLI has had its own ^C.
            if plan is not None:
                show("the running steps are waited for; ^C once more ends them at once, and leaves the stack locked")
            _end(process, STOP_SECONDS if plan is None else STOP_APPLY_SECONDS)
            raise
        except BaseException:
            process.send_signal(signal.SIGINT)
            _end(process, STOP_SECONDS if plan is None else STOP_APPLY_SECONDS)
            raise
    if process.returncode != 0:
        raise UserError(explain(process.returncode, said, stack, of_plan=plan is not None, began=began))


def _look(
    process: "subprocess.Popen[str]", stack: StackFile, environment: Mapping[str, str], locked: Callable[[], None]
) -> None:
    """Calls `locked` while the engine stands still. Where that raises UserError, the engine is ended there and then.

    So early ^C ends it without taking its lock off, too. As long as the lock is there nobody else can have one.
    """
    process.send_signal(signal.SIGSTOP)
    try:
        locked()
    except UserError as error:
        process.kill()
        process.wait(STOP_SECONDS)
        argv = ["pulumi", "cancel", "--yes", "--stack", stack.name, "--non-interactive"]
        done = _short(argv, environment, stack.root)
        if done is None or done.returncode != 0:
            raise UserError(f"{error}\nThe stack's lock is left: {' '.join(argv[:-1])}") from None
        raise
    finally:
        process.send_signal(signal.SIGCONT)


def _config_file(stack: StackFile) -> list[str]:
    return ["--config-file", str(stack.path)] if stack.rehearsal else []


def _follow(
    process: "subprocess.Popen[str]", said: list[str], show: Callable[[str], None], limit_seconds: float
) -> None:
    assert process.stdout is not None  # noqa: S101  for the type checker: asked for above
    # An engine that hangs says nothing, so the limit cannot be looked at between lines.
    limit = threading.Timer(limit_seconds, process.send_signal, [signal.SIGINT])
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


def _end(process: "subprocess.Popen[str]", seconds: float) -> None:
    """It may finish its running steps, so that state stays true; what it still says is read, or it would wait for a reader."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()


def explain(code: int, said: list[str], stack: StackFile, *, of_plan: bool = False, began: bool = True) -> str:
    """What to do after a failed `up`: whether it was `of_plan`, and `began` to change anything."""
    name = stack.name
    shell, option, again = 'eval "$(make -s env)"; ', "", "make up"
    if stack.rehearsal:
        shell, option = f'eval "$(seedbed env {name} --rehearsal)"; ', f' --config-file "${REHEARSAL}"'
        again = f"seedbed rehearse {name}"
    if of_plan:
        # Who applies a plan has a shell of the stack's already.
        shell, again = "", f"seedbed review {name}"
    # The second command makes the state forget the steps whose end it did not see: each can be run twice, and an `up`
    # would warn of them for ever.
    unlock = (
        f"{shell}pulumi cancel --yes --stack {name}; "
        f"pulumi refresh --yes --skip-preview --clear-pending-creates --stack {name}{option}; {again}"
    )
    another = ", and apply what that writes: the state is another one now than was reviewed" if of_plan else ""
    if any(_LOCKED in line for line in said):
        return (
            "another `pulumi up` holds the lock of this stack, or one was killed. If the process named above is gone, "
            f"take its lock away and go on from where it was: {unlock}"
        )
    if code < 0:
        return (
            f"`pulumi up` was killed (signal {-code}) and left its lock. To go on from where it was: {unlock}{another}"
        )
    if of_plan and any(sign in line for line in said for sign in _OTHER_THAN_PLANNED):
        touched = "What was done before that stays done" if began else "Nothing was touched"
        return (
            "the engine refused the plan, because the program wants something else now than was reviewed: it says above "
            f"what. {touched}. Review again: `{again}`"
        )
    if not began:
        return f"`pulumi up` failed with exit code {code}; what it says is above. Nothing was touched"
    return (
        f"`pulumi up` failed with exit code {code}; what it says is above. What is done stays done: put right what "
        f"it names and run `{again}` again{another}"
    )
