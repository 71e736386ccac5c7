"""A copy of the repository's own program with a stack of its own, on the real engine."""

import copy
import shutil
import socket
import threading
from pathlib import Path
from typing import Any

from stacks.identity import Identity, generate
from tests.engine.harness import Engine, Outcome
from tools.toolchain import CLONE, Toolchain

IDENTITY_FILE = "identity.json"
K3S_VERSION = "v1.34.2+k3s1"

SETTINGS: dict[str, Any] = {
    "cluster": {"init": "server-a-1"},
    # Loopback, so that a connection that is tried arrives at the test.
    "network": {"machines": "127.66.0.0/24"},
    "k3s": {"version": K3S_VERSION},
    "timeouts": {"connect": 20, "step": 30},
    "machines": {
        "server-a": {"role": "server", "address": "127.66.0.11"},
        "agent-a": {"role": "agent", "address": "127.66.0.21"},
    },
    "identityFile": IDENTITY_FILE,
}


class Machines:
    """Stands for every machine of a stack: counts the connections that are made to any of them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("0.0.0.0", 0))
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()

    def close(self) -> None:
        self._socket.close()


class Repository:
    """The program in a folder of its own, so that a test may change any of its files."""

    def __init__(self, folder: Path, toolchain: Toolchain, stack: str = "dev") -> None:
        self.engine = Engine(folder, toolchain, stack)
        self.root = self.engine.folder
        self.machines = Machines()
        for name in ("stacks", "components", "k8s"):
            shutil.copytree(CLONE / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("__main__.py", "Pulumi.yaml"):
            shutil.copy2(CLONE / name, self.root / name)
        (self.root / ".venv").symlink_to(CLONE / ".venv")
        self.settings: dict[str, Any] = copy.deepcopy(SETTINGS) | {"ssh": {"port": self.machines.port}}

    @property
    def settings_file(self) -> Path:
        return self.root / f"Pulumi.{self.engine.stack}.yaml"

    def write_identity(self, identity: Identity | None = None) -> None:
        (self.root / IDENTITY_FILE).write_text((identity or generate()).to_json())

    def write_settings(self) -> None:
        """The settings as the stack's file; the engine adds the salt that belongs to its state."""
        self.engine.config(self.settings)

    def refused(self, *arguments: str) -> Outcome:
        """A command that has to fail as a person would want it to, before it reaches for any machine."""
        before = self.machines.connections
        outcome = self.engine.run(*arguments, check=False)
        assert outcome.code != 0, outcome.text
        assert "Traceback" not in outcome.text, outcome.text
        assert self.machines.connections == before, "machines were connected to"
        return outcome
