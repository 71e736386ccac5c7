import json
import re
import tarfile
from pathlib import Path

import pytest
import yaml

from lab import payload
from lab.gitops import images
from tests.unit.k8s.tree import K8S, kustomization, manifests
from tools.progress import Progress

GITOPS = Path(payload.__file__).parent / "gitops"


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A cache of the test's own, and files in the place of programs, modules and Debian's nginx."""
    monkeypatch.setenv("SEEDBED_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "root.tar"
    with tarfile.open(root, "w"):
        pass

    def build(_module, package, name, *_flags, **_options):
        program = tmp_path / name
        program.write_text(f"{name} of {package}")
        return program

    (tmp_path / "ui").mkdir()
    (tmp_path / "ui" / "vue.html").write_text("page")
    monkeypatch.setattr(payload.gobuild, "build", build)
    monkeypatch.setattr(payload.gobuild, "module_folder", lambda *_args, **_options: tmp_path)
    monkeypatch.setattr(payload, "_nginx", lambda _progress: root)
    return tmp_path


def layout(archive):
    """name -> (configuration, the paths of its last layer)."""
    found = {}
    with tarfile.open(archive) as tar:

        def blob(digest):
            return tar.extractfile(f"blobs/{digest.replace(':', '/')}")

        for descriptor in json.load(tar.extractfile("index.json"))["manifests"]:
            manifest = json.load(blob(descriptor["digest"]))
            config = json.load(blob(manifest["config"]["digest"]))["config"]
            with tarfile.open(fileobj=blob(manifest["layers"][-1]["digest"]), mode="r:gz") as layer:
                paths = {member.name: member.mode for member in layer}
            found[descriptor["annotations"]["io.containerd.image.name"]] = config, paths
    return found


def test_the_archives_have_every_image_once_and_each_knows_what_it_stands_for(built):
    archives = payload.ensure(Progress(stream=(built / "progress").open("w")))
    found = [(name, config) for archive in archives for name, (config, _) in layout(archive).items()]
    assert sorted(name for name, _ in found) == sorted(payload.IMAGES)
    assert all("stand-in" in config["Labels"]["org.opencontainers.image.description"] for _, config in found)


def test_every_image_runs_as_a_user_that_kubernetes_can_tell_is_not_root(built):
    archives = payload.ensure(Progress(stream=(built / "progress").open("w")))
    users = [config["User"] for archive in archives for config, _ in layout(archive).values()]
    assert all(re.fullmatch(r"[1-9]\d*(:\d+)?", user) for user in users)


def test_podinfo_finds_its_page_in_its_working_directory(built):
    archives = payload.ensure(Progress(stream=(built / "progress").open("w")))
    config, paths = next(layout(path)[payload.PODINFO_IMAGE] for path in archives if path.name == "podinfo.tar")
    assert (config["WorkingDir"], config["Cmd"]) == ("/home/app", ["./podinfo"])
    assert paths["home/app/podinfo"] == 0o755
    assert "home/app/ui/vue.html" in paths


def test_the_lab_has_every_image_that_the_applications_run():
    named = {
        container["image"]
        for path, manifest in manifests()
        if manifest.get("kind") == "Deployment" and path.is_relative_to(K8S / "apps")
        for container in manifest["spec"]["template"]["spec"]["containers"]
        if "image" in container
    }
    assert named == {payload.PODINFO_IMAGE, payload.NGINX_IMAGE}


def test_the_tree_takes_the_metrics_server_that_the_lab_builds():
    tree = kustomization(K8S / "observability" / "metrics-server")
    (image,) = tree["images"]
    assert f"{image['newName']}:{image['newTag']}" == payload.METRICS_SERVER_IMAGE
    required = (GITOPS / "metrics-server" / "go.mod").read_text()
    assert f"\t{payload.METRICS_SERVER_MODULE} {payload.METRICS_SERVER_VERSION} " in required


@pytest.mark.parametrize("stack", sorted(K8S.parent.glob("Pulumi.*.yaml")), ids=lambda path: path.stem)
def test_k3s_leaves_the_metrics_server_to_git_in_every_stack(stack):
    config = yaml.safe_load(stack.read_text())["config"]
    assert "metrics-server" in config["seedbed:k3s"]["disable"]


def test_no_image_is_also_one_of_the_seed():
    seed = {images.ARGOCD_IMAGE, images.DEX_IMAGE, images.REDIS_IMAGE, images.SEALED_SECRETS_IMAGE}
    assert not seed & set(payload.IMAGES)
