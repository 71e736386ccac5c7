import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tools import release
from tools.download import DownloadError, UnreachableError, WrongDigestError
from tools.progress import Progress


def archive(names: dict[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return packed.getvalue()


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is published: the archive's bytes under "archive", the checksum file's text under "checksums"."""
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(release.platform, "system", lambda: "Linux")
    monkeypatch.setattr(release.platform, "machine", lambda: "x86_64")
    served: dict[str, bytes] = {
        "archive": archive({"pulumi/pulumi": "cli", "pulumi/pulumi-language-python": "host", "../x": "evil"})
    }
    name = f"pulumi-v{release.RELEASE}-linux-x64.tar.gz"
    served["checksums"] = f"{hashlib.sha256(served['archive']).hexdigest()}  {name}\n".encode()

    def fetch(url: str, sha256: str, dest: Path) -> Path:
        assert url == f"https://get.pulumi.com/releases/sdk/{name}"
        if hashlib.sha256(served["archive"]).hexdigest() != sha256:
            raise WrongDigestError(url)
        dest.write_bytes(served["archive"])
        return dest

    monkeypatch.setattr(release, "fetch", fetch)
    monkeypatch.setattr(release, "fetch_text", lambda _: served["checksums"].decode())
    return served


def test_the_release_is_unpacked_without_its_folder_and_nothing_else(published):
    folder = release.folder(Progress())

    assert {file.name: file.read_text() for file in folder.iterdir()} == {
        "pulumi": "cli",
        "pulumi-language-python": "host",
    }
    assert (folder / "pulumi").stat().st_mode & 0o111
    assert release.folder(Progress()) == folder


def test_a_release_with_another_digest_than_published_is_not_kept(published):
    published["archive"] += b"x"

    with pytest.raises(WrongDigestError):
        release.folder(Progress())
    with pytest.raises(WrongDigestError):
        release.folder(Progress())


def test_a_machine_that_no_release_is_made_for_is_told_so(published, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(release.platform, "machine", lambda: "riscv64")

    with pytest.raises(DownloadError, match=r"names no pulumi-v.*-linux-riscv64\.tar\.gz"):
        release.folder(Progress())


def test_a_host_that_cannot_be_reached_is_told_apart(published, monkeypatch: pytest.MonkeyPatch):
    def unreachable(url: str) -> str:
        raise UnreachableError(url)

    monkeypatch.setattr(release, "fetch_text", unreachable)

    with pytest.raises(UnreachableError, match=r"github\.com"):
        release.folder(Progress())
