"""What a person sees while something takes long: a line a part, and never a silent quarter of a minute."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

ANNOUNCE_AFTER_SECONDS = 0.5
"""A phase that ends sooner prints only its end: what was cached costs one line, not two."""

HEARTBEAT_SECONDS = 15.0


@dataclass(frozen=True)
class Timing:
    """How long one phase took; `began` is in seconds since the progress was made, so overlaps can be seen."""

    name: str
    began: float
    seconds: float
    failed: bool = False


class Phase:
    """A running phase; `note` says in its last line how it came out."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.outcome = ""
        self.inner: Phase | None = None

    def note(self, outcome: str) -> None:
        """Put `outcome` in the line that ends the phase, as in `pulumi CLI: on PATH, 0.1 s`."""
        self.outcome = outcome


class Progress:
    """Prints lines, each under the seconds since the start, and keeps the timings. Safe to share by threads."""

    def __init__(
        self,
        stream: TextIO | None = None,
        announce_after: float = ANNOUNCE_AFTER_SECONDS,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        """Print to `stream` (stderr when None, looked up at each line so that a captured one is honoured)."""
        self._stream = stream
        self._announce_after = announce_after
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._timings: list[Timing] = []
        self._threads = threading.local()

    def __call__(self, text: str) -> None:
        """The same as `line`, so that a Progress serves wherever a function of one line is asked for."""
        self.line(text)

    def line(self, text: str) -> None:
        """Print one line at once."""
        with self._lock:
            stream = self._stream or sys.stderr
            print(f"[{time.monotonic() - self._began:4.0f}s] {text}", file=stream, flush=True)

    @property
    def timings(self) -> list[Timing]:
        """The phases that ended, in the order in which they ended."""
        with self._lock:
            return list(self._timings)

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Say that `name` began and how long it took; while it runs, say so every `heartbeat` seconds.

        A phase inside another (of the same thread) speaks for both.
        """
        phase = Phase(name)
        outer: Phase | None = getattr(self._threads, "phase", None)
        self._threads.phase = phase
        if outer is not None:
            outer.inner = phase
        began = time.monotonic()
        ended = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(phase, began, ended), daemon=True)
        watcher.start()
        failed = True
        try:
            yield phase
            failed = False
        finally:
            ended.set()
            watcher.join()
            self._threads.phase = outer
            if outer is not None:
                outer.inner = None
            seconds = time.monotonic() - began
            with self._lock:
                self._timings.append(Timing(name, began - self._began, seconds, failed))
            outcome = "failed" if failed else phase.outcome
            self.line(f"{name}: {outcome}{', ' if outcome else ''}{_duration(seconds)}")

    def _watch(self, phase: Phase, began: float, ended: threading.Event) -> None:
        if ended.wait(self._announce_after):
            return
        self.line(f"{phase.name} …")
        while not ended.wait(self._heartbeat):
            if phase.inner is None:
                self.line(f"{phase.name}: still at it after {_duration(time.monotonic() - began)}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"
