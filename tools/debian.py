"""Debian packages that a part of the lab or the toolchain needs on this machine."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from tools import ToolError
from tools.process import run
from tools.progress import Progress

LOCK_SECONDS = 300
"""How long apt waits for another apt or dpkg; unattended upgrades at boot take minutes."""

TIMEOUT_SECONDS = 1800


def ensure_packages(names: Sequence[str], progress: Progress) -> None:
    """Install those of `names` that are missing; asks nothing of apt where none is.

    Raises:
        ToolError: not a Debian, not root, or apt fails; the message has the command to run by hand.
    """
    absent = missing(names)
    if not absent:
        return
    by_hand = f"apt-get install --no-install-recommends {' '.join(absent)}"
    if shutil.which("apt-get") is None:
        raise ToolError(
            f"this needs the Debian packages {', '.join(absent)}, and there is no apt-get here."
            " Install what they hold by this distribution's means, or use a Debian machine."
        )
    if os.geteuid() != 0:
        raise ToolError(f"missing packages: {', '.join(absent)}. Only root can install them: sudo {by_hand}")
    with progress.phase(f"Debian packages {', '.join(absent)}"):
        try:
            _install(absent)
        except ToolError:
            # The package lists may be missing (a container image) or older than what the mirror still holds.
            _apt(["update", "-q"], "apt-get update")
            _install(absent)


def missing(names: Sequence[str]) -> list[str]:
    """Those of `names` that are not installed, in the same order; all of them where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return list(names)
    # It exits with 1 when it knows no package of a name; what it knows it prints all the same.
    answer = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *names],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    installed = {line.split()[0] for line in answer.stdout.splitlines() if line.split()[1:] == ["installed"]}
    return [name for name in names if name not in installed]


def _install(names: Sequence[str]) -> None:
    _apt(["install", "-q", "-y", "--no-install-recommends", *names], f"apt-get install {' '.join(names)}")


def _apt(arguments: Sequence[str], what: str) -> None:
    run(
        ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", *arguments],
        what,
        timeout=TIMEOUT_SECONDS,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
    )
