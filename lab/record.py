"""What is kept of a host beside its disk: how it is plugged in, its limits, what is attached to it. No secret is in it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import LabError

FILE = "host.json"
ATTACHED = "attached.json"
FIREWALL = "firewall.nft"
"""For the machine of a cloud: what of its traffic reaches it, as a text for ``nft -f``."""


@dataclass(frozen=True)
class Record:
    """One host, as its folder remembers it.

    Args:
        base: the image's root that the host's disk is an overlay on.
        host_key: the public half of its host key, ``ssh-ed25519 AAAA…``; empty where the host made its own.
        private: its second address, where it has one.
    """

    name: str
    address: str
    host_key: str
    bridge: str
    base: str
    memory_bytes: int | None
    cpus: float | None
    private: str | None = None

    @staticmethod
    def read(folder: Path) -> "Record":
        """Read it; ``LabError`` where it is not there or not whole."""
        try:
            return Record(**json.loads((folder / FILE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise LabError(f"{folder / FILE} cannot be read: remove the lab with `seedbed lab down`") from error

    def write(self, folder: Path) -> None:
        """Write it in one step."""
        _write(folder / FILE, asdict(self))


@dataclass(frozen=True)
class Disk:
    """A disk beside the host's own: a file of this machine, and the name that the host has it by."""

    name: str
    image: str


@dataclass(frozen=True)
class Attached:
    """What a cloud gives a machine and takes away while it lives; from its next boot on where it does not run.

    Args:
        addresses: lead to the host beside its own.
    """

    addresses: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()

    @staticmethod
    def read(folder: Path) -> "Attached":
        """Read it; nothing where nothing was ever attached."""
        path = folder / ATTACHED
        if not path.exists():
            return Attached()
        note = json.loads(path.read_text())
        return Attached(tuple(note["addresses"]), tuple(Disk(**disk) for disk in note["disks"]))

    def write(self, folder: Path) -> None:
        """Write it in one step."""
        _write(folder / ATTACHED, asdict(self))


def _write(path: Path, note: dict[str, object]) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(note, indent=1) + "\n")
    draft.rename(path)
