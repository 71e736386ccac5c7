"""OCI images without a daemon: files in, one OCI-layout tar of any number of images out.

The same input always gives the same bytes. Layers are gzip, which every engine can pull (Docker 20.10 cannot pull zstd).
Format: github.com/opencontainers/image-spec (image-layout.md, manifest.md, config.md).
"""

import hashlib
import io
import json
import os
import platform
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from lab import LabError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
"""The same as LAYER, in a manifest of the older kind."""

INDEX = "application/vnd.oci.image.index.v1+json"

EPOCH = 1767225600
"""The time of every file (2026-01-01T00:00:00Z): a build's own time would change the digests."""

CREATED = "2026-01-01T00:00:00Z"
HISTORY = {"created": CREATED, "created_by": "seedbed lab"}
"""What an image says of each layer that was made here."""

COMPRESSION = 3
"""Level 3 of 9: the images are read on the machine that makes them, so time counts more than size."""

CHUNK_BYTES = 1 << 20
GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # no name and no time in it, unlike gzip.open's

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""The variable that every image has."""

_REFERENCE = re.compile(r"[a-z0-9.-]+\.[a-z]+(:\d+)?(/[a-z0-9._-]+)+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True)
class File:
    """A regular file of a layer; `content` is its bytes or the file to copy."""

    path: str
    content: bytes | Path
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Directory:
    """A directory of a layer, for those that need an owner or a mode of their own."""

    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True)
class Symlink:
    """A symbolic link of a layer."""

    path: str
    target: str


@dataclass(frozen=True)
class Layer:
    """A layer made of entries, in their order."""

    entries: tuple[File | Directory | Symlink, ...]

    def __post_init__(self) -> None:
        paths = [_inside(entry.path) for entry in self.entries]
        twice = {path for path in paths if paths.count(path) > 1}
        if twice:
            raise LabError(f"image layer: {', '.join(sorted(twice))} is in it twice")


@dataclass(frozen=True)
class Image:
    """An image and every reference that it is known by, each with registry and tag.

    `layers` are layers or plain tars that serve as one (as debootstrap's). `user` should be numeric: Kubernetes cannot tell
    whether a name is root.
    """

    names: tuple[str, ...]
    layers: tuple[Layer | Path, ...]
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = "/"
    env: tuple[str, ...] = (PATH,)
    ports: tuple[str, ...] = ()  # as in "8080/tcp"
    labels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.names:
            if not _REFERENCE.fullmatch(name):
                raise LabError(f"image name {name!r}: it needs registry, path and tag, as in docker.io/library/x:1")


def write(destination: Path, images: Sequence[Image]) -> None:
    """Write the images for this machine's architecture to one OCI-layout tar.

    The tar appears whole or not at all. Each name is a descriptor of `index.json` with the annotation
    `io.containerd.image.name`. Raises LabError where a file is missing or a name is given twice.
    """
    names = [name for image in images for name in image.names]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise LabError(f"{destination}: the image name {', '.join(sorted(twice))} is given twice")
    with _layout(destination) as blobs:
        for image in images:
            blobs.name(blobs.image(image), image.names)


@dataclass(frozen=True)
class Parent:
    """An image that another is one layer more than: its name, and its manifest and configuration as they are served."""

    name: str
    manifest: bytes
    config: bytes


def extend(destination: Path, parent: Parent, layer: Layer) -> None:
    """Write a tar with the parent and one more layer under the parent's name, without the layers below.

    Whoever serves it has those from where the parent is. Raises LabError where the parent is not what it should be.
    """
    with _layout(destination) as blobs:
        blobs.name(blobs.child(parent, layer), (parent.name,))


@contextmanager
def _layout(destination: Path) -> Iterator["_Blobs"]:
    """What is put into it becomes the tar `destination`."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{destination.name}.", dir=destination.parent) as scratch:
        blobs = _Blobs(Path(scratch))
        yield blobs
        draft = Path(scratch) / "layout.tar"
        with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
            _add(tar, "index.json", _json({"schemaVersion": 2, "mediaType": INDEX, "manifests": blobs.descriptors}))
            for digest in sorted(blobs.files):
                _add(tar, f"blobs/sha256/{digest}", blobs.files[digest])
        draft.chmod(0o644)
        draft.replace(destination)


def architecture() -> str:
    """This machine's architecture by its OCI (and Go) name."""
    machine = platform.machine()
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


class _Blobs:
    """The content of the layout so far, by digest; a layer that several images share is made once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, Path] = {}
        self.descriptors: list[dict[str, Any]] = []
        self._layers: dict[Layer | Path, tuple[dict[str, Any], str]] = {}

    def image(self, image: Image) -> dict[str, Any]:
        layers = [self._layer(layer) for layer in image.layers]
        config = {
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "User": image.user,
            "WorkingDir": image.working_dir,
            "Env": list(image.env),
            "ExposedPorts": {port: {} for port in image.ports},
            "Labels": image.labels,
        }
        config_blob = {
            "architecture": architecture(),
            "os": "linux",
            "created": CREATED,
            "config": {key: value for key, value in config.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [diff_id for _, diff_id in layers]},
            "history": [HISTORY for _ in layers],
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._put(_json(config_blob), CONFIG),
            "layers": [descriptor for descriptor, _ in layers],
        }
        return self._put(_json(manifest), MANIFEST)

    def child(self, parent: Parent, layer: Layer) -> dict[str, Any]:
        descriptor, diff_id = self._layer(layer)
        try:
            manifest, config = json.loads(parent.manifest), json.loads(parent.config)
            if manifest["config"]["digest"] != f"sha256:{hashlib.sha256(parent.config).hexdigest()}":
                raise LabError(f"{parent.name}: its configuration is not the one that its manifest names")
            config["rootfs"]["diff_ids"].append(diff_id)
            config.setdefault("history", []).append(HISTORY)
            if manifest.get("mediaType", MANIFEST) != MANIFEST:
                descriptor = {**descriptor, "mediaType": DOCKER_LAYER}
            manifest["layers"].append(descriptor)
            manifest["config"] = self._put(_json(config), manifest["config"]["mediaType"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LabError(f"{parent.name} is not an image as registries serve it: {error!r}") from error
        return self._put(_json(manifest), manifest.get("mediaType", MANIFEST))

    def name(self, descriptor: dict[str, Any], names: Sequence[str]) -> None:
        """Have the index say that the image of the descriptor is called so."""
        for name in names:
            annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
            where = {"os": "linux", "architecture": architecture()}
            self.descriptors.append({**descriptor, "platform": where, "annotations": annotations})

    def _put(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.files[digest] = self.folder / digest
        self.files[digest].write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def _layer(self, layer: Layer | Path) -> tuple[dict[str, Any], str]:
        if layer not in self._layers:
            draft = self.folder / "layer"
            with draft.open("wb") as raw:
                out = _GzipWriter(raw)
                if isinstance(layer, Path):
                    with _open(layer) as source:
                        shutil.copyfileobj(source, out, CHUNK_BYTES)
                else:
                    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                        for entry in layer.entries:
                            _add_entry(tar, entry)
                out.finish()
            digest = out.digest.hexdigest()
            self.files[digest] = draft.rename(self.folder / digest)
            descriptor = {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": out.size}
            self._layers[layer] = descriptor, f"sha256:{out.diff.hexdigest()}"
        return self._layers[layer]


class _GzipWriter(io.RawIOBase):
    """Compresses what is written to it; knows the digests of both sides and the size of the compressed one."""

    def __init__(self, raw: BinaryIO) -> None:
        self.diff = hashlib.sha256()
        self.digest = hashlib.sha256()
        self.size = 0
        self._raw = raw
        self._deflate = zlib.compressobj(COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._crc = 0
        self._length = 0
        self._emit(GZIP_HEADER)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer, as io declares it
        self.diff.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._length += len(data)
        self._emit(self._deflate.compress(data))
        return len(data)

    def finish(self) -> None:
        self._emit(self._deflate.flush())
        self._emit(self._crc.to_bytes(4, "little") + (self._length & 0xFFFFFFFF).to_bytes(4, "little"))

    def _emit(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)
        self._raw.write(data)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        raise LabError(f"image layer: {path!r} has to be a path inside the image, without a leading slash")
    return str(PurePosixPath(path))


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise LabError(f"image layer: {path}: {error.strerror}") from error


def _info(path: str, kind: bytes, mode: int, uid: int = 0, gid: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.uid, info.gid, info.mtime = kind, mode, uid, gid, EPOCH
    return info


def _add(tar: tarfile.TarFile, path: str, content: bytes | Path, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    info = _info(path, tarfile.REGTYPE, mode, uid, gid)
    if isinstance(content, bytes):
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        return
    with _open(content) as source:
        info.size = os.fstat(source.fileno()).st_size
        tar.addfile(info, source)


def _add_entry(tar: tarfile.TarFile, entry: File | Directory | Symlink) -> None:
    path = _inside(entry.path)
    match entry:
        case File():
            _add(tar, path, entry.content, entry.mode, entry.uid, entry.gid)
        case Directory():
            tar.addfile(_info(path, tarfile.DIRTYPE, entry.mode, entry.uid, entry.gid))
        case Symlink():
            info = _info(path, tarfile.SYMTYPE, 0o777)
            info.linkname = entry.target
            tar.addfile(info)
