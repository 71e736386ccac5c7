"""All that the cloud knows: objects by kind and id, in one file."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Object = dict[str, Any]
"""As the API shows it, and with fields that it does not show, whose names begin with `_`."""


class Store:
    """Objects by kind and id, and the numbers given out. Whoever uses it holds the cloud's lock."""

    def __init__(self, file: Path | None, settle: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Read `file` if it is there; without one nothing outlives the process. `settle`: see `listed`, in seconds."""
        self._file = file
        self._settle = settle
        self._clock = clock
        self._born: dict[tuple[str, str], float] = {}
        self._written = ""
        self._kinds: dict[str, dict[str, Object]] = {}
        self._numbers: dict[str, int] = {}
        if file is not None:
            with contextlib.suppress(FileNotFoundError):
                self._written = file.read_text()
        if self._written:
            state = json.loads(self._written)
            self._kinds, self._numbers = state["objects"], state["numbers"]

    def number(self, kind: str, first: int) -> int:
        """The next id of a kind whose ids are numbers; none is given twice, not even after a restart."""
        self._numbers[kind] = max(self._numbers.get(kind, 0) + 1, first)
        return self._numbers[kind]

    def add(self, kind: str, id: str | int, item: Object) -> Object:
        """Take it in under its id; from now on `item` is the stored one: change it in place."""
        self._kinds.setdefault(kind, {})[str(id)] = item
        self._born[kind, str(id)] = self._clock()
        return item

    def get(self, kind: str, id: str | int) -> Object | None:
        """The stored one itself."""
        return self._kinds.get(kind, {}).get(str(id))

    def remove(self, kind: str, id: str | int) -> None:
        """Forget it; nothing happens if it is not known."""
        self._kinds.get(kind, {}).pop(str(id), None)
        self._born.pop((kind, str(id)), None)

    def all(self, kind: str) -> list[Object]:
        """Every one, oldest first."""
        return list(self._kinds.get(kind, {}).values())

    def listed(self, kind: str) -> list[Object]:
        """What a list shows: not yet what was made in the last `settle` seconds."""
        latest = self._clock() - self._settle
        born = self._born
        return [item for id, item in self._kinds.get(kind, {}).items() if born.get((kind, id), latest) <= latest]

    def kinds(self) -> list[str]:
        """Those of which there is or was one."""
        return sorted(self._kinds)

    def save(self) -> bool:
        """Write what changed since the last time, at once and whole; whether anything did."""
        text = json.dumps({"objects": self._kinds, "numbers": self._numbers})
        if text == self._written:
            return False
        if self._file is not None:
            new = self._file.with_name(f".{self._file.name}")
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # user data holds secrets
            with open(descriptor, "w") as handle:  # noqa: PTH123 (a descriptor)
                handle.write(text)  # not synced to the disk: machines do not outlive a power cut either
            new.replace(self._file)
        self._written = text
        return True
