"""The prod stack as it is after its first `up`, for what reviews a change of it: the whole program on the real engine.

The cloud is the lab's, with machines on paper that answer SSH on loopback and let every command succeed; the seed is left
out. The `up` is done once, and every test has a copy of the project, a git repository, and of the state. A copy's
previews ask nothing of the cloud; what one applies is seen by the others' cloud, but not by their states.
"""

import asyncio
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import yaml

from lab.cloud.hypervisor import Machine
from lab.cloud.paper import PaperHypervisor
from lab.cloud.spaces import Spaces
from seedbed.commands import init
from tests.clones import committed, git
from tests.engine.conformance.cloud import PaperCloud, paper_cloud
from tests.engine.harness import Engine
from tests.engine.metal import ENVIRONMENT, QUICK, UNLIMITED
from tools.toolchain import CLONE, Toolchain

STACK = "prod"
SUBNET = "127.95.7.0/24"
"""Where the droplets' public addresses are: on loopback, so that each can have a server of its own."""

START_SECONDS = 10
FOLDERS = ("stacks", "components", "seedbed", "lab", "tools", "k8s")
FILES = ("__main__.py", "Pulumi.yaml", ".gitignore")

Change = Callable[[dict[str, Any]], None]


@dataclass
class AnsweringHypervisor(PaperHypervisor):
    """A machine of its is an SSH server at its public address, with the host key of its user data.

    It takes files and lets every command succeed; only the keys that the droplet was given are let in.
    """

    port: int = 0
    folder: Path = Path()
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _servers: dict[int, asyncssh.SSHAcceptor] = field(default_factory=dict, repr=False)

    def create(self, machine: Machine) -> None:
        """Answers when this returns."""
        super().create(machine)
        if machine.id not in self._servers:
            self._servers[machine.id] = self._run(self._listen(machine))

    def destroy(self, machine: int) -> None:
        """Answers no more."""
        super().destroy(machine)
        server = self._servers.pop(machine, None)
        if server is not None:
            self._loop.call_soon_threadsafe(server.close)

    async def _listen(self, machine: Machine) -> asyncssh.SSHAcceptor:
        host_key = yaml.safe_load(machine.user_data)["ssh_keys"]["ed25519_private"]
        folder = self.folder / str(machine.id)
        folder.mkdir(parents=True)
        return await asyncssh.listen(
            machine.public,
            self.port,
            server_host_keys=[asyncssh.import_private_key(host_key)],
            authorized_client_keys=asyncssh.import_authorized_keys("\n".join(machine.ssh_keys)),
            process_factory=_succeed,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(folder).encode()),
        )

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Runs the servers until the end."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for server in self._servers.values():
                self._loop.call_soon_threadsafe(server.close)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join(START_SECONDS)
            self._loop.close()


async def _succeed(process: "asyncssh.SSHServerProcess[str]") -> None:
    await process.stdin.read()
    process.stdout.write('{"result":"paved"}\n')
    process.exit(0)


@dataclass
class Reviewed:
    """One copy: the project in `root`, a git repository whose work tree is clean, its state in `state`."""

    engine: Engine
    state: Path
    port: int
    """At which the machines are reached."""

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.engine.folder

    @property
    def settings_file(self) -> Path:
        """What a change of the stack is a change of."""
        return self.root / f"Pulumi.{STACK}.yaml"

    def change(self, change: Change) -> None:
        """Writes the stack's settings as `change` leaves them, and commits them."""
        document = yaml.safe_load(self.settings_file.read_text())
        change(document["config"])
        self.settings_file.write_text(yaml.safe_dump(document, sort_keys=False))
        self.commit()

    def commit(self) -> str:
        """Commits all there is; returns the commit."""
        return committed(self.root)


@dataclass
class Deployed:
    """The stack after its first `up`, which nobody changes; `copy` makes what a test may change."""

    engine: Engine
    state: Path
    cloud: PaperCloud
    port: int

    def copy(self, folder: Path) -> Reviewed:
        """The project and its state in `folder`, with the same cloud."""
        made = Engine(folder, self.engine.toolchain, STACK)
        made.adopt(self.engine)
        shutil.copytree(self.engine.folder, made.folder, dirs_exist_ok=True, symlinks=True)
        shutil.copytree(self.state, folder / "state", dirs_exist_ok=True)
        return Reviewed(made, folder / "state", self.port)


def a_rule_for_the_world(root: Path) -> None:
    """Has the program let everybody log in, which no setting does."""
    file = root / "components" / "metal" / "digitalocean" / "network.py"
    ours = "source_addresses=sorted(set(self._args.operators.values()))"
    assert file.read_text().count(ours) == 1
    file.write_text(file.read_text().replace(ours, "source_addresses=list(WORLD)"))


def settings() -> dict[str, Any]:
    """The committed settings of the stack, without the seed."""
    document: dict[str, Any] = yaml.safe_load((CLONE / f"Pulumi.{STACK}.yaml").read_text())
    del document["config"]["seedbed:seed"]
    return document


def free_port() -> int:
    """A port that nobody listens at on any address."""
    with socket.create_server(("0.0.0.0", 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def deployed(folder: Path, toolchain: Toolchain, spaces: Spaces) -> Iterator[Deployed]:
    """Makes the stack below `folder`; its machines answer until the end."""
    port = free_port()
    # A socket's file has a short name at most, and a test's folder a long one.
    with tempfile.TemporaryDirectory(prefix="reviewed-") as hosts:
        paper = AnsweringHypervisor(port=port, folder=Path(hosts))
        traits = {"delays": QUICK, "limits": UNLIMITED, "paper": paper, "subnet": SUBNET}
        with paper.answering(), paper_cloud(folder / "cloud", **traits) as cloud:
            cloud.request("POST", "/v2/domains", {"name": "example.org"})
            engine = Engine(folder, toolchain, STACK)
            engine.env.update(cloud.environment(**ENVIRONMENT), **spaces.environment())
            _project(engine.folder, port)
            (engine.folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(settings(), sort_keys=False))
            init.initialise(STACK, engine.env, engine.folder)
            engine.up()
            git(engine.folder, "init", "--quiet")
            # A linked folder is not what `.venv/` in .gitignore means.
            (engine.folder / ".git" / "info" / "exclude").write_text(".venv\n")
            committed(engine.folder)
            yield Deployed(engine, folder / "state", cloud, port)


def _project(root: Path, port: int) -> None:
    for name in FOLDERS:
        shutil.copytree(CLONE / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy2(CLONE / name, root / name)
    (root / ".venv").symlink_to(CLONE / ".venv")
    # A droplet is reached at port 22, which not everyone may listen at; no setting of a droplet's leads to another.
    file = root / "stacks" / "settings.py"
    text = file.read_text()
    for old in ("le=65535)] = 22\n", '("root", 22)'):
        assert text.count(old) == 1, f"{file.name} says the port of SSH otherwise"
        text = text.replace(old, old.replace("22", str(port)))
    file.write_text(text)
