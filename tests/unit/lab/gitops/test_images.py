"""The images of the seed, made of files that stand for what is built."""

import gzip
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import oci
from lab.apt import Mirrors
from lab.gitops import images, programs, root
from tools.progress import Progress


@dataclass(frozen=True)
class Unpacked:
    """An image as a runtime sees it: its configuration, and every path of its layers."""

    config: dict[str, Any]
    files: dict[str, tarfile.TarInfo]
    layers: list[str]


def unpack(archive: Path) -> dict[str, Unpacked]:
    with tarfile.open(archive) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]

    def blob(descriptor: dict[str, Any]) -> bytes:
        return content[f"blobs/{descriptor['digest'].replace(':', '/')}"]

    found = {}
    for entry in json.loads(content["index.json"])["manifests"]:
        manifest = json.loads(blob(entry))
        files: dict[str, tarfile.TarInfo] = {}
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(layer)))) as tar:
                files |= {member.name: member for member in tar.getmembers()}
        config = json.loads(blob(manifest["config"]))["config"]
        name = entry["annotations"]["io.containerd.image.name"]
        found[name] = Unpacked(config, files, [layer["digest"] for layer in manifest["layers"]])
    return found


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    for name in images.SCRIPTS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n# {name}\n")
    return folder


@pytest.fixture
def built(tmp_path: Path) -> dict[str, Path]:
    """Programs that are their own names, and a root with one file in it."""
    found = {}
    for name in ("kustomize", "controller", "argocd", "helm", "dex"):
        found[name] = tmp_path / "bin" / name
        found[name].parent.mkdir(exist_ok=True)
        found[name].write_text(name)
    found["root"] = tmp_path / "root.tar"
    with tarfile.open(found["root"], "w") as tar:
        tar.addfile(tarfile.TarInfo("usr/bin/tini"), io.BytesIO())
    return found


@pytest.fixture
def unpacked(tmp_path: Path, built: dict[str, Path], scripts: Path) -> dict[str, Unpacked]:
    oci.write(tmp_path / "seed.tar", images.images(built, scripts))
    return unpack(tmp_path / "seed.tar")


def test_no_layer_replaces_a_link_of_the_root_by_a_folder(unpacked: dict[str, Unpacked]) -> None:
    """On Debian /bin, /lib and /sbin are links into /usr: a file below them in a later layer would break them."""
    for image in unpacked.values():
        assert not {name for name in image.files if name.partition("/")[0] in {"bin", "lib", "lib64", "sbin"}}


def test_every_user_is_a_number_that_is_not_root(unpacked: dict[str, Unpacked]) -> None:
    """The manifests say runAsNonRoot, mostly without a user: kubelet cannot tell whether a name is root's."""
    assert all(int(image.config["User"].partition(":")[0]) > 0 for image in unpacked.values())


def test_argo_cd_has_its_programs_under_all_their_names(unpacked: dict[str, Unpacked]) -> None:
    files = unpacked[images.ARGOCD_IMAGE].files
    for name in ("argocd", "helm", "kustomize", "gpg-wrapper.sh", "git-verify-wrapper.sh"):
        assert files[f"usr/local/bin/{name}"].mode & 0o111, name
    for name in ("server", "repo-server", "application-controller", "applicationset-controller", "notifications"):
        assert files[f"usr/local/bin/argocd-{name}"].linkname == "/usr/local/bin/argocd"


def test_argo_cd_may_write_where_its_manifests_leave_it_to_the_image(unpacked: dict[str, Unpacked]) -> None:
    files = unpacked[images.ARGOCD_IMAGE].files
    assert (files["home/argocd"].uid, files["home/argocd"].mode) == (999, 0o775)
    assert (files["app/config/gpg/keys"].uid, files["app/config/gpg/keys"].mode) == (999, 0o700)
    assert files["etc/ssh/ssh_known_hosts"].linkname == "/app/config/ssh/ssh_known_hosts"


def test_each_entrypoint_is_what_the_manifests_take_for_granted(unpacked: dict[str, Unpacked]) -> None:
    assert unpacked[images.ARGOCD_IMAGE].config["Entrypoint"] == ["/usr/bin/tini", "--"]
    assert unpacked[images.REDIS_IMAGE].config["Entrypoint"] == ["redis-server"]
    assert unpacked[images.SEALED_SECRETS_IMAGE].config["Entrypoint"] == ["controller"]
    assert unpacked[images.DEX_IMAGE].files["usr/local/bin/dex"].mode & 0o111


def test_argo_cd_and_redis_share_the_root_so_that_a_node_pulls_it_once(unpacked: dict[str, Unpacked]) -> None:
    assert unpacked[images.ARGOCD_IMAGE].layers[0] == unpacked[images.REDIS_IMAGE].layers[0]


def test_every_image_says_that_it_stands_in(unpacked: dict[str, Unpacked]) -> None:
    assert {image.config["Labels"]["org.opencontainers.image.description"] for image in unpacked.values()} == {
        "stand-in for the image of that name"
    }


def test_images_are_made_anew_for_another_program_and_only_then(
    tmp_path: Path, built: dict[str, Path], scripts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    quiet = Progress(stream=io.StringIO())
    commands = {"sealed_secrets_controller": "controller", **{name: name for name in ("argocd", "helm", "kustomize")}}
    for function, name in commands.items():
        monkeypatch.setattr(programs, function, lambda _, name=name: built[name])
    monkeypatch.setattr(programs, "argocd_module", lambda _: scripts)
    monkeypatch.setattr(images.gobuild, "build", lambda *_, **__: built["dex"])
    monkeypatch.setattr(root, "ensure", lambda _: built["root"])
    first = images.ensure(quiet)
    monkeypatch.setattr(programs, "argocd_module", lambda _: pytest.fail("made twice"))
    assert images.ensure(quiet) == first
    monkeypatch.setattr(programs, "argocd_module", lambda _: scripts)
    built["helm"] = built["helm"].rename(tmp_path / "helm-of-other-sources")
    assert images.ensure(quiet) != first


@pytest.fixture
def debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A mirror, and an mmdebstrap that only writes its tar; gives its command lines."""
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(root.apt, "mirrors", lambda: Mirrors("https://mirror.example/debian", None))
    monkeypatch.setattr(root.apt, "settings", lambda: 'Acquire::Retries "3";\n')
    monkeypatch.setattr(root, "ensure_packages", lambda names, progress: None)
    commands: list[list[str]] = []

    def run(argv: list[str], what: str, timeout: float) -> str:
        commands.append(argv)
        sources = Path(argv[-1])
        assert "https://mirror.example/debian" in sources.read_text()
        assert f"--aptopt={sources.with_name('apt.conf')}" in argv
        Path(argv[-2]).write_bytes(b"tar")
        return ""

    monkeypatch.setattr(root, "run", run)
    return commands


def test_the_root_is_made_once_of_this_machines_mirror(debian: list[list[str]]) -> None:
    quiet = Progress(stream=io.StringIO())
    assert root.ensure(quiet) == root.ensure(quiet)
    assert root.ensure(quiet).read_bytes() == b"tar"
    assert len(debian) == 1


def test_the_finished_root_knows_argo_cds_user_and_has_lost_perls_modules(tmp_path: Path) -> None:
    for path in ("etc/passwd", "etc/group", "usr/share/perl/5/strict.pm", "usr/lib/x/perl/a", "usr/lib/x/perl-base/b"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("root:x:0:\n")
    (tmp_path / "var/lib/dpkg/info").mkdir(parents=True)
    [hook] = [a.partition("=")[2] for a in root.command(tmp_path) if a.startswith("--customize-hook=")]
    subprocess.run(["sh", "-c", hook, "sh", tmp_path], check=True, timeout=10)
    assert (tmp_path / "etc/passwd").read_text().endswith("argocd:x:999:999::/home/argocd:/bin/sh\n")
    assert not (tmp_path / "usr/share/perl").exists()
    assert not (tmp_path / "usr/lib/x/perl").exists()
    assert (tmp_path / "usr/lib/x/perl-base/b").exists()
