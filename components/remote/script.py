"""What a remote step is: a bash script rendered by a pure function, and the command line that runs it on the machine.

A step's body is `<folder>/<step>.sh`. It defines `main` or what the `main` of `<folder>/common.sh` calls, and uses the
variables that its renderer sets; `scripts/lib.sh` holds what all steps share.
"""

import base64
import gzip
import hashlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent / "scripts" / "lib.sh"

LOCK_FILE = "/run/seedbed.lock"
"""Held while a step runs: the script of a killed `up` runs on to its end, and the next `up` waits for it."""

_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A rendered step.

    `text` is the script, without secrets; `digest` names it, and is what the machine remembers that it was paved with.
    """

    name: str
    text: str
    digest: str


def render(folder: Path, step: str, variables: Mapping[str, str]) -> Step:
    """The script `<folder>/<step>.sh` with its variables in front.

    Values are quoted for the shell; the result is the same for the same variables, whatever their order.
    """
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    body = source(LIBRARY, folder / "common.sh", folder / f"{step}.sh")
    digest = hashlib.sha256(f"{assignments}\0{body}".encode()).hexdigest()
    # The state keeps the text of every step of every machine twice, and a preview shows it: what differs between machines
    # is readable, what is in git is packed.
    # What follows on standard input is for `main` to read, so nothing may stand between. What it leaves there bash would
    # run as commands, did the same line not end it.
    text = (
        f"set -Eeuo pipefail\nSTEP={step}\nDIGEST={digest}\n{assignments}"
        f"source <(base64 -d <<<'{_packed(body)}' | gunzip)\nmain; exit 0\n"
    )
    return Step(name=step, text=text, digest=digest)


def source(*files: Path) -> str:
    """The files one behind the other, without comments; the lines stay, so that an error's number can be found."""
    return "".join(map(_read, files))


def command(step: Step, *, user: str, timeout_seconds: int) -> str:
    """The command line for the login shell of `user`, which may be any POSIX shell; the script comes on standard input.

    It is short because the provider quotes all of it in the error of a step that failed. One step runs at a time on a
    machine, and none longer than its timeout.
    """
    sudo = "" if user == "root" else "sudo -n "
    # A waiting step must outlast the one that holds the lock.
    lock = f"flock --wait {timeout_seconds} --conflict-exit-code 75 {LOCK_FILE}"
    return f"exec {sudo}{lock} timeout --kill-after=10 {timeout_seconds} bash -s {step.name} {step.digest[:12]}"


def stdin(step: Step, secrets: str = "") -> str:
    """What the command reads: the script and behind it what the script itself reads.

    bash takes a script from a pipe byte by byte, so that the rest is left for the script.
    """
    return step.text + secrets


@cache
def _read(path: Path) -> str:
    return _COMMENT.sub("", path.read_text())


@cache
def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
