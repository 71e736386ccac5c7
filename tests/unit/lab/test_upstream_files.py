import hashlib
import re

import pytest

from lab import upstream_files
from lab.internet import mirror
from tests.unit.k8s.tree import K8S, digests, kustomization
from tools import ToolError
from tools.progress import Progress

INSTALL, CONTROLLER = upstream_files.INSTALL, upstream_files.CONTROLLER


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """The modules' folders with a text of its own in each file that is taken; the digest file pins what comes of it."""
    texts = {"manifests/install.yaml": "argo", "controller.jsonnet": "{}"}
    texts |= {f"manifests/base/{name}.yaml": name for name in ("apiservice", "deployment", "rbac", "service")}
    for name, text in texts.items():
        path = tmp_path / "module" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o444)
    kubecfg = tmp_path / "kubecfg"
    kubecfg.write_text('#!/bin/sh\necho "$*"\n')
    kubecfg.chmod(0o755)
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(upstream_files.gobuild, "build", lambda *_args, **_options: kubecfg)
    monkeypatch.setattr(upstream_files.gobuild, "module_folder", lambda *_args, **_options: tmp_path / "module")
    pins = tmp_path / "upstream.sha256"
    monkeypatch.setattr(upstream_files, "_DIGESTS", pins)
    pins.write_text(f"{hashlib.sha256(b'argo').hexdigest()}  {INSTALL}\n")
    return tmp_path


def quiet(folder):
    return Progress(stream=(folder / "progress").open("w"))


def test_the_lab_has_every_file_that_the_tree_names_and_no_other():
    named = {
        resource
        for path in K8S.rglob("kustomization.yaml")
        for resource in kustomization(path.parent).get("resources", [])
        if "://" in resource
    }
    assert named == set(upstream_files.URLS)


def test_each_file_is_served_at_its_path_below_its_host(modules):
    hosts = upstream_files.publish(upstream_files.ensure(quiet(modules)), modules / "serve")
    assert hosts == {host: modules / "serve" / host for host in ("github.com", "raw.githubusercontent.com")}
    found = mirror.Mirror(hosts).find("raw.githubusercontent.com", "/argoproj/argo-cd/v3.5.1/manifests/install.yaml")
    assert found.body.path.read_text() == "argo"
    assert all((modules / "serve" / url.removeprefix("https://")).is_file() for url in upstream_files.URLS)


def test_what_else_the_host_serves_stays(modules):
    other = modules / "serve" / "github.com" / "k3s"
    other.parent.mkdir(parents=True)
    other.touch()
    upstream_files.publish(upstream_files.ensure(quiet(modules)), modules / "serve")
    assert other.exists()


def test_sealed_secrets_is_rendered_with_the_image_of_its_version(modules):
    made = upstream_files.ensure(quiet(modules)) / CONTROLLER.removeprefix("https://")
    words = made.read_text().split()
    assert "CONTROLLER_IMAGE=docker.io/bitnami/sealed-secrets-controller:0.40.0" in words
    assert "IMAGE_PULL_POLICY=" in words
    assert tuple(words[-11:]) == upstream_files.CONTROLLER_FIELDS


def test_a_file_that_is_not_what_the_tree_pins_is_refused_and_not_kept(modules):
    (modules / "upstream.sha256").write_text(f"{'0' * 64}  {INSTALL}\n")
    with pytest.raises(ToolError, match=re.escape(INSTALL)):
        upstream_files.ensure(quiet(modules))
    assert not list((modules / "cache").glob("upstream-files-*"))


def test_a_new_digest_is_compared_anew(modules):
    upstream_files.ensure(quiet(modules))
    (modules / "upstream.sha256").write_text(f"{'0' * 64}  {INSTALL}\n")
    with pytest.raises(ToolError, match=r"not what upstream\.sha256 says"):
        upstream_files.ensure(quiet(modules))


def test_the_versions_of_the_lab_are_those_that_the_tree_pins():
    assert set(digests()) == {INSTALL, CONTROLLER}
