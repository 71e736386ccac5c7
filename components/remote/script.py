"""What a remote step is: a bash script rendered by a pure function, and the command line that runs it on the machine.

A step's body is `components/scripts/<folder>/<step>.sh`. It defines `main` or what the `main` of `<folder>/common.sh`
calls, and uses the variables that its renderer sets; `lib.sh` holds what all steps share. All of them are copied to the
machine before, as one file; what a step reads on standard input only names them.
"""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"
LIBRARY = SCRIPTS / "lib.sh"

REMOTE_FILE = ".seedbed.sh"
"""Where all of SCRIPTS are on a machine, in the home of the user that logs in."""

LOCK_FILE = "/run/seedbed.lock"
"""Held while a step runs: the script of a killed `up` runs on to its end, and the next `up` waits for it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A rendered step.

    `text` is what bash is told, without secrets, when its arguments are the step's name and digest; `digest` names that
    text and the files it runs, and is what the machine remembers that it was paved with.
    """

    name: str
    text: str
    digest: str


def render(folder: Path, step: str, variables: Mapping[str, str]) -> Step:
    """The step whose body is `<folder>/<step>.sh`, with its variables in front.

    Values are quoted for the shell; the result is the same for the same variables, whatever their order. `NODE` must be
    one of them.
    """
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    files = (LIBRARY, folder / "common.sh", folder / f"{step}.sh")
    digest = hashlib.sha256(f"{assignments}\0{source(*files)}".encode()).hexdigest()[:12]
    # The user that logs in may write to the file, so what is compared is what runs: a copy in memory.
    # All of it is in the state twice for each step of each machine, with `<`, `>` and `&` as six characters each.
    # What follows on standard input is for `main` to read, so nothing may stand between. What it leaves there bash would
    # run as commands, did the same line not end it.
    text = (
        f"set -Eeuo pipefail\nSTEP=$1 DIGEST=$2\n{assignments}"
        f"SCRIPTS=$(cat {REMOTE_FILE} || :)\n"
        f'[ "$(echo "$SCRIPTS" | sha256sum)" = "{hashlib.sha256(bundle().encode()).hexdigest()}  -" ] || {{\n'
        f'echo "$NODE $STEP: FAILED: no scripts, or of another seedbed. Next: '
        f"pulumi up --replace '**::$NODE-scripts*'\" >&2; exit 1; }}\n"
        f'eval "$SCRIPTS"\n{"; ".join(map(_function, files))}\nmain; exit 0\n'
    )
    return Step(name=step, text=text, digest=digest)


def bundle() -> str:
    """All scripts as one: each file is a function of its name, which defines what the file does."""
    return "".join(f"{_function(file)}() {{\n{_read(file)}}}\n" for file in sorted(SCRIPTS.rglob("*.sh")))


def _function(file: Path) -> str:
    return ".".join(file.relative_to(SCRIPTS).parts)


def source(*files: Path) -> str:
    """The files one behind the other."""
    return "".join(map(_read, files))


def command(step: Step, *, user: str, timeout_seconds: int) -> str:
    """The command line for the login shell of `user`, which may be any POSIX shell; the script comes on standard input.

    It is short because the provider quotes all of it in the error of a step that failed. One step runs at a time on a
    machine, and none longer than its timeout.
    """
    sudo = "" if user == "root" else "sudo -n "
    # A waiting step must outlast the one that holds the lock.
    lock = f"flock --wait {timeout_seconds} --conflict-exit-code 75 {LOCK_FILE}"
    return f"exec {sudo}{lock} timeout --kill-after=10 {timeout_seconds} bash -s {step.name} {step.digest}"


def stdin(step: Step, secrets: str = "") -> str:
    """What the command reads: the script and behind it what the script itself reads.

    bash takes a script from a pipe byte by byte, so that the rest is left for the script.
    """
    return step.text + secrets


@cache
def _read(path: Path) -> str:
    return path.read_text()
