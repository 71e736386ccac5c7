import hashlib
from pathlib import Path

import pytest

from lab.internet.mirror import publish_k3s

from .conftest import Lab

VERSION = "v1.34.2+k3s1"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "built-k3s"
    path.write_bytes(b"\x7fELF k3s")
    return path


def published(root: Path, binary: Path, arch: str = "amd64") -> Path:
    return publish_k3s(root, VERSION, arch, binary, hashlib.sha256(binary.read_bytes()).hexdigest())


@pytest.mark.parametrize("version", ["v1.34.2+k3s1", "v1.34.2%2Bk3s1", "v1.34.2%2bk3s1"])
def test_the_k3s_release_is_at_its_real_path_however_the_plus_is_written(lab: Lab, binary: Path, version: str) -> None:
    published(lab.tree, binary)
    reply = lab.client.ask("github.com", f"/k3s-io/k3s/releases/download/{version}/k3s")
    assert (reply.status, reply.body) == (200, binary.read_bytes())


def test_the_checksum_file_is_what_sha256sum_prints(lab: Lab, binary: Path) -> None:
    published(lab.tree, binary)
    reply = lab.client.ask("github.com", f"/k3s-io/k3s/releases/download/{VERSION}/sha256sum-amd64.txt")
    assert reply.body.decode() == f"{hashlib.sha256(binary.read_bytes()).hexdigest()}  k3s\n"
    assert reply.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(("arch", "name"), [("amd64", "k3s"), ("arm64", "k3s-arm64"), ("arm", "k3s-armhf")])
def test_each_architecture_has_the_name_that_the_release_gives_it(
    tmp_path: Path, binary: Path, arch: str, name: str
) -> None:
    folder = published(tmp_path / "root", binary, arch)
    assert sorted(p.name for p in folder.iterdir()) == sorted([name, f"sha256sum-{arch}.txt"])


def test_a_release_can_be_published_again_and_replaced(tmp_path: Path, binary: Path) -> None:
    published(tmp_path / "root", binary)
    published(tmp_path / "root", binary)
    other = tmp_path / "newer"
    other.write_bytes(b"newer")
    folder = published(tmp_path / "root", other)
    assert (folder / "k3s").read_bytes() == b"newer"
    assert binary.read_bytes() == b"\x7fELF k3s"


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/a/../../secret", "//etc/passwd", "/link"])
def test_nothing_outside_the_folder_can_be_read(lab: Lab, path: str) -> None:
    (lab.tree.parent / "secret").write_text("secret")
    (lab.tree / "link").symlink_to(lab.tree.parent / "secret")
    assert lab.client.ask("github.com", path).status == 404


def test_a_folder_is_not_listed(lab: Lab) -> None:
    (lab.tree / "folder").mkdir()
    assert lab.client.ask("github.com", "/folder").status == 404


def test_a_host_that_only_this_lab_serves_is_answered(lab: Lab) -> None:
    (lab.tree / "file").write_text("here")
    assert lab.client.ask("extra.example", "/file?query").body == b"here"


def test_what_is_nowhere_is_said_to_be_missing_and_its_host_unreachable(lab: Lab) -> None:
    reply = lab.client.ask("github.com", "/k3s-io/k3s/releases/download/v9/k3s")
    assert reply.status == 404
    assert reply.body.decode().startswith(
        "the lab does not have https://github.com/k3s-io/k3s/releases/download/v9/k3s"
        " and github.com cannot be reached from here"
    )
