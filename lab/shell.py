"""Short commands of the lab: always with a timeout, and an error that says what the program said."""

import subprocess
from collections.abc import Sequence

from lab import LabError

TIMEOUT_SECONDS = 30.0


def run(*argv: str, stdin: str = "", timeout: float = TIMEOUT_SECONDS) -> str:
    """Run ``argv`` and give back its standard output; ``LabError`` where it fails or outlasts ``timeout``."""
    done = attempt(*argv, stdin=stdin, timeout=timeout)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"`{_brief(argv)}` failed: {' / '.join(said[-3:]) or f'exit code {done.returncode}'}")
    return done.stdout


def attempt(*argv: str, stdin: str = "", timeout: float = TIMEOUT_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` whatever its exit code; ``LabError`` where it cannot be started or outlasts ``timeout``."""
    try:
        return subprocess.run(
            argv, input=stdin, capture_output=True, text=True, errors="replace", timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise LabError(f"`{argv[0]}` is not on this machine; `seedbed lab up` installs what the lab needs") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{_brief(argv)}` was not done after {timeout:g} s") from error


def ip_batch(lines: Sequence[str]) -> None:
    """Several commands of iproute2's ``ip`` in one process; the first that fails ends it."""
    run("ip", "-batch", "-", stdin="\n".join(lines) + "\n")


def _brief(argv: Sequence[str]) -> str:
    text = " ".join(argv)
    return text if len(text) < 160 else text[:157] + "..."
