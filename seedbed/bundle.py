"""A plan that was reviewed, with all that it is bound to, in one file that cannot be changed unnoticed.

A zip of four members: `manifest.json`, which says what the plan is bound to and holds the digests of the next two;
`plan.json`, the engine's plan; `report.md`, what the person saw; `seal.json`, an HMAC over the manifest. The key is derived
from the stack's identity (docs/adr/0019), so only who could apply the plan could have made the bundle.
"""

import hashlib
import hmac
import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seedbed import UserError
from seedbed.binding import Binding
from stacks.files import PROJECT

FORMAT = 1
MANIFEST, PLAN, REPORT, SEAL = "manifest.json", "plan.json", "report.md", "seal.json"
MEMBERS = (MANIFEST, PLAN, REPORT, SEAL)
"""In the order in which they are written."""

LARGEST = 128 << 20
"""Bytes of a member: what says that it is more is no bundle, and is not unpacked."""

_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
)
"""What reading a zip raises that was changed: in its numbers, its names, its content."""

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip knows; when a bundle was made is in its manifest."""


class BundleError(UserError):
    """The file is no bundle, was changed, or is for something else; the message says which."""


class Manifest(BaseModel):
    """`created` is in UTC, ISO 8601; `members` has the SHA-256 of the plan and of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    project: str = PROJECT
    stack: str
    rehearsal: bool
    created: str
    verdict: str
    summary: str
    binding: Binding
    members: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """An opened one, whose seal was right."""

    manifest: Manifest
    plan: bytes
    report: str


class Packed:
    """A file that looks like a bundle, not yet believed: `stack` is the one that it says it is for."""

    def __init__(self, path: Path) -> None:
        """Raises BundleError where it is no bundle, one of another format, or another project's."""
        self._path = path
        self._members = _unpacked(path)
        self._manifest = self._json(MANIFEST)
        found = self._manifest.get("format")
        if found != FORMAT:
            raise self._error(
                f"is of format {found!r}, and this seedbed reads {FORMAT}: apply it with the seedbed that made it, or "
                "review again"
            )
        if self._manifest.get("project") != PROJECT:
            raise self._error(f"is a plan of the project {self._manifest.get('project')!r}, not of {PROJECT}")
        if not isinstance(self._manifest.get("stack"), str):
            raise self._error(f"{MANIFEST} names no stack")

    @property
    def stack(self) -> str:
        """The stack's name."""
        return str(self._manifest["stack"])

    def opened(self, key: bytes) -> Bundle:
        """What is in it, if `key`, the stack's, has sealed it. Raises BundleError where anything was changed since."""
        seal = self._json(SEAL)
        if seal.get("key") != _name(key):
            raise self._error(
                f"was sealed with another identity than stack {self.stack} has: it is of another stack of that name, of a "
                f"rehearsal, or {SEAL} was changed. It is not applied"
            )
        manifest = self._members[MANIFEST]
        # As bytes: of text it compares ASCII only, and what is in a file that was changed may be anything.
        said = str(seal.get("hmac")).encode(errors="replace")
        if not hmac.compare_digest(said, _hmac(key, manifest).encode()):
            raise self._error(f"was changed after the review: {MANIFEST} is not what was sealed. It is not applied")
        try:
            believed = Manifest.model_validate_json(manifest)
        except ValidationError as error:
            raise self._error(f"{MANIFEST} is sealed and cannot be read: {error}") from None
        for name in (PLAN, REPORT):
            if hashlib.sha256(self._members[name]).hexdigest() != believed.members.get(name):
                raise self._error(f"was changed after the review: {name} is not what was sealed. It is not applied")
        return Bundle(believed, self._members[PLAN], self._members[REPORT].decode())

    def _json(self, name: str) -> dict[str, object]:
        try:
            value = json.loads(self._members[name])
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._error(f"{name} is not what `seedbed review` writes: it was changed")
        return value

    def _error(self, problem: str) -> BundleError:
        return BundleError(f"{self._path}: {problem}")


def write(path: Path, manifest: Manifest, plan: bytes, report: str, key: bytes) -> None:
    """Seals and writes a bundle; its folder is made. The same content gives the same bytes."""
    members = {PLAN: plan, REPORT: report.encode()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    text = manifest.model_copy(update={"members": digests}).model_dump_json(indent=1).encode()
    seal = json.dumps({"key": _name(key), "hmac": _hmac(key, text)}).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in MEMBERS:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, {MANIFEST: text, SEAL: seal, **members}[name])
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(packed.getvalue())
        Path(new).replace(path)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise


def _unpacked(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if sorted(info.filename for info in infos) != sorted(MEMBERS):
                raise BundleError(f"{path}: is no bundle of `seedbed review`, which holds {', '.join(MEMBERS)}")
            if large := [info.filename for info in infos if info.file_size > LARGEST]:
                raise BundleError(f"{path}: {large[0]} is larger than {LARGEST >> 20} MiB: not one of `seedbed review`")
            return {info.filename: _member(archive, info) for info in infos}
    except FileNotFoundError:
        raise BundleError(f"{path} does not exist: `seedbed review STACK` makes one") from None
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGE as error:
        raise BundleError(f"{path}: is damaged, or no bundle of `seedbed review` ({error})") from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Its content, of which no more is unpacked than it says that there is."""
    # The other ways of packing are unpacked whole, however little of it is asked for.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{info.filename} is packed in another way")
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} has another size than it says")
    return content


def _hmac(key: bytes, content: bytes) -> str:
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def _name(key: bytes) -> str:
    """By which a key is known, which tells nothing of it."""
    return _hmac(key, b"which key")[:16]
