"""A whole stack on a lab of its own, worked as a person works it: a copy of the tree, `seedbed up`, plain `pulumi`."""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import yaml

from lab import stack_lab
from lab.image import VARIABLE, Image
from lab.lab import Lab
from stacks.config import ROOT
from stacks.identity import Identity
from tests.lab.conftest import OWNER
from tests.lab.conftest import ROOT as LABS
from tools.progress import Progress

UP_SECONDS = 400
DEV = ROOT / "Pulumi.dev.yaml"


def new_name() -> str:
    """Of a stack and its lab."""
    return f"t{secrets.token_hex(3)}"


def share_virtualenv(folder: Path) -> None:
    """A virtual environment with the packages of this tree's, but with the `seedbed` of the copy that it is in."""
    shared = ROOT / ".venv"
    (folder / "bin").mkdir(parents=True)
    for path in (shared / "bin").iterdir():
        if path.name != "seedbed":
            (folder / "bin" / path.name).symlink_to(path)
    (folder / "bin" / "seedbed").symlink_to("../../seedbed/launcher")
    (folder / "lib").symlink_to(shared / "lib")
    for name in ("pyvenv.cfg", ".made-from"):
        shutil.copy(shared / name, folder)


@dataclass
class Stack:
    """A stack named like its lab, in a copy of the tree. Its settings are the dev stack's until a test changes them."""

    name: str
    root: Path
    subnet: IPv4Network
    image: Image = Image.PREPARED
    """What its hosts begin with. A test of the first paving, or of what interrupts it, needs the bare one."""
    passphrase: str = field(default_factory=lambda: secrets.token_urlsafe(16), repr=False)
    _shells: dict[str, dict[str, str]] = field(default_factory=dict, init=False, repr=False)

    @staticmethod
    def make(
        subnet: IPv4Network,
        change: Callable[[dict[str, Any]], None] | None = None,
        *,
        seed: bool = False,
        image: Image = Image.PREPARED,
    ) -> "Stack":
        """A new copy and its settings; nothing runs yet. Without `seed` it is a cluster that nothing is planted in."""
        name = new_name()
        stack = Stack(name, LABS / f"clone-{name}", subnet, image)
        stack.copy_tree()
        text = DEV.read_text().replace(".lab/dev/", f".lab/{name}/").replace("10.77.0.", str(subnet[0])[:-1])
        document = {"config": yaml.safe_load(text)["config"]}
        if not seed:
            document["config"].pop("seedbed:seed", None)
        (change or (lambda config: None))(document["config"])
        stack.settings_file.write_text(yaml.safe_dump(document))
        return stack

    def copy_tree(self) -> None:
        """The tree as it is now, with an empty lab folder that is this process's."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=30,
        ).stdout  # fmt: skip
        for path in filter(None, listed.split("\0")):
            if (ROOT / path).is_file():
                (self.root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, self.root / path)
        share_virtualenv(self.root / ".venv")
        self.lab_folder.mkdir(parents=True)
        (self.lab_folder / OWNER).write_text(str(os.getpid()))

    @property
    def settings_file(self) -> Path:
        return self.root / f"Pulumi.{self.name}.yaml"

    @property
    def lab_folder(self) -> Path:
        return self.root / ".lab" / self.name

    @property
    def lab(self) -> Lab:
        """The lab, once it is up."""
        return Lab.open(self.name)

    @property
    def identity(self) -> Identity:
        return Identity.from_file(self.lab_folder / "identity.json")

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Edit the settings as a person edits the stack's file."""
        document = yaml.safe_load(self.settings_file.read_text())
        change(document["config"])
        self.settings_file.write_text(yaml.safe_dump(document))

    def base_environment(self) -> dict[str, str]:
        """What a fresh shell has, the passphrase, and what new hosts begin with."""
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("PULUMI_", "AWS_", "KUBE", "SEEDBED_LAB"))}
        return keep | {"PULUMI_CONFIG_PASSPHRASE": self.passphrase, VARIABLE: self.image}

    def environment(self) -> dict[str, str]:
        """The shell after `eval "$(seedbed env STACK)"`; a new one where the lab has another state store by now."""
        store = (self.lab_folder / "s3.json").read_text()
        if self._shells.keys() != {store}:
            self._shells = {store: self.shell(self.seedbed("env", self.name).stdout)}
        return dict(self._shells[store])

    def shell(self, exports: str) -> dict[str, str]:
        """The environment of a shell that has run these lines."""
        shown = subprocess.run(
            ["bash", "-c", f"{exports}\nenv -0"],
            env=self.base_environment(), capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return dict(line.split("=", 1) for line in shown.stdout.split("\0") if "=" in line)

    def seedbed(self, *arguments: str, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`seedbed …` in the copy."""
        return self._run([sys.executable, "-m", "seedbed", *arguments], self.base_environment(), check, timeout)

    def in_shell(self, environment: dict[str, str], *argv: str, timeout: float = 120) -> str:
        """What a command prints, in a shell with this environment and in the copy."""
        return self._run([*argv], environment, check=True, timeout=timeout).stdout

    def up(self) -> subprocess.CompletedProcess[str]:
        """`seedbed up`, which is what `make up` calls."""
        return self.seedbed("up", self.name, timeout=UP_SECONDS)

    def pulumi(
        self, *arguments: str, check: bool = True, timeout: float = UP_SECONDS, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        """`pulumi …` in the copy, with more variables as keywords."""
        command = ["pulumi", *arguments, "--stack", self.name, "--non-interactive"]
        return self._run(command, self.environment() | extra, check, timeout)

    def kubectl(self, *arguments: str, check: bool = True, stdin: str = "", timeout: float = 90) -> str:
        """`k3s kubectl …` on the first server; its standard output."""
        server = next(n for n in self.lab.host_names() if n.startswith("server"))
        done = self.lab.ssh(server, f"k3s kubectl {shlex.join(arguments)}", stdin=stdin, check=check, timeout=timeout)
        return done.stdout

    def remove(self) -> None:
        """Take the lab and the copy away."""
        stack_lab.down(self.name, self.lab_folder, Progress())
        shutil.rmtree(self.root, ignore_errors=True)

    def _run(
        self, argv: list[str], environment: dict[str, str], check: bool, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv, cwd=self.root, env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{argv} ended with {done.returncode}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done
