from pathlib import Path

import pytest

from lab import stack_lab
from lab.git import service
from lab.git.tree import Prepared
from lab.stack_lab import StackLab
from stacks.config import ROOT
from stacks.settings import parse
from tools.progress import Progress

CONFIG = {
    "cluster": {"init": "server-a-1"},
    "network": {"machines": "10.77.0.0/24"},
    "k3s": {"version": "v1.34.2+k3s1"},
    "machines": {"server-a": {"role": "server", "address": "10.77.0.11"}},
}
SEED = {
    "repository": {
        "url": "ssh://git@git.seedbed.internal/seedbed.git",
        "knownHostsFile": ".lab/dev/git_known_hosts",
        "deployKey": 3,
    },
    "tree": ".lab/dev/gitops/k8s",
    "environments": ["dev"],
}


class Keys:
    """An identity as far as the git server is concerned."""

    operator_public_key = "ssh-ed25519 operator"

    def deploy_key(self, number):
        return type("SshKey", (), {"public": f"ssh-ed25519 deploy-{number}"})


def lab(tmp_path: Path, *, seed: bool) -> StackLab:
    config = CONFIG | ({"seed": SEED} if seed else {})
    return StackLab("dev", tmp_path, parse(config, "Pulumi.dev.yaml", tmp_path, lab_is_made=False))


@pytest.fixture
def calls(monkeypatch):
    """What was asked of the git server and of the tree."""
    made = []
    monkeypatch.setattr(service, "start", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(stack_lab, "prepare", lambda *arguments: made.append(arguments) or Prepared("c0ffee", new=True))
    return made


def test_the_deploy_key_of_the_settings_reads_and_the_operator_pushes(tmp_path, calls):
    progress = Progress()
    stack_lab.start_git(lab(tmp_path, seed=True), Keys(), progress)
    keys = (["ssh-ed25519 deploy-3"], ["ssh-ed25519 operator"])
    assert calls == [(tmp_path, "sb-dev-inet", "10.77.0.2", *keys, progress)]


def test_the_tree_is_the_clones(tmp_path, calls):
    def seal(folder):
        raise AssertionError

    def renew(folder):
        raise AssertionError

    assert stack_lab.publish_tree(lab(tmp_path, seed=True), Progress(), seal, renew) == Prepared("c0ffee", new=True)
    assert calls == [(ROOT, tmp_path, seal, renew)]


def test_a_stack_without_a_seed_has_neither(tmp_path, calls):
    stack_lab.start_git(lab(tmp_path, seed=False), Keys(), Progress())
    act = [lambda _: None] * 2
    assert stack_lab.publish_tree(lab(tmp_path, seed=False), Progress(), *act) is None
    assert calls == []
