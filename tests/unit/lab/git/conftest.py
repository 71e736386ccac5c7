"""A git server on loopback, and the machine's own git and ssh as its clients."""

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.git import service
from tools.progress import Progress

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Key:
    """A user's key: a file of the private half, and the public one."""

    file: Path
    public: str

    @staticmethod
    def make(file: Path) -> "Key":
        key = Ed25519PrivateKey.generate()
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        file.chmod(0o600)
        return Key(file, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode())


@dataclass(frozen=True)
class Server:
    """A running server of the lab in `lab_dir`."""

    lab_dir: Path
    port: int
    reader: Key
    writer: Key
    stranger: Key

    def start(self, readers: list[str] | None = None, writers: list[str] | None = None) -> bool:
        return service.start(
            self.lab_dir,
            None,
            LOOPBACK,
            [self.reader.public] if readers is None else readers,
            [self.writer.public] if writers is None else writers,
            Progress(),
            self.port,
        )

    def url(self, path: str = "seedbed.git") -> str:
        return f"ssh://git@{LOOPBACK}:{self.port}/{path}"

    def ssh(self, key: Key, *words: str, user: str = "git", options: tuple[str, ...] = ()) -> tuple[int, str]:
        """ssh's exit code and what it said."""
        argv = [*self._argv(key, *options), "-p", str(self.port), f"{user}@{LOOPBACK}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr

    def git(self, key: Key, *words: str, cwd: Path | None = None, protocol: int = 2) -> tuple[int, str]:
        """git's exit code and what it said; its ssh uses `key`."""
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.lab_dir),
            "GIT_SSH_COMMAND": " ".join(self._argv(key)),
            **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        argv = ["git", "-c", f"protocol.version={protocol}", *words]
        done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=cwd, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr

    def log(self) -> str:
        return (self.lab_dir / "services" / "git.log").read_text()

    def _argv(self, key: Key, *options: str) -> list[str]:
        argv = ["ssh", "-F", "none", "-i", str(key.file)]
        settings = {
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "UserKnownHostsFile": str(self.lab_dir / service.KNOWN_HOSTS),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
        }
        for option in [*(f"{name}={value}" for name, value in settings.items()), *options]:
            argv += ["-o", option]
        return argv


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for a module, with an empty repository `seedbed.git`; a test that changes it starts it again."""
    lab_dir = tmp_path_factory.mktemp("lab")
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    keys = [Key.make(lab_dir / name) for name in ("reader", "writer", "stranger")]
    server = Server(lab_dir, port, *keys)
    try:
        server.start()
        subprocess.run(
            ["git", "init", "-q", "--bare", "-b", "main", str(lab_dir / "git" / "seedbed.git")], check=True, timeout=30
        )
        yield server
    finally:
        service.stop(lab_dir)
