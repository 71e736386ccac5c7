"""Which k3s the lab gives its hosts, without a download and without a build."""

import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from components.versions import K3S_RELEASES
from lab import LabError, artifacts, oci, payload, upstream_files
from lab.gitops import images, trust
from tools.download import DownloadError, UnreachableError, WrongDigestError
from tools.progress import Progress

REPOSITORY = Path(__file__).parents[3]

PULLED = oci.Parent(images.ARGOCD_IMAGE, b"of the registry", b"")


@pytest.fixture(autouse=True)
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache of the test's own, a registry, and builds of names instead of programs; gives what was built."""
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    names: list[str] = []

    def build(module_dir: Path, package: str, name: str, ldflags: str = "", tags: str = "", **_: object) -> Path:
        assert (module_dir / "go.mod").is_file()
        names.append(name)
        binary = tmp_path / "built" / name
        binary.parent.mkdir(exist_ok=True)
        binary.write_text(f"{name} {ldflags}")
        return binary

    def seed(_: Progress) -> Path:
        names.append("seed")
        layers = (oci.Layer((oci.File("seed", b"built"),)),)
        oci.write(tmp_path / "seed.tar", [oci.Image((images.ARGOCD_IMAGE,), layers)])
        return tmp_path / "seed.tar"

    def payload_images(_: Progress) -> list[Path]:
        names.append("payload")
        oci.write(tmp_path / "payload.tar", [oci.Image((payload.NGINX_IMAGE,), ())])
        return [tmp_path / "payload.tar"]

    monkeypatch.setattr(artifacts.gobuild, "build", build)
    monkeypatch.setattr(payload, "ensure", payload_images)
    monkeypatch.setattr(upstream_files, "ensure", lambda _: tmp_path / "files")
    monkeypatch.setattr(images, "ensure", seed)
    monkeypatch.setattr(trust, "of_registry", lambda _: PULLED)
    return names


def downloads(monkeypatch: pytest.MonkeyPatch, outcome: Exception | bytes) -> list[str]:
    """Let the download give `outcome`; gives the URLs that were asked for."""
    urls: list[str] = []

    def fetch(url: str, sha256: str, dest: Path, connect_timeout: float = 0) -> Path:
        assert 0 < connect_timeout <= 5
        urls.append(url)
        if isinstance(outcome, Exception):
            raise outcome
        dest.write_bytes(outcome)
        return dest

    monkeypatch.setattr(artifacts, "fetch", fetch)
    return urls


def names_in(archive: Path) -> set[str]:
    with tarfile.open(archive) as tar:
        index = json.load(tar.extractfile("index.json"))  # type: ignore[arg-type]
    return {descriptor["annotations"]["io.containerd.image.name"] for descriptor in index["manifests"]}


def quiet() -> Progress:
    return Progress(stream=Path(os.devnull).open("w"))


def test_the_release_is_taken_where_it_can_be_downloaded(monkeypatch: pytest.MonkeyPatch, built: list[str]) -> None:
    urls = downloads(monkeypatch, b"k3s")
    found = artifacts.ensure(quiet())
    assert found.genuine
    assert found.k3s.read_bytes() == b"k3s"
    assert found.k3s.stat().st_mode & 0o111
    assert found.k3s_sha256 in K3S_RELEASES[found.k3s_version].values()
    assert [name for archive in found.archives for name in names_in(archive)] == [artifacts.PROBE_IMAGE]
    assert built == ["probe"]
    assert found.argocd == PULLED
    assert found.files is None
    assert "/v1.34.2%2Bk3s1/k3s" in urls[0]


def test_the_release_is_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = downloads(monkeypatch, b"k3s")
    assert artifacts.ensure(quiet()) == artifacts.ensure(quiet())
    assert len(urls) == 1


@pytest.mark.parametrize("failure", [UnreachableError("no route"), DownloadError("403 Forbidden")])
def test_without_the_release_the_stand_in_is_built_with_the_images_that_pods_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    downloads(monkeypatch, failure)
    found = artifacts.ensure(quiet())
    assert not found.genuine
    assert found.k3s_sha256 == hashlib.sha256(found.k3s.read_bytes()).hexdigest()
    assert {name for archive in found.archives for name in names_in(archive)} == {
        artifacts.PAUSE_IMAGE,
        artifacts.COREDNS_IMAGE,
        artifacts.PROBE_IMAGE,
        images.ARGOCD_IMAGE,
        payload.NGINX_IMAGE,
    }
    assert found.files == tmp_path / "files"
    assert found.argocd == trust.of_archive(tmp_path / "seed.tar")


def test_a_release_with_another_digest_is_not_made_up_for_by_the_stand_in(
    monkeypatch: pytest.MonkeyPatch, built: list[str]
) -> None:
    downloads(monkeypatch, WrongDigestError("its sha256 is another"))
    with pytest.raises(WrongDigestError):
        artifacts.ensure(quiet())
    assert built == []


def test_the_stand_in_reports_the_version_that_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    downloads(monkeypatch, UnreachableError("no route"))
    flags = artifacts.ensure(quiet()).k3s.read_text()
    assert f"-X main.version={artifacts.K3S_VERSION}" in flags
    assert f"-X k8s.io/component-base/version.gitVersion={artifacts.K3S_VERSION}" in flags
    assert "-X k8s.io/client-go/pkg/version.gitMinor=34" in flags


def test_an_architecture_without_a_pinned_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts.oci.platform, "machine", lambda: "riscv64")
    with pytest.raises(LabError, match=r"no k3s .* for riscv64"):
        artifacts.ensure(quiet())


def source(path: str) -> str:
    return (REPOSITORY / path).read_text()


def test_versions_and_image_names_are_the_same_in_python_and_go() -> None:
    kubernetes = artifacts.K3S_VERSION.removeprefix("v").partition("+")[0]
    assert artifacts.K3S_VERSION in K3S_RELEASES
    assert f"k8s.io/kubernetes v{kubernetes}\n" in source("lab/k3s/go.mod")
    assert f"github.com/coredns/coredns v{artifacts.COREDNS_VERSION}\n" in source("lab/coredns/go.mod")
    assert f'"{artifacts.PAUSE_IMAGE}"' in source("lab/k3s/internal/settings/settings.go")
    assert f'"{artifacts.COREDNS_IMAGE}"' in source("lab/k3s/internal/addons/addons.go")
