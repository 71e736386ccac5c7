"""Files of upstream hosts, from folders on this machine."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from lab.internet.content import Answer, FilePart, text

_K3S_SUFFIX = {"amd64": "", "arm64": "-arm64", "arm": "-armhf"}
"""k3s names the executable of each architecture so (its install.sh, `setup_verify_arch`)."""


class Mirror:
    """Looks paths up in one folder a host."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Serve each host's folder; a folder may be empty or come later."""
        self._folders = {host: folder.resolve() for host, folder in folders.items()}

    def find(self, host: str, path: str) -> Answer | None:
        """The file at URL `path` (percent-encoded) of `host`; None when the lab does not have it."""
        folder = self._folders.get(host)
        if folder is None:
            return None
        relative = unquote(path).lstrip("/")
        if "\0" in relative:
            return text(400, "a path with a zero byte\n")
        file = (folder / relative).resolve()
        if not file.is_relative_to(folder) or not file.is_file():
            return None
        facts = file.stat()
        etag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        part = FilePart(file, 0, facts.st_size)
        return Answer(200, part, {"Content-Type": content_type(file), "ETag": etag})


def content_type(file: Path) -> str:
    """What a release host says that such a file is."""
    return "text/plain; charset=utf-8" if file.suffix in {".txt", ".sh", ".yaml"} else "application/octet-stream"


def publish_k3s(root: Path, version: str, arch: str, binary: Path, sha256: str) -> Path:
    """Lay out one k3s release under `root` (the folder of `github.com`) as upstream does; gives its folder.

    `sha256sum-<arch>.txt` has lines of `sha256sum`, "digest, two spaces, name", of which k3s's install.sh takes the
    one that ends in " k3s" plus the architecture's suffix (https://get.k3s.io, `download_hash`).
    """
    name = f"k3s{_K3S_SUFFIX[arch]}"
    folder = root / "k3s-io" / "k3s" / "releases" / "download" / version
    publish(folder / name, binary)
    sums = folder / f".sums.{os.getpid()}"
    sums.write_text(f"{sha256}  {name}\n")
    sums.replace(folder / f"sha256sum-{arch}.txt")
    return folder


def publish(place: Path, file: Path) -> None:
    """Put `file` at `place`, with the folders above it: whoever reads meanwhile gets the old one or the new one."""
    place.parent.mkdir(parents=True, exist_ok=True)
    new = place.parent / f".{place.name}.{os.getpid()}"
    new.unlink(missing_ok=True)
    try:
        new.hardlink_to(file.resolve())
    except OSError:  # another file system
        shutil.copyfile(file, new)
    new.replace(place)
    new.unlink(missing_ok=True)  # still there if both were one file already
