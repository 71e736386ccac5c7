"""What is kept of a host beside its disk: how it is plugged in, and its limits. No secret is in it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import LabError

FILE = "host.json"


@dataclass(frozen=True)
class Record:
    """One host, as its folder remembers it.

    Args:
        base: the image's root that the host's disk is an overlay on.
        host_key: the public half of its host key, ``ssh-ed25519 AAAA…``.
    """

    name: str
    address: str
    host_key: str
    bridge: str
    base: str
    memory_bytes: int | None
    cpus: float | None

    @staticmethod
    def read(folder: Path) -> "Record":
        """Read it; ``LabError`` where it is not there or not whole."""
        try:
            return Record(**json.loads((folder / FILE).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise LabError(f"{folder / FILE} cannot be read: remove the lab with `seedbed lab down`") from error

    def write(self, folder: Path) -> None:
        """Write it in one step."""
        draft = folder / f"{FILE}.new"
        draft.write_text(json.dumps(asdict(self), indent=1) + "\n")
        draft.rename(folder / FILE)
