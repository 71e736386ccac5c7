"""Images made by hand: what engines and registries expect of them, byte for byte the same each time."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from lab import LabError, oci
from lab.internet.archives import Archives

NAME = "docker.io/seedbed/test:1"


def image(*entries: oci.File | oci.Directory | oci.Symlink, names: tuple[str, ...] = (NAME,)) -> oci.Image:
    return oci.Image(names=names, layers=(oci.Layer(entries or (oci.File("hello", b"hello\n"),)),))


def read(path: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """The descriptors of the index, and every blob by its digest."""
    with tarfile.open(path) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    assert json.loads(content["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    blobs = {f"sha256:{name.rpartition('/')[2]}": data for name, data in content.items() if name.startswith("blobs/")}
    return json.loads(content["index.json"])["manifests"], blobs


def test_every_blob_has_the_digest_and_size_that_its_descriptor_names(tmp_path: Path) -> None:
    oci.write(tmp_path / "a.tar", [image()])
    [descriptor], blobs = read(tmp_path / "a.tar")
    for digest, data in blobs.items():
        assert digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    manifest = json.loads(blobs[descriptor["digest"]])
    config = json.loads(blobs[manifest["config"]["digest"]])
    [layer] = manifest["layers"]
    packed = blobs[layer["digest"]]
    assert layer["size"] == len(packed)
    assert descriptor["size"] == len(blobs[descriptor["digest"]])
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"]
    assert config["architecture"] == descriptor["platform"]["architecture"] == oci.architecture()


def test_layers_are_gzip_because_docker_20_cannot_pull_zstd(tmp_path: Path) -> None:
    oci.write(tmp_path / "a.tar", [image()])
    [descriptor], blobs = read(tmp_path / "a.tar")
    [layer] = json.loads(blobs[descriptor["digest"]])["layers"]
    assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert blobs[layer["digest"]][:2] == b"\x1f\x8b"


def test_the_same_input_gives_the_same_bytes_at_another_time_and_place(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        source = tmp_path / folder / "file"
        source.parent.mkdir()
        source.write_bytes(b"x" * 100_000)
        oci.write(tmp_path / folder / "a.tar", [image(oci.File("bin/x", source, 0o755))])
    assert (tmp_path / "one/a.tar").read_bytes() == (tmp_path / "two/a.tar").read_bytes()


def test_entries_keep_their_mode_owner_and_target(tmp_path: Path) -> None:
    entries = (
        oci.Directory("tmp", 0o1777),
        oci.File("etc/passwd", b"root\n", 0o640, uid=1, gid=2),
        oci.Symlink("sh", "/bin/busybox"),
    )
    oci.write(tmp_path / "a.tar", [image(*entries)])
    [descriptor], blobs = read(tmp_path / "a.tar")
    [layer] = json.loads(blobs[descriptor["digest"]])["layers"]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blobs[layer["digest"]]))) as tar:
        assert (tar.getmember("tmp").mode, tar.getmember("tmp").isdir()) == (0o1777, True)
        passwd = tar.getmember("etc/passwd")
        assert (passwd.mode, passwd.uid, passwd.gid, passwd.mtime) == (0o640, 1, 2, oci.EPOCH)
        assert tar.getmember("sh").linkname == "/bin/busybox"


def test_the_configuration_says_how_the_image_runs(tmp_path: Path) -> None:
    layers = (oci.Layer((oci.File("x", b""),)),)
    oci.write(
        tmp_path / "a.tar",
        [oci.Image((NAME,), layers, entrypoint=("/x",), command=("run",), user="999", ports=("80/tcp",))],
    )
    [descriptor], blobs = read(tmp_path / "a.tar")
    config = json.loads(blobs[json.loads(blobs[descriptor["digest"]])["config"]["digest"]])["config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (["/x"], ["run"], "999")
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert "Labels" not in config


def test_several_names_of_an_image_are_one_digest(tmp_path: Path) -> None:
    names = ("docker.io/library/redis:7", "public.ecr.aws/docker/library/redis:7-alpine")
    oci.write(tmp_path / "a.tar", [image(names=names)])
    descriptors, _ = read(tmp_path / "a.tar")
    assert [d["annotations"]["io.containerd.image.name"] for d in descriptors] == list(names)
    assert len({d["digest"] for d in descriptors}) == 1


def test_a_layer_that_images_share_is_stored_once(tmp_path: Path) -> None:
    base = oci.Layer((oci.File("base", b"b" * 1000),))
    images = [
        oci.Image((f"docker.io/seedbed/{name}:1",), (base, oci.Layer((oci.File(name, b"x"),)))) for name in ("a", "b")
    ]
    oci.write(tmp_path / "a.tar", images)
    _, blobs = read(tmp_path / "a.tar")
    assert len(blobs) == 3 + 2 + 2  # layers, configurations, manifests


def test_a_plain_tar_serves_as_a_layer(tmp_path: Path) -> None:
    base = tmp_path / "base.tar"
    with tarfile.open(base, "w") as tar:
        tar.addfile(tarfile.TarInfo("from-debootstrap"), io.BytesIO())
    oci.write(tmp_path / "a.tar", [oci.Image((NAME,), (base,))])
    [descriptor], blobs = read(tmp_path / "a.tar")
    [layer] = json.loads(blobs[descriptor["digest"]])["layers"]
    assert gzip.decompress(blobs[layer["digest"]]) == base.read_bytes()


def test_the_labs_registry_finds_the_image_by_its_name(tmp_path: Path) -> None:
    oci.write(tmp_path / "a.tar", [image()])
    archives = Archives([tmp_path / "a.tar"])
    [descriptor], _ = read(tmp_path / "a.tar")
    [repository] = archives.repositories("docker.io")
    assert repository.endswith("seedbed/test")
    assert archives.blob(descriptor["digest"]) is not None


@pytest.mark.parametrize("name", ["probe:1", "docker.io/seedbed/probe", "docker.io/Seedbed/probe:1", "docker.io/x:"])
def test_a_name_without_registry_and_tag_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="needs registry, path and tag"):
        image(names=(name,))


@pytest.mark.parametrize("path", ["/etc/passwd", "../escape", "a/../../b", ""])
def test_a_path_outside_the_image_is_refused(path: str) -> None:
    with pytest.raises(LabError, match="inside the image"):
        oci.Layer((oci.File(path, b""),))


def test_the_same_path_or_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="bin/x is in it twice"):
        oci.Layer((oci.File("bin/x", b""), oci.Symlink("bin//x", "y")))
    with pytest.raises(LabError, match=f"{NAME} is given twice"):
        oci.write(tmp_path / "a.tar", [image(), image(oci.File("other", b""))])


def test_a_missing_file_is_named_and_leaves_no_half_archive(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(LabError, match=str(missing)):
        oci.write(tmp_path / "out" / "a.tar", [image(oci.File("x", missing))])
    assert list((tmp_path / "out").iterdir()) == []
