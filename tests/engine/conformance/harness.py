"""Runs small inline programs on the real engine, and real sshd servers for them to reach.

A program is a Python function; the language server of the SDK's Automation API serves it out of the test's own
process, and one CLI process runs one operation: no project's interpreter, no plugin discovery, half a second each.
"""

import gc
import getpass
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc
from pulumi_command import remote

# One process meets hundreds of engines here, each at ports of its own. What gRPC remembers of a port at which an engine has
# ended is shared by all of a process: another engine that the kernel gives that port within a minute would count as gone.
_GRPC_CHANNEL_OPTIONS.append(("grpc.use_local_subchannel_pool", 1))

Program = Callable[[], None]

TIMEOUT_SECONDS = 60
TYPES = ("command:", "digitalocean:", "kubernetes:", "pulumi:providers:kubernetes")
STACK = "organization/conformance/test"
KEY = "hashivault://conformance"
"""What encrypts the secrets of these stacks; see `key_service`."""


@dataclass
class Result:
    """What one CLI process did."""

    code: int
    output: str
    events: list[dict[str, Any]]

    def operations(self) -> list[tuple[str, str]]:
        """(operation, resource name) of every step but `same`, in the order in which the steps were begun."""
        steps = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        return [
            (step["op"], step["urn"].rpartition("::")[2])
            for step in steps
            if step["op"] != "same" and step["type"].startswith(TYPES)
        ]

    def operations_of(self, name: str) -> list[str]:
        """The operations on one resource but `same`, in their order."""
        return [operation for operation, touched in self.operations() if touched == name]

    def step(self, name: str) -> dict[str, Any]:
        """The first step of the resource that is not `same`."""
        return next(
            event["resourcePreEvent"]["metadata"]
            for event in self.events
            if "resourcePreEvent" in event
            and event["resourcePreEvent"]["metadata"]["op"] != "same"
            and event["resourcePreEvent"]["metadata"]["urn"].endswith(f"::{name}")
        )

    def difference(self, name: str) -> dict[str, str]:
        """The properties by which a resource differs, and how: `{"data.key": "update-replace"}`."""
        steps = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        diffs = [step["detailedDiff"] for step in steps if step["urn"].endswith(f"::{name}") and step["detailedDiff"]]
        return {path: change["diffKind"] for path, change in diffs[0].items()} if diffs else {}

    def messages(self, name: str | None = None) -> list[dict[str, Any]]:
        """The diagnostics, of one resource or all."""
        found = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return [message for message in found if name is None or message.get("urn", "").endswith(f"::{name}")]

    def text(self, name: str) -> str:
        """All diagnostics of one resource."""
        return "".join(message["message"] for message in self.messages(name))

    @property
    def changed(self) -> list[str]:
        """The names of the resources that were touched, sorted."""
        return sorted({name for _, name in self.operations()})


@dataclass
class Stack:
    """One stack with a state of its own."""

    pulumi: Path
    folder: Path
    environment: dict[str, str]
    runs: int = field(default=0)

    def up(self, program: Program, *arguments: str, succeeds: bool | None = True) -> Result:
        """`pulumi up` without a preview before it; `succeeds` of None takes its end as it comes."""
        return self._program(program, ["up", "--yes", "--skip-preview", *arguments], succeeds=succeeds)

    def preview(self, program: Program, *arguments: str, succeeds: bool | None = True) -> Result:
        """`pulumi preview`."""
        return self._program(program, ["preview", *arguments], succeeds=succeeds)

    def destroy(self, *, succeeds: bool = True) -> Result:
        """`pulumi destroy`, which runs no program; with one, the engine needs no language host to ask for plugins."""
        return self._program(_nothing, ["destroy", "--yes", "--skip-preview"], succeeds=succeeds)

    def refresh(self) -> Result:
        """`pulumi refresh`; it runs no program either."""
        return self._program(_nothing, ["refresh", "--yes", "--skip-preview"], succeeds=True)

    def export(self) -> dict[str, Any]:
        """The state as it is stored, secrets as ciphertext."""
        (state,) = self.folder.glob("state/.pulumi/stacks/conformance/test.json")
        exported: dict[str, Any] = json.loads(state.read_text())["checkpoint"]["latest"]
        return exported

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources of the stored state by their names."""
        return {resource["urn"].rpartition("::")[2]: resource for resource in self.export().get("resources", [])}

    def outputs(self, name: str) -> dict[str, Any]:
        """The stored outputs of one resource."""
        outputs: dict[str, Any] = self.resources()[name]["outputs"]
        return outputs

    @contextmanager
    def started(self, program: Program, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """`pulumi up` while it runs."""
        with _serving(program) as port:
            command = [str(self.pulumi), "up", "--yes", "--skip-preview", "--stack", STACK, "--non-interactive"]
            process = subprocess.Popen(
                [*command, f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline", *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait(TIMEOUT_SECONDS)

    def _program(self, program: Program, arguments: Sequence[str], *, succeeds: bool | None) -> Result:
        with _serving(program) as port:
            return self._run([*arguments, f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"], succeeds=succeeds)

    def _run(self, arguments: Sequence[str], *, succeeds: bool | None) -> Result:
        self.runs += 1
        log = self.folder / f"events-{self.runs}.json"
        command = [str(self.pulumi), *arguments, "--stack", STACK, "--non-interactive", "--color=never"]
        done = subprocess.run(
            [*command, f"--event-log={log}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        events = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        result = Result(done.returncode, done.stdout + done.stderr, events)
        assert succeeds is None or (result.code == 0) is succeeds, result.output
        return result


def _nothing() -> None:
    """A program that is not run."""


@contextmanager
def _serving(program: Program) -> Iterator[int]:
    # It reports that the program of a failed `up` was cut off, and the report would keep the program alive.
    logging.getLogger("grpc._server").setLevel(logging.CRITICAL)
    threads = ThreadPoolExecutor(max_workers=4)
    server = grpc.server(threads)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait(TIMEOUT_SECONDS)
        threads.shutdown()
        # A failed `up` leaves the program's coroutine suspended in a loop that was stopped. It is thrown away here,
        # not at a random moment of a later test: Python 3.11 loses count of its recursion then.
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        gc.collect()
        sys.unraisablehook = hook


def new_stack(pulumi: Path, home: Path, folder: Path, keys: Mapping[str, str]) -> Stack:
    """An empty stack in `folder`, whose engine has the plugins in `home`; `keys` leads it to a key service."""
    (folder / "state").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: conformance\nruntime: python\n")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "SSH_AUTH_SOCK"))}
    environment = {
        **kept,
        "PATH": f"{pulumi.parent}{os.pathsep}{os.environ['PATH']}",
        "PULUMI_HOME": str(home),
        "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
        **keys,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Without it the CLI has no --event-log.
        "PULUMI_DEBUG_COMMANDS": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_DIY_BACKEND_NO_LEGACY_WARNING": "true",
    }
    subprocess.run(
        [str(pulumi), "stack", "init", STACK, "--secrets-provider", KEY],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
    )
    return Stack(pulumi, folder, environment)


def copied_stack(empty: Stack, folder: Path) -> Stack:
    """A stack like `empty`, with the same key; making one anew is one command more."""
    shutil.copytree(empty.folder, folder, dirs_exist_ok=True)
    return Stack(empty.pulumi, folder, {**empty.environment, "PULUMI_BACKEND_URL": f"file://{folder / 'state'}"})


@dataclass
class Server:
    """A real sshd on a port of the loopback interface, with one host key and one user key."""

    port: int
    folder: Path
    host_key: str
    private_key: str

    @property
    def user(self) -> str:
        """Who may log in."""
        return getpass.getuser()

    def connection(self, **changes: Any) -> remote.ConnectionArgs:
        """A connection that works, apart from the changes."""
        values = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "private_key": self.private_key,
            "host_key": self.host_key,
            "dial_error_limit": 1,
        }
        return remote.ConnectionArgs(**{**values, **changes})

    def connections(self) -> int:
        """How many connections were accepted since the start."""
        return (self.folder / "log").read_text().count("Connection from ")


@contextmanager
def sshd(folder: Path, *lines: str) -> Iterator[Server]:
    """Runs an sshd with throw-away keys as a child process; `lines` are added to its configuration."""
    folder.mkdir(parents=True)
    for name in ("host", "user"):
        _keygen(folder / name)
    authorized = folder / "authorized_keys"
    authorized.write_text((folder / "user.pub").read_text())
    if os.geteuid() == 0:
        # Where sshd keeps its unprivileged part; the package makes it at boot only.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    configuration = [
        f"ListenAddress 127.0.0.1:{port}",
        f"HostKey {folder / 'host'}",
        f"AuthorizedKeysFile {authorized}",
        f"PidFile {folder / 'pid'}",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "MaxStartups 200",
        "LogLevel VERBOSE",
        "Subsystem sftp internal-sftp",
        *lines,
    ]
    (folder / "config").write_text("\n".join(configuration) + "\n")
    program = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    assert program is not None
    process = subprocess.Popen([program, "-D", "-f", folder / "config", "-E", folder / "log"])
    try:
        _wait_until_listening(folder / "log", process)
        yield Server(port, folder, _public_key(folder / "host"), (folder / "user").read_text())
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


def _keygen(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True, timeout=TIMEOUT_SECONDS
    )


def _public_key(path: Path) -> str:
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def other_host_key(folder: Path) -> str:
    """The public key of nobody."""
    _keygen(folder / "other")
    return _public_key(folder / "other")


def _wait_until_listening(log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not log.exists() or "Server listening on" not in log.read_text():
        assert process.poll() is None, "sshd ended"
        assert time.monotonic() < deadline, "sshd does not listen"
        time.sleep(0.02)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Listener:
    """A TCP server that counts connections and never says a word."""

    port: int
    accepted: int = 0


@contextmanager
def listener(*, hang_up: bool) -> Iterator[Listener]:
    """Accepts connections and closes them at once, or leaves them without an answer."""
    server = socket.create_server(("127.0.0.1", 0))
    counter = Listener(server.getsockname()[1])
    silent: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            counter.accepted += 1
            if hang_up:
                connection.close()
            else:
                silent.append(connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(TIMEOUT_SECONDS)
        for connection in silent:
            connection.close()
