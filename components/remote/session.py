"""Scripts on machines outside of the engine's resources, by the OpenSSH client: what a gate does, and what only looks."""

import shlex
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.remote.script import LIBRARY, LOCK_FILE, source

CONNECT_SECONDS = 10
"""For the connection and the greeting; also how long a machine is silent before it is asked whether it is still there."""

MARGIN_SECONDS = 20
"""What the client may take longer than the script, which the machine itself ends in time."""

NO_CONNECTION = 255
"""The exit status of ssh where ssh itself failed. Source: ssh(1), EXIT STATUS."""

TIMED_OUT = (124, 137)
"""Of timeout(1)."""

LAST_LINES = 4


@dataclass(frozen=True, kw_only=True)
class Login:
    """Where a machine is; `host_key` is the `ssh-ed25519 AAAA…` line that it must prove to hold."""

    machine: str
    address: str
    port: int
    user: str
    host_key: str


class NoClientError(Exception):
    """This machine has no OpenSSH client."""

    def __init__(self) -> None:
        super().__init__("there is no `ssh` on PATH: install the OpenSSH client")


class UnreachableError(Exception):
    """The machine did not let in, or the connection broke: the message names the machine and says why."""


class ScriptError(Exception):
    """A script failed on a machine, or took too long: the message names both and has the last that it said."""


Say = Callable[[str], None]


def text(step: str, variables: Mapping[str, str], *files: Path) -> str:
    """The script that runs the `main` of `files`, which follow `lib.sh`; values are quoted for the shell.

    `variables` has `NODE`, the machine that it will run on. What it says on standard error begins with `<NODE> <step>: `.
    """
    assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))
    # The last line is one, so that bash reads nothing more when something in `main` has read standard input.
    return f"set -Eeuo pipefail\nSTEP={shlex.quote(step)}\n{assignments}{source(LIBRARY, *files)}\nmain; exit 0\n"


def run(login: Login, private_key: str, script: str, *, seconds: float, say: Say, alone: bool = False) -> str:
    """What `script` prints on the machine, where bash runs it as root; `say` gets the lines of its standard error as they come.

    It may take `seconds`. `alone`, it waits as long again for a paving step that runs there, and keeps others from beginning.
    Works in any thread. Raises UnreachableError, ScriptError, and NoClientError.
    """
    with tempfile.TemporaryDirectory(prefix="seedbed-") as name:
        folder = Path(name)
        log, source_file, result = folder / "log", folder / "script", folder / "result"
        source_file.write_text(script)
        ssh, *options = argv(folder, login, private_key)
        # What ssh itself has to say goes to a file of its own, and is no line of the script's.
        words = [ssh, "-E", str(log), *options, _command(login.user, int(seconds), alone)]
        with source_file.open() as stdin, result.open("w") as stdout:
            try:
                process = subprocess.Popen(
                    words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, errors="replace",
                    # A group of its own: the interrupt that lets the engine end in order must not break off what it waits for.
                    process_group=0,
                )  # fmt: skip
            except FileNotFoundError:
                raise NoClientError from None
        lines, late = _follow(process, seconds * (2 if alone else 1) + CONNECT_SECONDS + MARGIN_SECONDS, say)
        if process.returncode == 0:
            return result.read_text(errors="replace")
        if late or process.returncode == NO_CONNECTION:
            raise UnreachableError(f"{login.machine} ({login.address}) {_why(log, late)}")
        what = f"not done after {seconds:g} s" if process.returncode in TIMED_OUT else f"status {process.returncode}"
        raise ScriptError(f"{login.machine}: {what}: {' / '.join(lines) or 'it said nothing'}")


def argv(folder: Path, login: Login, private_key: str) -> list[str]:
    """The words up to the command; good for as long as `folder`, which is private, has the two files that this writes there."""
    key, known_hosts = folder / "operator_key", folder / "known_hosts"
    key.touch(0o600)
    key.write_text(private_key)
    known_hosts.write_text(f"{login.machine} {login.host_key}\n")
    options = {
        "UserKnownHostsFile": f'"{known_hosts}"',
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "UpdateHostKeys": "no",
        "HostKeyAlias": login.machine,
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "BatchMode": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": str(CONNECT_SECONDS),
        "LogLevel": "ERROR",
    }
    words = ["ssh", "-F", "none", "-i", str(key), "-p", str(login.port), "-l", login.user]
    for option, value in options.items():
        words += ["-o", f"{option}={value}"]
    return [*words, "--", login.address]


def _command(user: str, seconds: int, alone: bool) -> str:
    """For the login shell of `user`, which may be any POSIX shell. The machine ends the script even when nobody is left here."""
    sudo = "" if user == "root" else "sudo -n "
    lock = f"flock --wait {seconds} --conflict-exit-code 75 {LOCK_FILE} " if alone else ""
    return f"exec {sudo}{lock}timeout --kill-after=10 {seconds} bash -s"


def _follow(process: subprocess.Popen[str], seconds: float, say: Say) -> tuple[list[str], bool]:
    """The last lines of standard error, and whether the process had to be ended."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    limit = threading.Timer(seconds, end)
    limit.daemon = True
    limit.start()
    last: deque[str] = deque(maxlen=LAST_LINES)
    try:
        assert process.stderr is not None  # noqa: S101  for the type checker: it is a pipe
        for line in process.stderr:
            last.append(line.rstrip())
            say(last[-1])
        process.wait()
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
    return list(last), late.is_set()


def _why(log: Path, late: bool) -> str:
    said = log.read_text(errors="replace").split("\n") if log.exists() else []
    whole = "\n".join(said)
    if "HOST IDENTIFICATION HAS CHANGED" in whole or "Host key verification failed" in whole:
        return "answers with another host key than its own"
    if late:
        return "did not answer any more"
    last = next((line.strip() for line in reversed(said) if line.strip()), "the connection was lost")
    return f"does not let in: {last.removeprefix('ssh: ')}"
