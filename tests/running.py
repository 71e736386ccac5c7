"""Programs that the tiers run: what they say as they say it, or later, and their end in time."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUIET_SECONDS = 30.0
"""After how long without output a line says that the tier is still at it."""

INTERRUPTED = 130


class Voice:
    """Where a tier's lines go: to the console, or, while it is `held`, to be said later."""

    def __init__(self, *, held: bool = False) -> None:
        self._kept: list[str] | None = [] if held else None
        self._lock = threading.Lock()
        self.stopped = threading.Event()
        """Whether the tier shall end: somebody has interrupted."""

    def say(self, text: str) -> None:
        """One line or some, as they are."""
        with self._lock:
            if self._kept is None:
                print(text, end="", flush=True)
            else:
                self._kept.append(text)

    def release(self) -> None:
        """Says what was kept, and from now on everything at once."""
        with self._lock:
            kept, self._kept = self._kept or [], None
            print("".join(kept), end="", flush=True)


def stream(
    argv: Sequence[str],
    limit: float,
    env: Mapping[str, str] | None = None,
    quiet: bool = False,
    voice: Voice | None = None,
) -> tuple[int, list[str]]:
    """Runs a program, shows its output as it comes (not with `quiet`), gives back its exit code and lines.

    `limit` in seconds; then the program and its children are ended, and the code is that of `timeout`, 124.
    """
    voice = voice or Voice()
    process = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=dict(env) if env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines: list[str] = []
    heard = [time.monotonic()]

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            heard[0] = time.monotonic()
            lines.append(line)
            if not quiet:
                voice.say(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    began = time.monotonic()
    try:
        while process.poll() is None:
            reader.join(0.2)
            now = time.monotonic()
            if now - began > limit:
                voice.say(f"not done after {limit:.0f} s: ended\n")
                _end(process)
                return 124, lines
            if voice.stopped.is_set():
                _end(process)
                return INTERRUPTED, lines
            if now - heard[0] > QUIET_SECONDS:
                heard[0] = now
                voice.say(f"… still at it after {now - began:.0f} s\n")
    except BaseException:
        _end(process)
        raise
    reader.join(5.0)
    return process.returncode, lines


def _end(process: subprocess.Popen[str]) -> None:
    """As ^C would, so that fixtures can clean up; then for good. The program leads a process group of its own."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
