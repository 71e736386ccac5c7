"""Three servers and an agent that are paved, for what changes their generations: the whole program on the real engine.

The machines are an SSH server on loopback that lets every command succeed. What takes a machine out of the cluster is
replaced by a line in a file: that it is called, for whom and when, is the engine's part; what it does is the lab's.
"""

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.answering import answering
from components.pave.node import MEMBER
from stacks.identity import generate
from tests.engine.harness import Engine, Outcome
from tests.engine.repository import SETTINGS, Repository
from tools.toolchain import Toolchain

Change = Callable[[dict[str, Any]], None]

REMOVALS = "removals"
"""A file of the project's: a line for each machine that was taken out, and the servers by which."""

REMOVAL = f'''"""In place of the real one: notes what it is asked for."""

from dataclasses import dataclass
from pathlib import Path

from components.retire.gate import Leaving, RetireError


@dataclass(frozen=True, kw_only=True)
class Removal:
    private_key: str
    drain_seconds: int

    def __call__(self, leaving, servers, say):
        say("leaves")
        if Path("refuse").exists():
            raise RetireError(f"{{leaving.login.machine}} stays: " + Path("refuse").read_text())
        with Path("{REMOVALS}").open("a") as file:
            kind = "server" if leaving.server else "agent"
            print(kind, leaving.login.machine, leaving.login.address, "by", *(s.machine for s in servers), file=file)
'''

STEPS = ("scripts", "wait", "base", "docker", "member", "k3s")


@dataclass
class Paved:
    """A stack after its first `up`."""

    repository: Repository
    kept: Path
    """Its state and its settings' file, as they are when a test begins."""
    failing: set[tuple[str, str]]
    """(address, step) of what fails from now on."""

    @property
    def engine(self) -> Engine:
        """What runs commands on it."""
        return self.repository.engine

    def change(self, change: Change) -> None:
        """Writes the settings as `change` leaves them; the identity and the salt stay."""
        file = self.repository.settings_file
        document = yaml.safe_load(file.read_text())
        config = {key.removeprefix("seedbed:"): value for key, value in document["config"].items()}
        change(config)
        document["config"] = {f"seedbed:{key}": value for key, value in config.items()}
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    def replace(self, name: str, address: str, **other: Any) -> None:
        """The two edits of a replacement: the next generation at a new address, and the old one on the list."""

        def change(config: dict[str, Any]) -> None:
            machine = config["machines"][name]
            config.setdefault("retire", []).append(f"{name}-{machine.get('generation', 1)}")
            machine |= {"generation": machine.get("generation", 1) + 1, "address": address, **other}

        self.change(change)

    def removals(self) -> list[str]:
        """What was taken out, as lines of the file."""
        file = self.repository.root / REMOVALS
        return file.read_text().splitlines() if file.exists() else []

    def names(self) -> set[str]:
        """Of all that is in the state."""
        return {str(r["urn"]).rpartition("::")[2] for r in self.engine.stack_export().get("resources", [])}

    def machines(self) -> set[str]:
        """The full names of those that the state remembers."""
        return {name.removesuffix(MEMBER) for name in self.names() if name.endswith(MEMBER)}

    def restore(self) -> None:
        """Everything as it was after the first `up`."""
        state = self.repository.root.parent / "state"
        shutil.rmtree(state)
        shutil.copytree(self.kept / "state", state)
        shutil.copy(self.kept / "settings.yaml", self.repository.settings_file)
        self.failing.clear()
        for name in (REMOVALS, "refuse"):
            (self.repository.root / name).unlink(missing_ok=True)


@contextmanager
def paved(folder: Path, toolchain: Toolchain) -> Iterator[Paved]:
    """Makes it below `folder`; its machines answer until the end."""
    identity = generate()
    host = identity.host_key("every machine")
    repository = Repository(folder, toolchain)
    repository.machines.close()
    (repository.root / "components" / "retire" / "removal.py").write_text(REMOVAL)
    repository.write_identity(identity)
    failing: set[tuple[str, str]] = set()

    def succeeds(address: str, command: str) -> bool:
        return not any(address == bad and f" bash -s {step} " in command for bad, step in failing)

    with answering(host.private, identity.operator_public_key, succeeds) as port:
        settings = copy.deepcopy(SETTINGS) | {"ssh": {"port": port}}
        settings["machines"] = {
            **{f"server-{n}": {"role": "server", "address": f"127.66.0.1{i}"} for i, n in enumerate("abc", 1)},
            "agent-a": {"role": "agent", "address": "127.66.0.21"},
        }
        for machine in settings["machines"].values():
            machine["hostKey"] = host.public
        repository.engine.config(settings)
        repository.engine.up()
        kept = folder / "kept"
        shutil.copytree(folder / "state", kept / "state")
        shutil.copy(repository.settings_file, kept / "settings.yaml")
        yield Paved(repository, kept, failing)


def steps_of(machine: str) -> list[str]:
    """Everything that a machine is in the state, by the names of its resources."""
    return [machine, machine, *(f"{machine}-{step}" for step in STEPS)]


def operations(outcome: Outcome) -> list[tuple[str, str]]:
    """(operation, name) of all that does not stay the same, sorted; the stack itself is left out."""
    return sorted((s.op, s.name) for s in outcome.steps if s.op != "same" and s.type != "pulumi:pulumi:Stack")
