"""Argo CD's image for one lab: a layer more, and a registry that has the rest from elsewhere."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lab import LabError, oci
from lab.gitops import trust
from lab.gitops.images import ARGOCD_IMAGE
from lab.internet.archives import INDEX, MANIFEST, Archives, parse_reference
from lab.internet.upstream import UnreachableError

AUTHORITY = "-----BEGIN CERTIFICATE-----\n"
REPOSITORY, TAG = parse_reference(ARGOCD_IMAGE)


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """The archive that all labs of the machine share."""
    layers = (oci.Layer((oci.File("usr/local/bin/argocd", b"argocd" * 1000),)),)
    oci.write(tmp_path / "cache.tar", [oci.Image((ARGOCD_IMAGE,), layers, user="999")])
    return tmp_path / "cache.tar"


def served(archives: Archives) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """Manifest, configuration and unpacked layers of Argo CD's image, as a node pulls them."""
    image = archives.tag(REPOSITORY, TAG or "")
    assert image is not None
    assert archives.media_type(image.digest) == MANIFEST

    def blob(digest: str) -> bytes:
        part = archives.blob(digest)
        assert part is not None
        data = part.read()
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        return data

    manifest = json.loads(blob(image.digest))
    layers = [gzip.decompress(blob(layer["digest"])) for layer in manifest["layers"]]
    return manifest, json.loads(blob(manifest["config"]["digest"])), layers


def test_a_node_gets_the_same_image_with_the_labs_authority_on_top(tmp_path: Path, cached: Path) -> None:
    lab = trust.write(tmp_path / "lab.tar", trust.of_archive(cached), AUTHORITY)
    _, plain, below = served(Archives([cached]))
    _, config, layers = served(Archives([lab, cached]))
    assert config["config"] == plain["config"]
    assert layers[:-1] == below
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    with tarfile.open(fileobj=io.BytesIO(layers[-1])) as tar:
        assert tar.getnames() == ["etc/ssl/certs/seedbed-lab.pem"]
        assert tar.extractfile("etc/ssl/certs/seedbed-lab.pem").read() == AUTHORITY.encode()  # type: ignore[union-attr]


def test_the_labs_archive_holds_none_of_the_big_layers(tmp_path: Path, cached: Path) -> None:
    lab = trust.write(tmp_path / "lab.tar", trust.of_archive(cached), AUTHORITY)
    manifest, _, _ = served(Archives([lab, cached]))
    own = Archives([lab])
    assert [own.blob(layer["digest"]) is not None for layer in manifest["layers"]] == [False, True]


def test_nodes_see_a_new_image_only_where_the_authority_is_another(tmp_path: Path, cached: Path) -> None:
    parent = trust.of_archive(cached)
    same = [trust.write(tmp_path / name, parent, AUTHORITY).read_bytes() for name in ("a.tar", "b.tar")]
    assert same[0] == same[1]
    assert trust.write(tmp_path / "c.tar", parent, "another").read_bytes() != same[0]


def test_an_archive_without_the_image_is_named(tmp_path: Path) -> None:
    layers = (oci.Layer((oci.File("x", b""),)),)
    oci.write(tmp_path / "other.tar", [oci.Image(("docker.io/seedbed/other:1",), layers)])
    with pytest.raises(LabError, match=f"other.tar does not hold {ARGOCD_IMAGE}"):
        trust.of_archive(tmp_path / "other.tar")


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Response:
    def __init__(self, status: int, data: bytes) -> None:
        self.status = status
        self.body = io.BytesIO(data)

    def close(self) -> None:
        self.body.close()


class Quay:
    """The real registry: one image, in an index of several architectures, with manifests of Docker's kind."""

    def __init__(self) -> None:
        self.config = json.dumps({"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}).encode()
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(self.config)}
        layer = {"mediaType": oci.DOCKER_LAYER, "digest": "sha256:" + "1" * 64, "size": 1}
        self.manifest = json.dumps({"mediaType": kind, "config": config, "layers": [layer]}).encode()
        entries = [
            {"digest": "sha256:" + "2" * 64, "platform": {"os": "linux", "architecture": "riscv64"}},
            {"digest": digest(self.manifest), "platform": {"os": "linux", "architecture": oci.architecture()}},
        ]
        self.index = json.dumps({"mediaType": INDEX, "manifests": entries}).encode()
        self.damaged = False

    def get(self, host: str, path: str, headers: Mapping[str, str]) -> Response:
        assert host == "quay.io"
        assert INDEX in headers["Accept"]
        known = {
            "/v2/argoproj/argocd/manifests/v3.5.1": self.index,
            f"/v2/argoproj/argocd/manifests/{digest(self.manifest)}": self.manifest,
            f"/v2/argoproj/argocd/blobs/{digest(self.config)}": b"{}" if self.damaged else self.config,
        }
        return Response(200 if path in known else 404, known.get(path, b""))


def test_the_real_registrys_image_gets_the_layer_too_and_keeps_its_kind(tmp_path: Path) -> None:
    quay = Quay()
    parent = trust.download(quay)  # type: ignore[arg-type]
    lab = Archives([trust.write(tmp_path / "lab.tar", parent, AUTHORITY)])
    image = lab.tag(REPOSITORY, TAG or "")
    assert image is not None
    assert image.media_type == json.loads(quay.manifest)["mediaType"]
    manifest = json.loads(lab.blob(image.digest).read())  # type: ignore[union-attr]
    assert [layer["mediaType"] for layer in manifest["layers"]] == [oci.DOCKER_LAYER] * 2
    assert manifest["layers"][0]["digest"] == "sha256:" + "1" * 64


def test_what_the_real_registry_sends_is_checked(tmp_path: Path) -> None:
    quay = Quay()
    quay.damaged = True
    with pytest.raises(LabError, match="sent something else for blobs/"):
        trust.download(quay)  # type: ignore[arg-type]


def test_a_real_registry_without_an_image_for_this_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    quay = Quay()
    monkeypatch.setattr(oci.platform, "machine", lambda: "s390x")
    with pytest.raises(LabError, match=r"there is no quay\.io/argoproj/argocd:v3\.5\.1 for s390x"):
        trust.download(quay)  # type: ignore[arg-type]


def test_a_registry_that_cannot_be_reached_is_named_with_what_to_do() -> None:
    class Nowhere:
        def get(self, *_: object) -> None:
            raise UnreachableError("no route")

    with pytest.raises(LabError, match=r"quay.io cannot be reached: no route. Try again"):
        trust.download(Nowhere())  # type: ignore[arg-type]


def test_an_image_whose_configuration_is_another_is_refused(tmp_path: Path, cached: Path) -> None:
    parent = trust.of_archive(cached)
    with pytest.raises(LabError, match="not the one that its manifest names"):
        trust.write(tmp_path / "lab.tar", oci.Parent(parent.name, parent.manifest, b"{}"), AUTHORITY)
    with pytest.raises(LabError, match="is not an image as registries serve it"):
        trust.write(tmp_path / "lab.tar", oci.Parent(parent.name, b"[]", parent.config), AUTHORITY)
