"""Write files that matter: whole or not at all."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_all(texts: Mapping[Path, str]) -> None:
    """Writes every file, with the permissions it had (a new one: 0644), making folders that are missing.

    All are on the disk under other names before the first takes its place, so that a full disk or a folder that cannot be
    written changes nothing. They take their places in the mapping's order: what stops half-way leaves the first ones new.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            staged[path] = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            staged[path].chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        for path in texts:
            staged[path].replace(path)
            del staged[path]
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)
