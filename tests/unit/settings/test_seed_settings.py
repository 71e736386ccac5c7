"""The section `seed`: every error at once, each with its place and its remedy."""

import copy
from pathlib import Path
from typing import Any

import pytest

from stacks.settings import SettingsError, parse
from tests.unit.settings.test_settings import GOOD

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMPSqu+oWWqeG3A+5rQ9mtIAN2LSA/ulJVIi0lDUe8ab"  # as ssh-keygen wrote it
SEED: dict[str, Any] = {
    "repository": {"url": "ssh://git@git.example.org/infra.git", "knownHosts": [f"git.example.org {KEY}"]},
    "environments": ["prod"],
}


@pytest.fixture
def root(tmp_path) -> Path:
    for piece in ("argocd", "root", "sealed-secrets"):
        file = tmp_path / "k8s" / "base" / piece / "kustomization.yaml"
        file.parent.mkdir(parents=True)
        file.touch()
    for environment in ("staging", "prod"):
        (tmp_path / "k8s" / "apps" / "web" / "overlays" / environment).mkdir(parents=True)
    return tmp_path


def with_seed(repository: dict[str, Any] | None = None, **other: Any) -> dict[str, Any]:
    seed = copy.deepcopy(SEED) | other
    seed["repository"] |= repository or {}
    return GOOD | {"seed": {k: v for k, v in seed.items() if v is not ...}}


def problems(root: Path, config: dict[str, Any], **options: bool) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(config, "Pulumi.test.yaml", root, **options)
    return caught.value.problems


def test_a_stack_without_the_section_is_a_cluster_without_a_seed(root):
    assert parse(GOOD, "Pulumi.test.yaml", root).seed is None


def test_good_settings_are_taken_with_their_defaults(root):
    settings = parse(with_seed(), "Pulumi.test.yaml", root)
    seed = settings.seed
    assert seed is not None
    assert (seed.repository.revision, seed.repository.path, seed.repository.deploy_key) == ("main", "k8s", 1)
    assert seed.repository.known_hosts == f"git.example.org {KEY}\n"
    assert seed.tree == root / "k8s"
    assert (settings.timeouts.sync, settings.timeouts.health) == (600, 120)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("git@git.example.org:infra.git", "git.example.org"),
        ("ssh://git@git.example.org:22/infra.git", "git.example.org"),
        ("ssh://git@git.example.org:2222/infra.git", "[git.example.org]:2222"),
    ],
)
def test_both_ways_to_write_an_address_find_their_known_host(root, url, host):
    parse(with_seed({"url": url, "knownHosts": [f"other,{host} {KEY} a comment"]}), "Pulumi.test.yaml", root)


BAD = {
    "an address that is not SSH": (
        with_seed({"url": "https://git.example.org/infra.git"}),
        "seedbed:seed.repository.url: 'https://git.example.org/infra.git' is not an SSH address; write ssh://git@HOST/PATH",
    ),
    "no known host": (
        with_seed({"knownHosts": []}),
        "seedbed:seed.repository.knownHosts: missing; the lines of `ssh-keyscan",
    ),
    "a known host of another": (
        with_seed({"knownHosts": [f"git.example.com {KEY}"]}),
        "seedbed:seed.repository.knownHosts: none is for git.example.org, the host of seedbed:seed.repository.url",
    ),
    "a key without its host": (
        with_seed({"knownHosts": [KEY]}),
        "seedbed:seed.repository.knownHosts: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMPSqu+oWWqeG3A+5rQ9mtIA' is not `HOST KEYTYPE KEY`",
    ),
    "known hosts twice": (
        with_seed({"knownHostsFile": "known_hosts"}),
        "seedbed:seed.repository.knownHostsFile: there is also knownHosts; keep one of the two",
    ),
    "a file of known hosts that is missing": (
        with_seed({"knownHosts": [], "knownHostsFile": "none"}),
        "seedbed:seed.repository.knownHostsFile: none cannot be read; the lab makes it: run `make up`",
    ),
    "a revision with a space": (with_seed({"revision": "a b"}), "seedbed:seed.repository.revision: "),
    "a path that leads out": (
        with_seed({"path": "../k8s"}),
        "seedbed:seed.repository.path: '../k8s' has to be a folder inside the repository, such as k8s",
    ),
    "a deploy key below one": (with_seed({"deployKey": 0}), "seedbed:seed.repository.deployKey: should be greater"),
    "no environment": (with_seed(environments=[]), "seedbed:seed.environments: must name at least one"),
    "an environment that no app has": (
        with_seed(environments=["stagging"]),
        "seedbed:seed.environments: no app has an overlay stagging; there are prod, staging",
    ),
    "an environment twice": (
        with_seed(environments=["prod", "prod"]),
        "seedbed:seed.environments: prod is there twice",
    ),
    "an environment that is a system's": (
        with_seed(environments=["kube-system"]),
        "seedbed:seed.environments: the namespace kube-system is not for apps; take another name",
    ),
    "an environment that is no name": (
        with_seed(environments=["Prod"]),
        "seedbed:seed.environments: 'Prod' cannot be a namespace",
    ),
    "a tree without a base": (
        with_seed(tree="elsewhere"),
        "seedbed:seed.tree: elsewhere has no base/argocd/kustomization.yaml, base/root/kustomization.yaml,",
    ),
    "no repository": (with_seed() | {"seed": {"environments": ["prod"]}}, "seedbed:seed.repository: missing"),
    "an unknown key": (
        with_seed({"branch": "main"}),
        "seedbed:seed.repository.branch: unknown key; there are",
    ),
}


@pytest.mark.parametrize(("config", "problem"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_named_with_its_remedy(root, config, problem):
    found = problems(root, config)
    assert any(line.startswith(problem) for line in found), found


def test_everything_is_told_at_once(root):
    config = with_seed({"url": "http://x", "path": "/k8s", "knownHosts": []}, environments=["Prod", "default"])
    assert len(problems(root, config)) >= 5


def test_before_the_lab_is_made_what_it_writes_is_not_asked_for(tmp_path):
    config = with_seed({"knownHosts": [], "knownHostsFile": "none"}, tree="none")
    seed = parse(config, "Pulumi.test.yaml", tmp_path, lab_is_made=False).seed
    assert seed is not None
    assert seed.repository.known_hosts == ""
    problems(tmp_path, config)
