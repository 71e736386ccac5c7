"""Detached processes of a lab: started once, known by a pid file, ended without hitting another's process."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import LabError

STOP_SECONDS = 5.0
"""How long a process may take to end by itself before it is killed."""

_POLL = 0.02
_PROC = Path("/proc")

_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Those started by this very process: it has to collect them when they end."""


@dataclass(frozen=True)
class Daemon:
    """A running service. `start_time` is in clock ticks since boot (proc(5), stat field 22): pids are used again."""

    pid: int
    start_time: int
    argv: list[str]
    fingerprint: str


def services_dir(lab_dir: Path) -> Path:
    """Where a lab's pid files, configurations and logs are; made when missing, for the owner only."""
    folder = lab_dir / "services"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def digest(*parts: str) -> str:
    """A fingerprint of what a service is started with."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """One at a time works on `folder`, which exists."""
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def spawn(folder: Path, name: str, argv: Sequence[str], env: Mapping[str, str], cwd: Path, fingerprint: str) -> Daemon:
    """Start service `name` in a session of its own, logging to `<name>.log`, and write `<name>.json`.

    `fingerprint` says what it was started with, for the next caller to compare.

    Raises:
        LabError: the program cannot be started, or ends at once.
    """
    log_file = folder / f"{name}.log"
    with log_file.open("ab") as log:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise LabError(f"{name}: {argv[0]} cannot be started: {error.strerror}") from error
    _children[child.pid] = child
    started = _start_time(child.pid)
    if started is None:
        _children.pop(child.pid).wait()
        raise LabError(f"{name} ended at once; the last lines of {log_file}:\n{log_tail(folder, name)}")
    daemon = Daemon(child.pid, started, list(argv), fingerprint)
    new = folder / f".{name}.json"
    new.write_text(json.dumps(asdict(daemon)))
    new.replace(folder / f"{name}.json")
    return daemon


def running(folder: Path, name: str) -> Daemon | None:
    """Service `name` if its process lives."""
    try:
        daemon = Daemon(**json.loads((folder / f"{name}.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return daemon if _start_time(daemon.pid) == daemon.start_time else None


def runs(folder: Path, name: str, fingerprint: str) -> bool:
    """Whether service `name` lives, and was started with just this."""
    daemon = running(folder, name)
    return daemon is not None and daemon.fingerprint == fingerprint


def stop(folder: Path, name: str, marker: Sequence[str] = ()) -> bool:
    """End service `name` and forget it; True if something was ended.

    `marker` is a run of arguments that only this service's command line has (with its configuration's path, say):
    processes that carry it are ended too, as a caller that is killed between starting one and noting its pid
    leaves one.
    """
    victims = {daemon.pid: daemon.start_time} if (daemon := running(folder, name)) else {}
    if marker:
        victims |= _carrying(marker)
    for pid, started in victims.items():
        _end(pid, started)
    (folder / f"{name}.json").unlink(missing_ok=True)
    return bool(victims)


def log_tail(folder: Path, name: str, lines: int = 12) -> str:
    """The last lines of a service's log, indented."""
    try:
        with (folder / f"{name}.log").open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16384))
            tail = log.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        tail = []
    return "\n".join(f"  | {line}" for line in tail) or "  | (nothing)"


def _end(pid: int, started: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _start_time(pid) != started:
            break
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + STOP_SECONDS
        while _start_time(pid) == started and time.monotonic() < deadline:
            time.sleep(_POLL)
    child = _children.pop(pid, None)
    if child is not None:
        child.wait(timeout=STOP_SECONDS)


def _start_time(pid: int) -> int | None:
    """When the process began; None if there is none, or only its exit code is left."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _carrying(marker: Sequence[str]) -> dict[int, int]:
    """Processes whose command line holds the arguments `marker` in a row, but this one: pid to start time."""
    wanted = b"\0" + b"\0".join(argument.encode() for argument in marker) + b"\0"
    found = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command_line = (entry / "cmdline").read_bytes()  # each argument ends with a zero byte
        except OSError:
            continue
        started = _start_time(int(entry.name))
        if wanted in b"\0" + command_line and started is not None:
            found[int(entry.name)] = started
    return found
