"""What was built or downloaded, kept outside the clone under the hash of what it was made from."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache's folder: `SEEDBED_CACHE`, or `~/.cache/seedbed`. Made when missing."""
    override = os.environ.get("SEEDBED_CACHE")
    folder = Path(override).absolute() if override else Path.home() / ".cache" / "seedbed"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(parts: Iterable[str | bytes]) -> str:
    """16 hex digits of the SHA-256 over `parts`, each preceded by its length so that no two lists meet."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(f"{len(data)}:".encode() + data)
    return sha.hexdigest()[:16]


def entry(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `<kind>-<key>` of the cache; if it does not exist, `make` fills it.

    `make` gets an empty folder which is renamed when it returns, so a killed build leaves no half entry. Two processes
    that want the same entry make it once: the second waits.
    """
    home = root()
    final = home / f"{kind}-{key}"
    if final.is_dir():
        return final
    with lock(f"{kind}-{key}"):
        if final.is_dir():
            return final
        unfinished = f".{final.name}."
        for left in home.glob(f"{unfinished}*"):  # by one that was killed: whoever makes this entry holds the lock
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=unfinished, dir=home))
        work.chmod(0o755)
        try:
            make(work)
            work.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the machine-wide lock `name`; waits for who has it. It goes with its holder, however that ends."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / name).open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
