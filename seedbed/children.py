"""Ends what this process started, when a person interrupts it.

Builds run in sessions of their own, so ^C does not reach them; services of the lab do too, and are to stay. The
builds have this process's environment, and with it the mark; the services are started with a clean one.
"""

import os
import signal
import time
from pathlib import Path

MARK = "SEEDBED_STARTED_BY"
GRACE_SECONDS = 5.0

_PROC = Path("/proc")


def mark() -> None:
    """From here on, what is started with this process's environment is known as its own."""
    os.environ[MARK] = str(os.getpid())


def end() -> None:
    """Ends every marked child with its process group: asked first, then for good. Nothing where there is no /proc."""
    if not _PROC.is_dir():
        return
    deadline = time.monotonic() + GRACE_SECONDS
    how = signal.SIGTERM
    while leaders := _marked():
        for pid in leaders:
            try:
                os.killpg(pid, how)
            except ProcessLookupError:
                continue
        time.sleep(0.1)
        if time.monotonic() > deadline:
            if how is signal.SIGKILL:
                return
            how, deadline = signal.SIGKILL, time.monotonic() + GRACE_SECONDS


def _marked() -> list[int]:
    """Children of this process that lead a group of their own and carry its mark."""
    wanted = f"{MARK}={os.getpid()}".encode()
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # proc(5): after the name in parentheses come state, parent and process group.
            state, parent, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if state != "Z" and int(parent) == os.getpid() and group == entry.name and wanted in environment:
            found.append(int(entry.name))
    return found
