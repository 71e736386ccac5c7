"""What can be seen in `k8s/` without rendering it."""

import re
from typing import Any

import pytest
import yaml

from tests import house_rules
from tests.unit.k8s.tree import (
    APPS,
    BASE,
    ENVIRONMENTS,
    K8S,
    SETS,
    application_set,
    digests,
    files,
    kustomization,
    manifests,
    remote_resources,
)

SYNC_OPTIONS = "argocd.argoproj.io/sync-options"


def at(document: Any, pointer: str) -> Any:
    """What a JSON pointer points at; KeyError or IndexError where there is nothing."""
    for part in pointer.strip("/").split("/"):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def test_every_remote_manifest_of_the_seed_has_its_digest_and_no_digest_is_left_over():
    assert remote_resources() == set(digests())


def test_remote_manifests_are_named_by_a_version():
    assert all(re.search(r"/v\d+\.\d+\.\d+/", url) for url in remote_resources())
    assert all(url.startswith("https://") for url in remote_resources())


def test_nothing_in_the_tree_comes_from_a_source_that_is_retired():
    found = {str(path.relative_to(K8S)): house_rules.retired(path.read_text()) for path in files()}
    assert {path: what for path, what in found.items() if what} == {}


def test_no_secret_is_in_the_tree_in_clear():
    assert [path for path, document in manifests() if document["kind"] == "Secret"] == []


def test_a_fresh_clone_has_places_for_sealed_values_and_no_values():
    sealed = [(path, document) for path, document in manifests() if document["kind"] == "SealedSecret"]
    assert {path.name for path, _ in sealed} == {"sealed-secret.yaml"}
    for _, document in sealed:
        assert set(document["spec"]["encryptedData"].values()) == {""}
        assert document["spec"]["template"]["metadata"] == document["metadata"]


@pytest.mark.parametrize("app", APPS, ids=lambda app: app.name)
def test_every_application_has_an_overlay_for_every_environment(app):
    assert {path.name for path in (app / "overlays").iterdir()} == set(ENVIRONMENTS)
    assert all(kustomization(app / "overlays" / name)["namespace"] == name for name in ENVIRONMENTS)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "pointer",
    [
        "/spec/generators/0/git/repoURL",
        "/spec/generators/0/git/revision",
        "/spec/generators/0/git/directories",
        "/spec/template/spec/source/repoURL",
        "/spec/template/spec/source/targetRevision",
    ],
)
def test_the_root_finds_in_every_set_what_it_replaces(name, pointer):
    assert at(application_set(name), pointer)


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_one_generator_and_fails_on_a_value_that_is_missing(name):
    spec = application_set(name)["spec"]
    assert len(spec["generators"]) == 1
    assert spec["goTemplate"] is True
    assert spec["goTemplateOptions"] == ["missingkey=error"]


@pytest.mark.parametrize("name", SETS)
def test_a_folder_that_is_gone_deletes_nothing(name):
    document = application_set(name)
    assert document["spec"]["syncPolicy"] == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}
    assert "finalizers" not in document["spec"]["template"]["metadata"]
    assert document["metadata"]["annotations"][SYNC_OPTIONS] == "Prune=confirm"


@pytest.mark.parametrize("name", SETS)
def test_an_application_syncs_and_heals_itself_and_never_gives_up(name):
    policy = application_set(name)["spec"]["template"]["spec"]["syncPolicy"]
    assert policy["automated"] == {"prune": True, "selfHeal": True}
    assert policy["retry"]["limit"] == -1
    assert policy["retry"]["refresh"] is True
    assert {"ServerSideApply=true", "SkipDryRunOnMissingResource=true"} <= set(policy["syncOptions"])
    # Pulumi makes the others: they have labels that ArgoCD would not give them.
    assert ("CreateNamespace=true" in policy["syncOptions"]) == (name == "observability")


@pytest.mark.parametrize("name", SETS)
def test_a_claim_waits_for_a_confirmation_before_it_is_pruned_or_deleted(name):
    [patch] = application_set(name)["spec"]["template"]["spec"]["source"]["kustomize"]["patches"]
    assert patch["target"] == {"kind": "PersistentVolumeClaim", "annotationSelector": f"!{SYNC_OPTIONS}"}
    annotations = yaml.safe_load(patch["patch"])["metadata"]["annotations"]
    assert annotations == {SYNC_OPTIONS: "Prune=confirm,Delete=confirm"}


@pytest.mark.parametrize("folder", ["argocd", "sealed-secrets"])
def test_argocd_never_prunes_a_kind_of_the_seed(folder):
    patches = [patch for patch in kustomization(BASE / folder)["patches"] if "patch" in patch]
    [patch] = [p for p in patches if p["target"]["kind"] == "CustomResourceDefinition"]
    annotations = yaml.safe_load(patch["patch"])["metadata"]["annotations"]
    assert annotations == {SYNC_OPTIONS: "Prune=false,Delete=false"}


def test_the_known_hosts_of_the_stack_come_last_and_need_not_be_there():
    volume = at(yaml.safe_load((BASE / "argocd" / "known-hosts.yaml").read_text()), "/spec/template/spec/volumes/0")
    assert volume["name"] == "ssh-known-hosts"
    assert [source["configMap"] for source in volume["projected"]["sources"]] == [
        {"name": "argocd-ssh-known-hosts-cm"},
        {"name": "seedbed-known-hosts", "optional": True},
    ]


def test_the_controller_never_makes_a_sealing_key_of_its_own_by_age():
    document = yaml.safe_load((BASE / "sealed-secrets" / "controller.yaml").read_text())
    assert at(document, "/spec/template/spec/containers/0/args") == ["--key-renew-period=0"]


def test_metrics_are_there_for_autoscalers_as_soon_as_they_can_be():
    deployment = yaml.safe_load((K8S / "observability" / "metrics-server" / "deployment.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    probe = container["readinessProbe"]
    assert probe["initialDelaySeconds"] + probe["periodSeconds"] < 15, "its second scrape, which makes it ready"
    assert probe["periodSeconds"] * probe["failureThreshold"] == 30, "upstream's patience with one that was ready"
