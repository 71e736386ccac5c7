"""Each house rule, broken once."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests import house_rules

LABELS = {"app.kubernetes.io/name": "a"}


def app() -> list[dict[str, Any]]:
    """The objects of an application that keeps all rules."""
    probe = {"httpGet": {"path": "/", "port": "http"}}
    container = {
        "name": "a",
        "image": "ghcr.io/somebody/a:1.2.3",
        "envFrom": [{"configMapRef": {"name": "a-0123456789"}}, {"secretRef": {"name": "a"}}],
        "startupProbe": probe,
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1", "memory": "1Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    pod = {
        "serviceAccountName": "a",
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [{"maxSkew": 1}],
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    target = {"kind": "Deployment", "name": "a"}
    specs: dict[str, dict[str, Any]] = {
        "Deployment": {"spec": {"template": {"metadata": {"labels": LABELS}, "spec": pod}}},
        "ServiceAccount": {"automountServiceAccountToken": False},
        "SealedSecret": {},
        "HorizontalPodAutoscaler": {"spec": {"scaleTargetRef": target}},
        "PodDisruptionBudget": {"spec": {"selector": {"matchLabels": LABELS}}},
        "NetworkPolicy": {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}},
        "ConfigMap": {},
    }
    return [
        {"kind": kind, "metadata": {"name": "a-0123456789" if kind == "ConfigMap" else "a", "namespace": "dev"}, **rest}
        for kind, rest in copy.deepcopy(specs).items()
    ]


def by_kind(manifests: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(m for m in manifests if m["kind"] == kind)


def without(kind: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda manifests: manifests.remove(by_kind(manifests, kind))


def pod(change: Callable[[Any], Any]) -> Callable[[list[dict[str, Any]]], None]:
    return lambda manifests: change(house_rules.pod(by_kind(manifests, "Deployment")))


def container(change: Callable[[Any], Any]) -> Callable[[list[dict[str, Any]]], None]:
    return pod(lambda spec: change(spec["containers"][0]))


def test_an_application_that_keeps_the_rules_has_no_problem():
    assert house_rules.problems(app(), "dev") == []


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (without("HorizontalPodAutoscaler"), "no HorizontalPodAutoscaler scales it"),
        (without("PodDisruptionBudget"), "no PodDisruptionBudget selects it"),
        (without("NetworkPolicy"), "no NetworkPolicy bounds what comes in and what goes out"),
        (without("ServiceAccount"), "has no ServiceAccount of its own"),
        (without("SealedSecret"), "there is no SealedSecret a"),
        (without("ConfigMap"), "there is no ConfigMap a-0123456789"),
        (container(lambda c: c.pop("livenessProbe")), "container a has no livenessProbe"),
        (container(lambda c: c["resources"]["limits"].pop("memory")), "container a has no limits.memory"),
        (container(lambda c: c["resources"]["requests"].pop("cpu")), "container a has no requests.cpu"),
        (container(lambda c: c.update(image="a:latest")), "container a: image a:latest has no version"),
        (container(lambda c: c.update(image="h:5000/a")), "container a: image h:5000/a has no version"),
        (container(lambda c: c["securityContext"].pop("capabilities")), "container a keeps capabilities"),
        (container(lambda c: c["securityContext"].update(privileged=True)), "container a may gain privileges"),
        (container(lambda c: c["securityContext"].pop("readOnlyRootFilesystem")), "container a writes to its root"),
        (container(lambda c: c["securityContext"].update(runAsUser=0)), "container a runs as root"),
        (container(lambda c: c.update(ports=[{"hostPort": 1}])), "container a takes a port of the host"),
        (pod(lambda p: p["securityContext"].pop("runAsNonRoot")), "container a may run as root"),
        (pod(lambda p: p["securityContext"].pop("seccompProfile")), "container a has no seccomp profile"),
        (pod(lambda p: p["volumes"].append({"name": "h", "hostPath": {}})), "volume h is a hostPath"),
        (pod(lambda p: p.update(hostNetwork=True)), "hostNetwork is set"),
        (pod(lambda p: p.pop("automountServiceAccountToken")), "has a token of the cluster's API"),
        (pod(lambda p: p.pop("topologySpreadConstraints")), "its replicas may share one node"),
        (
            lambda ms: by_kind(ms, "Deployment")["spec"].update(replicas=2),
            "its replicas are both its own and the HorizontalPodAutoscaler's",
        ),
    ],
)
def test_a_workload_that_breaks_a_rule_is_named(break_it, said):
    manifests = app()
    break_it(manifests)
    assert house_rules.problems(manifests, "dev") == [f"Deployment a: {said}"]


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("ServiceAccount", {"automountServiceAccountToken": True}, "ServiceAccount a: gives its token to every pod"),
        ("SealedSecret", {"metadata": {"name": "a", "namespace": "prod"}}, "SealedSecret a: not in namespace dev"),
    ],
)
def test_an_object_that_breaks_a_rule_is_named(kind, change, said):
    manifests = app()
    by_kind(manifests, kind).update(change)
    assert house_rules.problems(manifests, "dev") == [said]


@pytest.mark.parametrize(
    ("kind", "said"), [("Secret", "a Secret in clear; seal it"), ("ClusterRole", "not a kind of an application")]
)
def test_what_an_application_may_not_have_is_named(kind, said):
    manifests = [*app(), {"kind": kind, "metadata": {"name": "b", "namespace": "dev"}}]
    assert house_rules.problems(manifests, "dev") == [f"{kind} b: {said}"]


def test_a_name_without_a_hash_is_no_rollout():
    manifests = [*app(), {"kind": "ConfigMap", "metadata": {"name": "b", "namespace": "dev"}}]
    assert house_rules.problems(manifests, "dev") == [
        "ConfigMap b: its name has no hash of what it holds; use configMapGenerator"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "image: docker.io/bitnami/redis:7",
        "repo: https://kubernetes.github.io/ingress-nginx",
        "https://bitnami-labs.github.io/sealed-secrets",
        "image: docker.io/minio/minio",
        "https://grafana.github.io/helm-charts",
        "image: k8s.gcr.io/pause:3.9",
    ],
)
def test_a_retired_source_is_named(text):
    assert len(house_rules.retired(text)) == 1


def test_the_sources_that_stay_are_not_retired():
    kept = "docker.io/bitnami/sealed-secrets-controller:0.40.0 oci://ghcr.io/grafana-community/helm-charts/loki"
    assert house_rules.retired(kept) == []


@pytest.mark.parametrize("image", ["a", "a:stable", "ghcr.io/x/a:alpine"])
def test_an_image_whose_name_may_mean_another_one_tomorrow_is_unpinned(image):
    assert house_rules.unpinned(image)


@pytest.mark.parametrize("image", ["a:1.2", "ghcr.io/x/a:v1.2.3-alpine", "a@sha256:0"])
def test_an_image_with_a_version_or_a_digest_is_pinned(image):
    assert not house_rules.unpinned(image)
