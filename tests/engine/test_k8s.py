"""What ArgoCD will make of `k8s/`, rendered by the kustomize that it has."""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from lab import upstream_files
from lab.gitops import programs
from tests import house_rules
from tests.unit.k8s.tree import APPS, ENVIRONMENTS, K8S
from tools.progress import Progress

Render = Callable[[Path], list[dict[str, Any]]]

OVERLAYS = [(app.name, environment) for app in APPS for environment in ENVIRONMENTS]


PLATFORM = [K8S / "base" / "argocd", K8S / "base" / "sealed-secrets", *sorted((K8S / "observability").iterdir())]
SYNC_OPTIONS = "argocd.argoproj.io/sync-options"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `k8s/` in which every remote file is beside the kustomization that names it."""
    copy = shutil.copytree(K8S, tmp_path_factory.mktemp("tree") / "k8s")
    files = upstream_files.ensure(Progress())
    for kustomization in copy.rglob("kustomization.yaml"):
        text = kustomization.read_text()
        for url in re.findall(r"https://\S+", text):
            parts = urlsplit(url)
            name = f"upstream-{Path(parts.path).name}"
            shutil.copyfile(files / parts.netloc / parts.path.lstrip("/"), kustomization.parent / name)
            text = text.replace(url, name)
        kustomization.write_text(text)
    return copy


@pytest.fixture(scope="session")
def render(tree: Path) -> Render:
    """Renders the copy of a folder of `k8s/`."""
    kustomize = programs.kustomize(Progress())

    @cache
    def run(folder: Path) -> list[dict[str, Any]]:
        done = subprocess.run(
            [str(kustomize), "build", str(tree / folder.relative_to(K8S))],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return list(yaml.load_all(done.stdout, yaml.CSafeLoader))

    return run


@pytest.mark.parametrize(("app", "environment"), OVERLAYS)
def test_an_application_keeps_the_house_rules_in_every_environment(app: str, environment: str, render: Render):
    assert house_rules.problems(render(K8S / "apps" / app / "overlays" / environment), environment) == []


@pytest.mark.parametrize("app", [app.name for app in APPS])
def test_the_environments_differ_in_size(app: str, render: Render):
    bounds = []
    for environment in ENVIRONMENTS:
        manifests = render(K8S / "apps" / app / "overlays" / environment)
        scaler = next(m["spec"] for m in manifests if m["kind"] == "HorizontalPodAutoscaler")
        bounds.append((scaler["minReplicas"], scaler["maxReplicas"]))

    assert bounds == sorted(set(bounds))


def test_a_changed_setting_is_a_rollout(render: Render):
    names = []
    for environment in ENVIRONMENTS:
        manifests = render(K8S / "apps" / "podinfo" / "overlays" / environment)
        pod = house_rules.pod(next(m for m in manifests if m["kind"] == "Deployment"))
        names.append(pod["containers"][0]["envFrom"][0]["configMapRef"]["name"])

    assert len(set(names)) == len(ENVIRONMENTS)


def test_the_root_is_three_sets_of_applications(render: Render):
    manifests = render(K8S / "base" / "root")

    assert sorted(house_rules.title(m) for m in manifests) == [
        "ApplicationSet apps",
        "ApplicationSet base",
        "ApplicationSet observability",
    ]
    assert {m["metadata"]["namespace"] for m in manifests} == {"argocd"}


@pytest.mark.parametrize("folder", PLATFORM, ids=lambda folder: folder.name)
def test_a_piece_of_the_platform_asks_for_what_it_needs_and_names_its_images_by_version(folder: Path, render: Render):
    manifests = render(folder)

    assert house_rules.unbounded(manifests, ["requests.cpu", "requests.memory", "limits.memory"]) == []
    assert [image for image in house_rules.images(manifests) if house_rules.unpinned(image)] == []
    assert [m for m in manifests if m["kind"] == "Secret" and (m.get("data") or m.get("stringData"))] == []


def test_argocd_is_whole_and_in_the_namespace_that_refuses_what_its_pods_do_not_do(render: Render):
    manifests = render(K8S / "base" / "argocd")
    namespace = next(m for m in manifests if m["kind"] == "Namespace")

    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    workloads = [m for m in manifests if m["kind"] in house_rules.WORKLOADS]
    assert len(workloads) == 7
    assert {m["metadata"]["namespace"] for m in workloads} == {namespace["metadata"]["name"]}
    assert [problem for m in workloads for problem in house_rules.unrestricted(m)] == []


def test_everything_that_talks_to_git_knows_the_hosts_of_the_stack(render: Render):
    volumes = {
        m["metadata"]["name"]: volume
        for m in render(K8S / "base" / "argocd")
        if m["kind"] in house_rules.WORKLOADS
        for volume in house_rules.pod(m).get("volumes", [])
        if "argocd-ssh-known-hosts-cm" in str(volume)
    }

    assert set(volumes) == {"argocd-applicationset-controller", "argocd-repo-server", "argocd-server"}
    for volume in volumes.values():
        assert set(volume) == {"name", "projected"}
        assert volume["projected"]["sources"][-1]["configMap"] == {"name": "seedbed-known-hosts", "optional": True}


@pytest.mark.parametrize("folder", PLATFORM[:2], ids=lambda folder: folder.name)
def test_no_kind_of_the_seed_is_ever_pruned(folder: Path, render: Render):
    kinds = [m for m in render(folder) if m["kind"] == "CustomResourceDefinition"]

    assert kinds
    assert {m["metadata"]["annotations"][SYNC_OPTIONS] for m in kinds} == {"Prune=false,Delete=false"}


def test_the_sealed_secrets_controller_is_where_kubeseal_looks_for_it(render: Render):
    controller = next(m for m in render(K8S / "base" / "sealed-secrets") if m["kind"] == "Deployment")

    assert controller["metadata"]["name"] == "sealed-secrets-controller"
    assert controller["metadata"]["namespace"] == "kube-system"
    assert house_rules.pod(controller)["containers"][0]["args"] == ["--key-renew-period=0"]
