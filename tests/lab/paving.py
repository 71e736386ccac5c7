"""Paving that a test breaks: `pulumi up` left running and watched, and fresh agents on a cluster that is there."""

import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from lab import stack_lab
from lab.image import VARIABLE, Image
from lab.lab import Lab
from stacks.config import from_file
from tests.lab.stacks import Stack
from tools.progress import Progress

MARK = "SEEDBED_TEST_RUN"

CONNECT_SECONDS, STEP_SECONDS = 20, 150
"""The settings of these stacks. A step that hangs is given up by SSH's keepalive, sooner; a busy machine needs some time
for one that does not."""

STEP_DIAL_SECONDS, COPY_SECONDS, MARGIN_SECONDS = 60, 30, 30
"""Of components/remote/command.py: what the documented bounds are made of."""

WAIT_BOUND = 2 * CONNECT_SECONDS + MARGIN_SECONDS
SCRIPTS_BOUND = CONNECT_SECONDS + COPY_SECONDS + MARGIN_SECONDS
STEP_BOUND = STEP_DIAL_SECONDS + STEP_SECONDS + MARGIN_SECONDS
"""Seconds in which a machine's `wait`, the copy of its scripts before, and each later step end whatever happens to it."""

ENGINE_SECONDS = 60
"""What the engine itself needs to start and to end, on a machine that is busy."""


class Up:
    """One `pulumi up` that runs while the test goes on."""

    def __init__(self, stack: Stack, environment: dict[str, str], *options: str) -> None:
        self.mark = secrets.token_hex(8)
        self.lines: list[str] = []
        self._news = threading.Condition()
        self.process = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name, *options],
            cwd=stack.root, env=environment | {MARK: self.mark}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip())
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, pattern: str, seconds: float = 240) -> None:
        """Until a line matches; fails the test where the run ends before, or the time does."""
        wanted = re.compile(pattern)
        deadline = time.monotonic() + seconds
        seen = 0
        with self._news:
            while True:
                for line in self.lines[seen:]:
                    if wanted.search(line):
                        return
                seen = len(self.lines)
                assert self._reader.is_alive(), f"no {pattern!r} in a run that has ended:\n{self.text}"
                assert time.monotonic() < deadline, f"no {pattern!r} within {seconds:g} s:\n{self.text}"
                self._news.wait(0.2)

    def finish(self, seconds: float) -> int:
        """The exit code; fails the test where the run is not done within its bound."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"not done within {seconds:g} s:\n{self.text}") from None
        self._reader.join(10)
        return code

    def kill(self) -> None:
        """As the kernel does when memory is short: the CLI alone, without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> None:
        """Whatever is left of the run, so that no test leaves a process behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(30)
        for pid in self.survivors():
            os.kill(pid, signal.SIGKILL)

    def survivors(self) -> list[int]:
        """The processes of this run that live."""
        wanted = f"{MARK}={self.mark}".encode()
        return [pid for pid, environment in _environments() if wanted in environment.split(b"\0")]


def _environments() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "environ").read_bytes()
            except OSError:
                continue


def created(text: str) -> set[str]:
    """The remote steps that a run has finished."""
    return set(re.findall(r"command:remote:\w+ (\S+) created", text))


def begun(text: str) -> set[str]:
    """The remote steps that a run has begun."""
    return set(re.findall(r"command:remote:\w+ (\S+) (?:creating|updating|replacing)", text))


def failures(text: str) -> dict[str, str]:
    """The remote steps that have failed, with what the run says of each at its end."""
    diagnostics = text.partition("\nDiagnostics:\n")[2]
    found = re.findall(r"^  command:remote:\w+ \((\S+)\):\n((?:    .*\n)+)", diagnostics, re.MULTILINE)
    return dict(found)


class Ground:
    """A stack with one server, on which tests pave agents of ever new generations."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.generation = 1
        self.environment = stack.environment()

    @property
    def lab(self) -> Lab:
        return self.stack.lab

    def agents(self, *letters: str, bare: str = "") -> list[str]:
        """Fresh machines in place of all agents that were there; their full names.

        Those whose letters are in `bare` have none of the packages yet.
        """
        self.generation += 1
        self.stack.change(self._without_agents)
        gone = [host for host in self.lab.host_names() if host.startswith("agent")]
        for host in gone:
            self.lab.remove_host(host)
        if gone:
            # Else each `up` would wait until the cluster has noticed that they are dead.
            self.stack.kubectl("delete", "node", "--ignore-not-found", *gone)
        places = dict(enumerate(letters))
        for image in Image:
            chosen = {i: letter for i, letter in places.items() if (letter in bare) == (image is Image.BARE)}
            if chosen:
                self.stack.change(partial(self._with_agents, letters=chosen))
                self.make_hosts(image)
        return [f"agent-{letter}-{self.generation}" for letter in letters]

    def _without_agents(self, config: dict[str, Any]) -> None:
        machines = config["seedbed:machines"]
        agents = [name for name in machines if name.startswith("agent")]
        left = [f"{name}-{machines[name].get('generation', 1)}" for name in agents]
        config["seedbed:retire"] = [*config.get("seedbed:retire", []), *left]
        config["seedbed:machines"] = {name: machines[name] for name in machines if name not in agents}

    def _with_agents(self, config: dict[str, Any], letters: dict[int, str]) -> None:
        for i, letter in letters.items():
            address = str(self.stack.subnet[31 + i])
            machine = {"role": "agent", "address": address, "generation": self.generation}
            config["seedbed:machines"][f"agent-{letter}"] = machine

    def make_hosts(self, image: Image = Image.PREPARED) -> None:
        """A host for each machine of the settings that has none."""
        stack = self.stack
        lab = stack_lab.StackLab(stack.name, stack.lab_folder, from_file(stack.name, stack.root))
        with mock.patch.dict(os.environ, {VARIABLE: image}):
            stack_lab.start_hosts(lab, stack.identity, Progress())

    def up(self, *options: str) -> Up:
        """`pulumi up`, left running."""
        return Up(self.stack, self.environment, *options)

    def completes(self) -> str:
        """`pulumi up`, which has to end well; its output."""
        run = self.up()
        try:
            assert run.finish(400) == 0, run.text
        finally:
            run.end()
        return run.text

    def fails(self, run: Up, seconds: float) -> str:
        """The output of an `up` that has to fail, as it should be read, within `seconds` and the engine's own time."""
        try:
            assert run.finish(seconds + ENGINE_SECONDS) != 0, run.text
        finally:
            run.end()
        assert "Traceback" not in run.text, run.text
        return run.text

    def pulumi(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Another command of the CLI on the stack."""
        done = subprocess.run(
            ["pulumi", *arguments, "--stack", self.stack.name, "--non-interactive"],
            cwd=self.stack.root, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def is_whole(self) -> None:
        """The state knows of nothing unfinished, and every machine of the settings is a Ready node."""
        state = json.loads(self.pulumi("stack", "export").stdout)["deployment"]
        assert not state.get("pending_operations")
        settings = from_file(self.stack.name, self.stack.root)
        ready = self.stack.kubectl(
            "get", "nodes", "--output",
            'jsonpath={range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}',
        )  # fmt: skip
        for name in settings.machines:
            assert f"{settings.full_name(name)}=True" in ready.split(), ready

    def main_pid(self, host: str, unit: str) -> int:
        """The process of a unit on a host: another one after every restart."""
        return int(self.lab.ssh(host, f"systemctl show --property=MainPID --value {unit}").stdout)
