"""Free disk."""

import shutil
from collections.abc import Callable
from pathlib import Path

from seedbed.findings import Finding, fail, ok, warn

GIB = 1024**3

HOST_FAIL_BYTES = 2 * GIB
HOST_WARN_BYTES = 8 * GIB
"""A node with its images and three days of logs stays below 8 GiB; the kubelet evicts pods when a tenth is left."""

LOCAL_FAIL_BYTES = 1 * GIB
LOCAL_WARN_BYTES = 6 * GIB
"""A cold `make up` builds some 5 GiB, Go's own build cache included."""


def check_folder(what: str, folder: Path, free: Callable[[Path], int] | None = None) -> Finding:
    """Free space where `folder` is, or will be made."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    available = free(existing) if free else shutil.disk_usage(existing).free
    return grade(f"disk: {what} ({folder})", available, LOCAL_FAIL_BYTES, LOCAL_WARN_BYTES)


def grade(title: str, available: int, fail_below: int, warn_below: int) -> Finding:
    """`available`, `fail_below` and `warn_below` in bytes."""
    said = f"{title}: {available / GIB:.1f} GiB free"
    if available < fail_below:
        return fail(said, f"Free at least {warn_below / GIB:.0f} GiB.")
    if available < warn_below:
        return warn(said, f"{warn_below / GIB:.0f} GiB are comfortable.")
    return ok(said)
