import dataclasses
import gzip
import hashlib
import io
import json
from ipaddress import IPv4Network
from types import SimpleNamespace

import pytest

from lab import LabError, oci, stack_lab, upstream_files
from lab.artifacts import Artifacts
from lab.gitops import trust
from lab.gitops.images import ARGOCD_IMAGE
from lab.internet.archives import Archives, parse_reference
from lab.stack_lab import StackLab, publish_release, start_internet
from stacks.settings import parse
from tools.progress import Progress

CONFIG = {
    "cluster": {"init": "server-a-1"},
    "network": {"machines": "10.77.0.0/24"},
    "k3s": {"version": "v1.34.2+k3s1"},
    "machines": {
        "server-a": {"role": "server", "address": "10.77.0.11"},
        "agent-a": {"role": "agent", "address": "10.77.0.21", "generation": 3},
    },
}


CLOUD = SimpleNamespace(dns=SimpleNamespace(zone="example.org"))


@pytest.fixture
def lab(tmp_path):
    return StackLab("dev", tmp_path, parse(CONFIG, "Pulumi.dev.yaml", tmp_path))


@pytest.fixture
def artifacts(tmp_path):
    k3s = tmp_path / "cache" / "k3s"
    k3s.parent.mkdir()
    k3s.write_bytes(b"a k3s")
    layers = (oci.Layer((oci.File("argocd", b"shared by all labs"),)),)
    oci.write(tmp_path / "seed.tar", [oci.Image((ARGOCD_IMAGE,), layers)])
    parent = trust.of_archive(tmp_path / "seed.tar")
    digest = hashlib.sha256(b"a k3s").hexdigest()
    return Artifacts(k3s, "v1.34.2+k3s1", digest, False, [tmp_path / "seed.tar"], parent, None)


def test_a_name_that_links_cannot_have_is_refused(lab):
    with pytest.raises(LabError, match="cannot live on the lab"):
        dataclasses.replace(lab, name="development")


def test_the_release_stands_where_its_download_page_has_it_with_its_checksum(lab, artifacts, monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("Uname", (), {"machine": "x86_64"}))
    release = publish_release(lab, artifacts) / "k3s-io/k3s/releases/download/v1.34.2+k3s1"
    assert (release / "k3s").read_bytes() == b"a k3s"
    assert (release / "sha256sum-amd64.txt").read_text() == f"{artifacts.k3s_sha256}  k3s\n"
    assert (lab.directory / "k3s.sha256").read_text() == f"{artifacts.k3s_sha256}\n"


def test_on_arm_the_release_has_arms_names(lab, artifacts, monkeypatch):
    monkeypatch.setattr("os.uname", lambda: type("Uname", (), {"machine": "aarch64"}))
    release = publish_release(lab, artifacts) / "k3s-io/k3s/releases/download/v1.34.2+k3s1"
    assert sorted(path.name for path in release.iterdir()) == ["k3s-arm64", "sha256sum-arm64.txt"]


def test_a_newer_build_takes_the_place_of_the_older(lab, artifacts, tmp_path):
    publish_release(lab, artifacts)
    newer = tmp_path / "newer"
    newer.write_bytes(b"newer")
    publish_release(lab, dataclasses.replace(artifacts, k3s=newer, k3s_sha256="0" * 64))
    assert artifacts.k3s.read_bytes() == b"a k3s"
    assert next(lab.directory.rglob("v1.34.2+k3s1/k3s*")).read_bytes() == b"newer"
    assert (lab.directory / "k3s.sha256").read_text() == "0" * 64 + "\n"


def test_each_machine_is_a_host_with_its_generations_key(lab):
    class OneKey:
        def host_key(self, name):
            return type("HostKey", (), {"private": f"key of {name}"})

    hosts = lab.hosts(OneKey())
    assert [(host.name, host.address, host.host_key_private) for host in hosts] == [
        ("agent-a-3", "10.77.0.21", "key of agent-a-3"),
        ("server-a-1", "10.77.0.11", "key of server-a-1"),
    ]


def test_a_cloud_makes_the_hosts_itself_and_the_lab_has_a_network_of_its_own(lab):
    settings = dataclasses.replace(lab.settings, digitalocean=CLOUD)
    lab = dataclasses.replace(lab, settings=settings, own_subnet=IPv4Network("10.77.7.0/24"))
    assert lab.hosts(None) == []
    assert lab.services_address == "10.77.7.2"


def test_the_cloud_starts_with_its_storage_and_has_the_zone_that_the_stack_needs(lab, monkeypatch):
    calls = []
    for name in ("start_spaces", "start_api", "ensure_zone"):
        monkeypatch.setattr(stack_lab.cloud_lab, name, lambda *args, name=name: calls.append((name, args[1])))
    lab = dataclasses.replace(lab, settings=dataclasses.replace(lab.settings, digitalocean=CLOUD))
    stack_lab.start_cloud(lab, "versitygw", Progress(stream=io.StringIO()))
    assert calls == [("start_spaces", lab.directory), ("start_api", lab.directory), ("ensure_zone", "example.org")]


def test_a_stack_of_existing_machines_gets_no_cloud(lab):
    stack_lab.start_cloud(lab, "versitygw", Progress(stream=io.StringIO()))
    assert list(lab.directory.iterdir()) == []


@pytest.fixture
def started(monkeypatch):
    """What the small internet is started with: the folder of each host, and the archives of images."""

    def publish(made, serve):
        assert made.name == "made"
        return {host: serve / host for host in ("github.com", "raw.example")}

    calls = []
    monkeypatch.setattr(stack_lab.service, "start", lambda *arguments, **_: calls.append((arguments[3], arguments[4])))
    monkeypatch.setattr(upstream_files, "publish", publish)
    return calls


def test_the_labs_registry_has_argo_cd_as_it_trusts_the_labs_authority(lab, artifacts, started):
    start_internet(lab, artifacts, Progress(stream=io.StringIO()))
    [[_, archives]] = started
    registry = Archives(archives)
    manifest = json.loads(registry.blob(registry.tag(*parse_reference(ARGOCD_IMAGE)).digest).read())
    layers = [gzip.decompress(registry.blob(layer["digest"]).read()) for layer in manifest["layers"]]
    assert b"shared by all labs" in layers[0]
    assert (lab.directory / "ca.crt").read_bytes() in layers[-1]


def test_upstreams_manifests_are_served_where_they_were_made_and_else_left_to_their_hosts(
    lab, artifacts, started, tmp_path
):
    start_internet(lab, dataclasses.replace(artifacts, files=tmp_path / "made"), Progress(stream=io.StringIO()))
    start_internet(lab, artifacts, Progress(stream=io.StringIO()))
    [[doubles, _], [genuine, _]] = started
    assert doubles == {host: lab.directory / "serve" / host for host in ("github.com", "raw.example")}
    assert genuine == {"github.com": lab.directory / "serve" / "github.com"}


def test_hosts_of_machines_that_the_stack_has_no_more_are_taken_away_and_no_others(lab, monkeypatch):
    removed = []
    hosts = ["agent-a-2", "agent-a-3", "agent-b-1", "server-a-1"]
    there = SimpleNamespace(host_names=lambda: hosts, remove_host=removed.append)
    monkeypatch.setattr(stack_lab.Lab, "open", lambda _: there)
    stack_lab.remove_others(lab, Progress())
    assert removed == ["agent-a-2", "agent-b-1"]


def test_the_hosts_of_a_cloud_are_the_clouds_to_take_away(lab, monkeypatch):
    monkeypatch.setattr(stack_lab.Lab, "open", lambda _: pytest.fail("the lab was looked at"))
    cloud = dataclasses.replace(lab, settings=dataclasses.replace(lab.settings, digitalocean=CLOUD))
    stack_lab.remove_others(cloud, Progress())
