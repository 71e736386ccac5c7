"""Running a command and seeing what it took: seconds by the clock and by the CPU, and the memory of each process."""

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.05


class BenchError(Exception):
    """A measured command failed, or what a measurement needs is missing; the message says what."""


@dataclass(frozen=True)
class Usage:
    """What one run took.

    `cpu_seconds` is user and system time of the command and of every descendant that was waited for. `peaks` is the
    largest resident memory in bytes by kind of process, where it was asked for; `peak` that of all of them at one
    moment, pages that they share counted once for each.
    """

    seconds: float
    cpu_seconds: float
    output: str = field(repr=False)
    peaks: Mapping[str, int] = field(default_factory=dict)
    peak: int = 0


def run(
    argv: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    kind_of: Callable[[str], str | None] | None = None,
    stdin: str = "",
) -> Usage:
    """Run `argv` to its end, `stdin` its input. With `kind_of`, which names a kind by a command line, its memory is looked at as well.

    Looking costs a few milliseconds of CPU each time, so runs with and without it are not to be compared.

    Raises:
        BenchError: it failed, or took more than `timeout` seconds.
    """
    before, began = os.times(), time.monotonic()
    process = subprocess.Popen(
        argv, cwd=cwd, env=dict(env), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    memory = _Memory(process.pid, kind_of) if kind_of else None
    try:
        output, _ = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise BenchError(f"{argv[0]} {argv[1]} is not done after {timeout:g} s") from None
    finally:
        if memory:
            memory.end()
    seconds, after = time.monotonic() - began, os.times()
    if process.returncode != 0:
        raise BenchError(f"{argv[0]} {argv[1]} ended with {process.returncode}:\n{output[-4000:]}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Usage(seconds, cpu, output, memory.peaks if memory else {}, memory.peak if memory else 0)


class _Memory:
    """Looks at the resident memory of a process and its descendants until `end`."""

    def __init__(self, pid: int, kind_of: Callable[[str], str | None]) -> None:
        self.peaks: dict[str, int] = {}
        self.peak = 0
        self._pid = pid
        self._kind_of = kind_of
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._look()

    def _look(self) -> None:
        total = 0
        for pid in descendants(self._pid):
            try:
                status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                now, peak = (int(status[name].split()[0]) << 10 for name in ("VmRSS", "VmHWM"))
                command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
            except (OSError, KeyError):  # it has ended
                continue
            total += now
            kind = self._kind_of(command)
            if kind:
                self.peaks[kind] = max(self.peaks.get(kind, 0), peak)
        self.peak = max(self.peak, total)


def descendants(pid: int) -> list[int]:
    """`pid` and all processes that it started, directly or not, which are still its own."""
    found = [pid]
    for known in found:
        for task in Path(f"/proc/{known}/task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except OSError:
                continue
    return found


def interleaved(rounds: int, **ways: Callable[[], Usage]) -> dict[str, list[Usage]]:
    """Run each way once a round, the order turned round from round to round, so that a busy minute meets all alike."""
    found: dict[str, list[Usage]] = {name: [] for name in ways}
    for number in range(rounds):
        order = list(ways) if number % 2 == 0 else list(reversed(ways))
        for name in order:
            found[name].append(ways[name]())
    return found


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def ratio(ours: Sequence[float], others: Sequence[float]) -> tuple[float, float, float]:
    """The ratio of the medians, and the least and the greatest of the single rounds' ratios."""
    single = [a / b for a, b in zip(ours, others, strict=True)]
    return median(ours) / median(others), min(single), max(single)
