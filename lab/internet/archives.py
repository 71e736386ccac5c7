"""Images in OCI-layout tars, found by name and by digest without unpacking anything."""

import json
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.internet.content import FilePart
from lab.internet.names import DOCKER_HUB, registry_of

NAME_ANNOTATION = "io.containerd.image.name"
"""The annotation of a descriptor in `index.json` that holds the image's full reference (containerd's import)."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_INDEX_TYPES = {INDEX, "application/vnd.docker.distribution.manifest.list.v2+json"}
_LARGEST_MANIFEST = 4 << 20  # bytes; the distribution specification asks registries to take at least so much


@dataclass(frozen=True)
class Repository:
    """A repository of a registry, both by the names that references use: `docker.io`, `library/redis`."""

    registry: str
    path: str


@dataclass(frozen=True)
class Image:
    """What a tag stands for."""

    digest: str
    media_type: str


@dataclass
class _Content:
    """One archive, read: rebuilt when the file changes."""

    stamp: tuple[int, int, int]
    tags: dict[tuple[Repository, str], Image] = field(default_factory=dict)
    manifests: dict[str, str] = field(default_factory=dict)  # digest -> media type
    blobs: dict[str, FilePart] = field(default_factory=dict)
    repositories: set[Repository] = field(default_factory=set)


def parse_reference(reference: str) -> tuple[Repository, str | None]:
    """Repository and tag of an image reference; without tag `latest`, with a digest alone None.

    As the Docker client reads them: the first part is a registry if it has a dot or a port or is `localhost`, else
    the image is of Docker Hub, where a name without a slash is in `library`.
    """
    name, _, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, path = registry_of(first), rest
    else:
        registry, path = DOCKER_HUB, name
    path, colon, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return Repository(registry, path), tag if colon else (None if digest else "latest")


class Archives:
    """The images of some archives. A changed or new file is seen at the next look-up; a broken one is reported."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Serve the archives at `paths`, the first before the later ones; a path may come into being later."""
        self._paths = list(paths)
        self._read: dict[Path, _Content] = {}
        self._lock = threading.Lock()
        self._problems: dict[Path, str] = {}

    def problems(self) -> list[str]:
        """The archives that cannot be read now, and why."""
        self._contents()
        return [f"{path} {reason}" for path, reason in self._problems.items()]

    def tag(self, repository: Repository, tag: str) -> Image | None:
        """What `tag` of the repository stands for."""
        return next((found for c in self._contents() if (found := c.tags.get((repository, tag)))), None)

    def blob(self, digest: str) -> FilePart | None:
        """Any blob: a layer, a configuration, a manifest."""
        return next((found for c in self._contents() if (found := c.blobs.get(digest))), None)

    def media_type(self, digest: str) -> str | None:
        """The type of a manifest or index; None if the digest is of something else or unknown."""
        return next((found for c in self._contents() if (found := c.manifests.get(digest))), None)

    def tags(self, repository: Repository) -> list[str]:
        """The repository's tags, sorted as the specification asks."""
        return sorted({tag for c in self._contents() for (r, tag) in c.tags if r == repository})

    def repositories(self, registry: str) -> list[str]:
        """The paths of the repositories of a registry, sorted."""
        return sorted({r.path for c in self._contents() for r in c.repositories if r.registry == registry})

    def _contents(self) -> list[_Content]:
        with self._lock:
            return [content for path in self._paths if (content := self._current(path))]

    def _current(self, path: Path) -> _Content | None:
        known = self._read.get(path)
        try:
            facts = path.stat()
            stamp = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if known is None or known.stamp != stamp:
                known = self._read[path] = _read(path, stamp)
            self._problems.pop(path, None)
        except FileNotFoundError:
            self._read.pop(path, None)
            self._problems[path] = "does not exist"
            return None
        except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
            self._problems[path] = f"is not an OCI-layout tar: {error!r}"
            return None
        return known


def _read(path: Path, stamp: tuple[int, int, int]) -> _Content:
    content = _Content(stamp)
    files: dict[str, FilePart] = {}
    with tarfile.open(path, "r:") as tar:
        for member in tar:
            if member.isfile():
                files[member.name.removeprefix("./")] = FilePart(path, member.offset_data, member.size)
    for name, part in files.items():
        folder, _, digest = name.rpartition("/")
        if folder.startswith("blobs/"):
            content.blobs[f"{folder.removeprefix('blobs/')}:{digest}"] = part
    for descriptor in json.loads(files["index.json"].read())["manifests"]:
        for kind, digest in _walk(descriptor, content.blobs):
            content.manifests[digest] = kind
        reference = descriptor.get("annotations", {}).get(NAME_ANNOTATION)
        if reference is None or descriptor["digest"] not in content.blobs:
            continue
        repository, tag = parse_reference(reference)
        content.repositories.add(repository)
        if tag is not None:
            image = Image(descriptor["digest"], content.manifests[descriptor["digest"]])
            content.tags[repository, tag] = image
    return content


def _walk(descriptor: dict[str, Any], blobs: dict[str, FilePart]) -> Iterator[tuple[str, str]]:
    """(media type, digest) of a manifest, and of those below it if it is an index."""
    digest, kind = descriptor["digest"], descriptor.get("mediaType", MANIFEST)
    yield kind, digest
    part = blobs.get(digest)
    if kind in _INDEX_TYPES and part is not None and part.length <= _LARGEST_MANIFEST:
        for below in json.loads(part.read())["manifests"]:
            if below["digest"] in blobs:
                yield from _walk(below, blobs)
