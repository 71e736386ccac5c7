"""Files of a host's disk: their modes are said and never left to the umask, which many set to keep others out."""

import os
from pathlib import Path


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Write ``path`` anew, readable by nobody else at any time where ``mode`` says so, with the folders it lacks."""
    folder(path.parent)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)


def folder(path: Path) -> None:
    """Make a folder that everybody may enter, and those above it that are missing."""
    if not path.is_dir():
        folder(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o755)
