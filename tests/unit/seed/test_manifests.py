"""The objects that Pulumi keeps in the cluster."""

import base64
import fnmatch

import pytest
import yaml

from components.seed import manifests
from components.seed.manifests import Repository
from stacks.config import ROOT
from stacks.identity import generate

REPOSITORY = Repository(
    url="ssh://git@git.example.org/infra.git",
    revision="release-1",
    path="clusters/k8s/",
    private_key="the deploy key",
    known_hosts="git.example.org ssh-ed25519 AAAA\n",
)


@pytest.fixture(scope="module")
def sealing_keys():
    return [pair for _ in range(2) for pair in generate().sealing_keys]


def decoded(data):
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def test_a_sealing_key_is_one_that_the_controller_reads_under_a_name_that_follows_from_it(sealing_keys):
    first, second = (manifests.sealing_key(pair.crt, pair.key) for pair in sealing_keys)
    assert first["type"] == "kubernetes.io/tls"
    assert first["metadata"]["namespace"] == "kube-system"
    assert first["metadata"]["labels"] == {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"}
    assert decoded(first["data"]) == {"tls.crt": sealing_keys[0].crt, "tls.key": sealing_keys[0].key}
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["name"] == manifests.sealing_key_name(sealing_keys[0].crt)


def test_the_credential_is_for_the_repository_alone_and_the_host_is_pinned_beside_it():
    secret = manifests.credential(REPOSITORY)
    assert secret["metadata"]["labels"] == {"argocd.argoproj.io/secret-type": "repository"}
    assert decoded(secret["data"]) == {"type": "git", "url": REPOSITORY.url, "sshPrivateKey": REPOSITORY.private_key}
    assert manifests.known_hosts(REPOSITORY)["data"] == {"ssh_known_hosts": REPOSITORY.known_hosts}


def test_apps_may_only_go_to_the_environments_and_touch_nothing_of_the_whole_cluster():
    projects = manifests.projects(REPOSITORY, ["staging", "prod"])
    assert [d["namespace"] for d in projects["apps"]["spec"]["destinations"]] == ["staging", "prod"]
    assert projects["apps"]["spec"]["clusterResourceWhitelist"] == []
    assert all(project["spec"]["sourceRepos"] == [REPOSITORY.url] for project in projects.values())


def test_deleting_the_root_deletes_nothing_else():
    root = manifests.root(REPOSITORY, ["prod"])
    assert "finalizers" not in root["metadata"]


NAMES = {"base", "apps", "observability"}


def replaced(root):
    """What the root's patches put at which path of each application set."""
    values = {name: {} for name in NAMES}
    for patch in root["spec"]["source"]["kustomize"]["patches"]:
        assert patch["target"]["kind"] == "ApplicationSet"
        for operation in yaml.safe_load(patch["patch"]):
            assert operation["op"] == "replace"
            for name in {patch["target"]["name"]} if "name" in patch["target"] else NAMES:
                values[name][operation["path"]] = operation["value"]
    return values


def test_the_root_tells_every_application_set_where_the_repository_is_and_which_folders_run_here():
    root = manifests.root(REPOSITORY, ["staging", "prod"])
    source = root["spec"]["source"]
    assert (source["repoURL"], source["targetRevision"]) == (REPOSITORY.url, "release-1")
    assert source["path"] == "clusters/k8s/base/root"
    for values in replaced(root).values():
        assert (
            values["/spec/generators/0/git/repoURL"] == values["/spec/template/spec/source/repoURL"] == REPOSITORY.url
        )
        assert values["/spec/generators/0/git/revision"] == "release-1"
        assert values["/spec/template/spec/source/targetRevision"] == "release-1"
    folders = {name: values["/spec/generators/0/git/directories"] for name, values in replaced(root).items()}
    assert folders == {
        "base": [{"path": "clusters/k8s/base/*"}, {"path": "clusters/k8s/base/root", "exclude": True}],
        "apps": [
            {"path": "clusters/k8s/apps/*/overlays/staging"},
            {"path": "clusters/k8s/apps/*/overlays/prod"},
        ],
        "observability": [{"path": "clusters/k8s/observability/*"}],
    }


def test_every_application_set_in_git_has_what_the_root_replaces_and_the_root_knows_each():
    """A JSON patch fails where a path is missing; a set that is not patched would read the example's repository."""
    sets = {}
    for file in (ROOT / "k8s" / "base" / "root").glob("*.yaml"):
        document = yaml.safe_load(file.read_text())
        if document["kind"] == "ApplicationSet":
            sets[document["metadata"]["name"]] = document
    assert sets.keys() == NAMES
    for name, values in replaced(manifests.root(REPOSITORY, ["dev"])).items():
        assert len(values) == 5
        for path in values:
            at = sets[name]
            for key in path.split("/")[1:]:
                at = at[int(key) if isinstance(at, list) else key]


def test_the_folders_are_those_of_the_tree():
    root = manifests.root(Repository(**{**REPOSITORY.__dict__, "path": "k8s"}), ["dev"])
    patterns = [
        folder["path"] for values in replaced(root).values() for folder in values["/spec/generators/0/git/directories"]
    ]
    folders = [p.parent.relative_to(ROOT).as_posix() for p in (ROOT / "k8s").rglob("kustomization.yaml")]
    for pattern in patterns:
        assert fnmatch.filter(folders, pattern), pattern
