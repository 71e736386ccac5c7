"""The official release of the Pulumi CLI."""

import platform
import shutil
import tarfile
from pathlib import Path

from tools import cache
from tools.download import DownloadError, WrongDigestError, fetch, fetch_text
from tools.progress import Progress
from tools.versions import RELEASE

# The digests come from another host than the archive. (The names: github.com/pulumi/pulumi/releases)
CHECKSUMS = f"https://github.com/pulumi/pulumi/releases/download/v{RELEASE}/pulumi-{RELEASE}-checksums.txt"
ARCHIVES = "https://get.pulumi.com/releases/sdk/"

MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


def folder(progress: Progress) -> Path:
    """The folder with the files of the release: the CLI, its language hosts, their helpers.

    Downloaded once into the cache.

    Raises:
        WrongDigestError: the archive is not the one whose digest was published.
        DownloadError: it cannot be had from here.
    """
    system = f"{platform.system().lower()}-{MACHINES.get(platform.machine(), platform.machine())}"
    archive = f"pulumi-v{RELEASE}-{system}.tar.gz"

    def download(target: Path) -> None:
        digest = published_digest(fetch_text(CHECKSUMS), archive)
        with progress.phase(f"download of the Pulumi CLI {RELEASE}"):
            packed = fetch(ARCHIVES + archive, digest, target / archive)
            unpack(packed, target)
            packed.unlink()

    return cache.entry("pulumi-release", f"{RELEASE}-{system}", download)


def published_digest(checksums: str, archive: str) -> str:
    """The digest of `archive` in a file of lines `<sha256>  <name>`."""
    for line in checksums.splitlines():
        digest, _, name = line.strip().partition(" ")
        if name.strip(" *") == archive:
            return digest
    raise DownloadError(f"{CHECKSUMS} names no {archive}: there is no release for this kind of machine")


def unpack(archive: Path, target: Path) -> None:
    """Put the executables of the archive's one folder `pulumi/` into `target`."""
    with tarfile.open(archive) as packed:
        for member in packed:
            path = Path(member.name)
            content = packed.extractfile(member) if member.isfile() else None
            if content is None or len(path.parts) != 2 or path.parts[0] != "pulumi":
                continue
            file = target / path.name
            with content, file.open("wb") as out:
                shutil.copyfileobj(content, out)
            file.chmod(0o755)
    if not (target / "pulumi").is_file():
        raise WrongDigestError(f"{archive.name} holds no pulumi/pulumi")
