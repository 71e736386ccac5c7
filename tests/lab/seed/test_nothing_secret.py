"""What the seed brings is secret only where it has to be: not in the state, not on disks, not in what is said."""

import base64
import gzip
import json
import re

import pytest
import yaml

from tests.lab import secret_search
from tests.lab.secret_search import Patterns
from tests.lab.seeding import AGENT, SERVER, Seeded, api
from tests.lab.stacks import Stack

PASSWORD = "/api/v1/namespaces/argocd/secrets/argocd-initial-admin-secret"
OF_UPSTREAM = ("quay.io/argoproj/", "openAPIV3Schema")
"""What ArgoCD's manifests have and nothing that is written here."""

ETCD = "/var/lib/rancher/k3s/server/db/etcd"
"""k3s encrypts what is in it, the lab's stand-in does not."""


@pytest.fixture(scope="module")
def secrets(stack: Stack) -> Patterns:
    """What the seed adds to the secrets of a cluster."""
    password = base64.b64decode(api(stack).get(PASSWORD)["data"]["password"]).decode()
    every = secret_search.patterns(stack.identity, [SERVER, AGENT], **{"admin password": password})
    mine = {string: name for string, name in every.items() if re.match(r"sealing key|deploy key|admin password", name)}
    keys = [f"sealing key {number}" for number in range(len(stack.identity.sealing_keys))]
    assert set(mine.values()) == {"deploy key", "admin password", *keys}
    return mine


def test_the_state_holds_nothing_secret_of_the_seed_in_clear(stack: Stack, secrets: Patterns) -> None:
    exported = stack.pulumi("stack", "export").stdout
    assert "seedbed-repository" in exported
    assert secret_search.in_text(exported, secrets) == set()
    assert secret_search.in_text(stack.pulumi("stack", "history", "--json").stdout, secrets) == set()
    # They are there, for whoever has the passphrase, and the search finds them; but for the password, which is nowhere.
    shown = stack.pulumi("stack", "export", "--show-secrets").stdout
    assert secret_search.in_text(shown, secrets) == {*secrets.values()} - {"admin password"}


def test_the_state_holds_no_manifest_of_argocd(stack: Stack) -> None:
    exported = stack.pulumi("stack", "export", "--show-secrets").stdout
    kinds = {resource["type"] for resource in json.loads(exported)["deployment"]["resources"]}
    assert {kind for kind in kinds if kind.startswith("kubernetes:")} == {
        "kubernetes:core/v1:Namespace",
        "kubernetes:core/v1:Secret",
        "kubernetes:core/v1:ConfigMap",
        "kubernetes:argoproj.io/v1alpha1:AppProject",
        "kubernetes:argoproj.io/v1alpha1:Application",
    }
    packed = [
        gzip.decompress(base64.b64decode(text)) for text in re.findall(r"\bH4sI[A-Za-z0-9+/]{40,}={0,2}", exported)
    ]
    everything = exported + "".join(part.decode(errors="replace") for part in packed)
    assert [name for name in OF_UPSTREAM if name in everything] == []


def test_the_state_of_one_server_one_agent_and_the_seed_is_small(seeded: Seeded) -> None:
    """Bytes, as `pulumi stack export | wc -c` counts them after the first `up`."""
    assert len(seeded.state.encode()) < 200_000


def test_on_this_machine_only_the_labs_own_files_hold_secrets_of_the_seed(stack: Stack, secrets: Patterns) -> None:
    """The clone with the lab's folder: state with its history, the repository, the tree, logs of services and engine."""
    folder = stack.lab_folder.relative_to(stack.root)
    found = secret_search.in_folder(stack.root, secrets, skip=("upper", "data"))  # hosts are looked at from inside
    assert set(found) == {f"{folder}/identity.json"}


def test_nothing_secret_of_the_seed_was_on_the_console_or_in_a_command_line(seeded: Seeded, secrets: Patterns) -> None:
    assert secret_search.in_text(seeded.console, secrets) == set()
    # It did look at hosts, into their pods: at a process that lives, because on a busy machine short ones are missed.
    assert "argocd-repo-server" in seeded.processes
    assert secret_search.in_text(seeded.processes, secrets) == set()


def test_an_agent_has_no_secret_of_the_seed_on_its_disk(stack: Stack, secrets: Patterns) -> None:
    assert secret_search.on_host(stack.lab, AGENT, secrets) == {}


def test_a_server_has_secrets_of_the_seed_in_etcd_only_which_is_told_to_encrypt_them(
    stack: Stack, secrets: Patterns
) -> None:
    found = secret_search.on_host(stack.lab, SERVER, secrets)
    assert [file for file in found if not file.startswith(f"{ETCD}/")] == []
    assert stack.lab.ssh(SERVER, f"stat -c '%a %U' {ETCD}").stdout.split() == ["700", "root"]
    configuration = stack.lab.ssh(SERVER, "cat /etc/rancher/k3s/config.yaml").stdout
    assert yaml.safe_load(configuration)["secrets-encryption"] is True


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_no_journal_has_a_secret_of_the_seed(stack: Stack, secrets: Patterns, host: str) -> None:
    journal = stack.lab.ssh(host, "journalctl --output export --no-pager", timeout=60).stdout
    assert "ssh.service" in journal
    assert secret_search.in_text(journal, secrets) == set()
