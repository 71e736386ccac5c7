"""The machine's own notes of its labs: whose each is, which subnet it has, and what to put back after the last.

They lie in ``/run``, so a restart of the machine, which ends every host, forgets them too.
"""

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from lab import LabError, shell
from lab.spec import LabSpec

NOTES = Path("/run/seedbed")

ALL = "_machine"
"""The lock for what all labs share; no lab can have this name."""


@dataclass(frozen=True)
class Claim:
    """One lab of this machine: its name, its folder and its subnet."""

    name: str
    directory: Path
    subnet: IPv4Network


def check_able() -> None:
    """Raise ``LabError`` where this machine cannot have a lab at all."""
    reason = why_not()
    if reason:
        raise LabError(reason)


def why_not() -> str:
    """Why this machine cannot have a lab; empty where it can."""
    if platform.system() != "Linux":
        return f"the lab needs Linux (namespaces, cgroups, overlayfs); this is {platform.system()}"
    if os.geteuid() != 0:
        return "the lab needs root, for namespaces, mounts and the bridge: run it with sudo"
    return ""


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock ``name`` of this machine; waits for who has it, and goes with its holder."""
    path = NOTES / f"{name}.lock"
    while True:
        NOTES.mkdir(parents=True, exist_ok=True)
        try:
            handle = path.open("w")
        except FileNotFoundError:  # the last lab went between the two lines
            continue
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Whoever held it may have removed the file with the last lab: then it locks nobody out any more.
            if path.exists() and path.stat().st_ino == os.fstat(handle.fileno()).st_ino:
                yield
                return


def claims() -> list[Claim]:
    """Every lab of this machine, by name."""
    found = []
    for path in sorted((NOTES / "labs").glob("*.json")):
        try:
            note = json.loads(path.read_text())
            found.append(Claim(path.stem, Path(note["directory"]), IPv4Network(note["subnet"])))
        except (OSError, ValueError, KeyError):
            continue  # half written by one that was killed: it owns nothing yet
    return found


def claim_of(name: str) -> Claim | None:
    """The lab ``name``, if this machine has it."""
    return next((claim for claim in claims() if claim.name == name), None)


def check(spec: LabSpec) -> None:
    """Raise ``LabError`` where another folder's lab, or this machine itself, has the name or subnet of ``spec``."""
    for other in claims():
        if other.name == spec.name and other.directory != spec.directory:
            raise LabError(
                f"lab {spec.name!r} of this machine belongs to {other.directory}, not to {spec.directory}: "
                f"remove it with `seedbed lab down` there, or choose another name"
            )
        if other.name == spec.name and other.subnet != spec.subnet:
            raise LabError(
                f"lab {spec.name!r} runs with subnet {other.subnet}, not {spec.subnet}: "
                f"remove it with `seedbed lab down` first"
            )
        if other.name != spec.name and other.subnet.overlaps(spec.subnet):
            raise LabError(
                f"subnet {spec.subnet} belongs to lab {other.name!r} in {other.directory}: "
                f"choose another subnet, or remove that lab with `seedbed lab down` there"
            )
    for route in json.loads(shell.run("ip", "-json", "-4", "route", "show")):
        if route.get("dev") == spec.bridge or route.get("dst", "default") == "default":
            continue
        taken = IPv4Network(route["dst"])
        # A wider one, such as a VPN's 10.0.0.0/8, loses 254 of its addresses to the lab, which it will hardly miss.
        if taken.prefixlen >= 16 and taken.overlaps(spec.subnet):
            raise LabError(
                f"subnet {spec.subnet} overlaps {taken}, which this machine reaches by {route.get('dev', 'a route')}: "
                f"choose another subnet"
            )


def claim(spec: LabSpec) -> None:
    """Note that ``spec`` has its name and subnet, where ``check`` allows it. Call with the machine's lock held."""
    check(spec)
    folder = NOTES / "labs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{spec.name}.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"directory": str(spec.directory), "subnet": str(spec.subnet)}))
    draft.rename(path)


def release(name: str) -> bool:
    """Forget the lab ``name``, whose lock is held; true where it was the last of this machine."""
    (NOTES / "labs" / f"{name}.json").unlink(missing_ok=True)
    for left in (f"labs/{name}.new", f"labs/{name}.partitions", f"{name}.lock"):
        (NOTES / left).unlink(missing_ok=True)
    return not claims()


def forget() -> None:
    """Remove the notes themselves, after the last lab."""
    shutil.rmtree(NOTES, ignore_errors=True)
