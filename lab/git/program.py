"""The program `git`, run so that nothing of the user's own set-up counts: no configuration, hooks, agent or `GIT_…`."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import LabError

PACKAGES = ("git",)
AUTHOR = "seedbed lab"
ADDRESS = "lab@seedbed.internal"
TIMEOUT_SECONDS = 60.0
HIDDEN = "refs/seedbed"
"""What the lab keeps in a repository for itself; clients neither see nor change it."""

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fsmonitor": "false",
    "commit.gpgSign": "false",
    "gc.auto": "0",  # it would run on behind our back, and the lab may be removed meanwhile
    "receive.autogc": "false",
    "merge.renames": "false",
    # Of the clone and of the lab's folder alike it is known whose they are.
    "safe.directory": "*",
}


def environment() -> dict[str, str]:
    """All that `git` gets to see of the environment."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "GIT_AUTHOR_NAME": AUTHOR,
        "GIT_AUTHOR_EMAIL": ADDRESS,
        "GIT_COMMITTER_NAME": AUTHOR,
        "GIT_COMMITTER_EMAIL": ADDRESS,
    }


def command(*arguments: str, settings: Mapping[str, str] | None = None) -> list[str]:
    """The argv of `git`; `settings` are more than those that always hold."""
    argv = ["git"]
    for name, value in {**_SETTINGS, **(settings or {})}.items():
        argv += ["-c", f"{name}={value}"]
    return [*argv, *arguments]


@dataclass(frozen=True)
class Git:
    """`git` in one folder: a repository's, or one of its work trees'."""

    folder: Path

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Its standard output without the last line's end; LabError with what it said where it fails."""
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()
            reason = " / ".join(said[-3:]) or f"exit code {done.returncode}"
            raise LabError(f"`git {arguments[0]}` in {self.folder} failed: {reason}")
        return done.stdout.removesuffix("\n")

    def attempt(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """As `run`, whatever the exit code is. LabError where git is missing or is not done in time."""
        try:
            return subprocess.run(
                command(*arguments),
                cwd=self.folder,
                env=environment(),
                input=stdin,
                capture_output=True,
                text=True,
                errors="surrogateescape",
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise LabError("`git` is not on this machine; `seedbed lab up` installs it") from error
        except subprocess.TimeoutExpired as error:
            raise LabError(f"`git {arguments[0]}` in {self.folder} was not done after {TIMEOUT_SECONDS:g} s") from error

    def lines(self, *arguments: str) -> Sequence[str]:
        """The entries of an output that is separated by zero bytes (`-z`)."""
        return [entry for entry in self.run(*arguments).split("\0") if entry]
