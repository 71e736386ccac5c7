"""What an application of `k8s/apps` has to be, checked on its rendered objects. docs/how-to/add-an-app.md says it in prose."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Manifest = Mapping[str, Any]

WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"})
SERVING = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
NAMESPACED = frozenset(
    {
        *WORKLOADS,
        *("ConfigMap", "HorizontalPodAutoscaler", "Ingress", "NetworkPolicy", "PersistentVolumeClaim"),
        *("PodDisruptionBudget", "Role", "RoleBinding", "SealedSecret", "Service", "ServiceAccount"),
    }
)
"""The kinds that an application may have: nothing that belongs to the whole cluster, and no Secret in clear."""

VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
"""What the level `restricted` allows.

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

RETIRED = {
    r"bitnami-labs\.github\.io|github\.com/bitnami-labs/sealed-secrets": "sealed-secrets moved to github.com/bitnami",
    r"docker\.io/bitnami/(?!sealed-secrets-controller)": "Bitnami's images have no free versions since August 2025",
    r"charts\.bitnami\.com|bitnamicharts/(?!sealed-secrets)": "Bitnami's charts name images that cannot be pulled",
    r"ingress-nginx|kubernetes-sigs/ingate": "ingress-nginx and InGate are archived since 2026; use Traefik",
    r"(quay\.io|docker\.io)/minio/|charts\.min\.io": "MinIO's repository is archived and its images are stale",
    r"grafana/promtail|charts/promtail": "Promtail ended in March 2026; use Alloy",
    r"grafana\.github\.io/helm-charts": "the charts of Loki, Grafana and Tempo moved to ghcr.io/grafana-community",
    r"mongodb/mongodb-kubernetes-operator|mongodb/community-operator": "ended in November 2025; use MCK",
    r"k8s\.gcr\.io": "Kubernetes' images are at registry.k8s.io",
}
"""Sources that are dead or about to be: pattern, and what to do."""


def problems(manifests: Sequence[Manifest], namespace: str) -> list[str]:
    """A line for everything in which an application's rendered objects break the rules; empty where they keep them."""
    found = [f"{title(m)}: {problem}" for m in manifests for problem in _of_any(m, namespace)]
    for manifest in manifests:
        if manifest["kind"] in WORKLOADS:
            found += [f"{title(manifest)}: {problem}" for problem in _of_workload(manifest, manifests)]
    return found


def images(manifests: Sequence[Manifest]) -> list[str]:
    """Every image of every container, init containers too."""
    pods = [pod(m) for m in manifests if m["kind"] in WORKLOADS]
    return [container["image"] for spec in pods for container in _containers(spec)]


def unpinned(image: str) -> bool:
    """Whether what is pulled under this name can change: no tag and no digest, or a tag that moves."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return not digest and not re.search(r"\d+\.\d+", tag)


def unbounded(manifests: Sequence[Manifest], resources: Sequence[str]) -> list[str]:
    """The containers that lack one of `resources`, such as `requests.cpu`; with the names of what they lack."""
    return [
        f"{title(manifest)}: container {container['name']} has no {wanted}"
        for manifest in manifests
        if manifest["kind"] in WORKLOADS
        for container in _containers(pod(manifest))
        for wanted in resources
        if not _at(container, "resources", *wanted.split("."))
    ]


def unrestricted(manifest: Manifest) -> list[str]:
    """Why the level `restricted` of the pod security standards would refuse a workload's pods."""
    spec = pod(manifest)
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes", []):
        found += [f"volume {volume['name']} is a {kind}" for kind in sorted(volume.keys() - {"name"} - VOLUMES)]
    for container in _containers(spec):
        context = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        name = f"container {container['name']}"
        if context.get("runAsNonRoot") is not True:
            found.append(f"{name} may run as root")
        if context.get("runAsUser") == 0:
            found.append(f"{name} runs as root")
        if _at(context, "seccompProfile", "type") not in ("RuntimeDefault", "Localhost"):
            found.append(f"{name} has no seccomp profile")
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            found.append(f"{name} may gain privileges")
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
            found.append(f"{name} keeps capabilities")
        found += [f"{name} takes a port of the host" for port in container.get("ports", []) if port.get("hostPort")]
    return found


def retired(text: str) -> list[str]:
    """What a text names that is no longer there, with what to use in its place."""
    return [f"{match[0]}: {why}" for pattern, why in RETIRED.items() if (match := re.search(pattern, text))]


def pod(manifest: Manifest) -> Mapping[str, Any]:
    """The pod that a workload makes."""
    spec = manifest["spec"]
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec["template"]["spec"]


def title(manifest: Manifest) -> str:
    """As in `Deployment web`."""
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def _of_any(manifest: Manifest, namespace: str) -> Iterator[str]:
    if manifest["kind"] not in NAMESPACED:
        yield "a Secret in clear; seal it" if manifest["kind"] == "Secret" else "not a kind of an application"
    if manifest["metadata"].get("namespace") != namespace:
        yield f"not in namespace {namespace}"
    if manifest["kind"] == "ServiceAccount" and manifest.get("automountServiceAccountToken") is not False:
        yield "gives its token to every pod"
    if manifest["kind"] == "ConfigMap" and not re.search(r"-[a-z0-9]{10}$", manifest["metadata"]["name"]):
        yield "its name has no hash of what it holds; use configMapGenerator"


def _of_workload(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    spec = pod(manifest)
    yield from unrestricted(manifest)
    for container in _containers(spec):
        name = f"container {container['name']}"
        if unpinned(container["image"]):
            yield f"{name}: image {container['image']} has no version"
        if not _at(container, "securityContext", "readOnlyRootFilesystem"):
            yield f"{name} writes to its root"
    for problem in unbounded([manifest], ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"]):
        yield problem.partition(": ")[2]
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token of the cluster's API"
    if not any(
        m["kind"] == "ServiceAccount" and m["metadata"]["name"] == spec.get("serviceAccountName") for m in manifests
    ):
        yield "has no ServiceAccount of its own"
    for kind, name in _references(spec):
        if not any(m["kind"] == kind and m["metadata"]["name"] == name for m in manifests):
            yield f"there is no {kind} {name}"
    if manifest["kind"] in SERVING:
        yield from _of_server(manifest, manifests)


def _of_server(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    spec = pod(manifest)
    for container in spec["containers"]:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if probe not in container:
                yield f"container {container['name']} has no {probe}"
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    policies = [m for m in manifests if m["kind"] == "NetworkPolicy" and _selects(m["spec"]["podSelector"], labels)]
    if {kind for policy in policies for kind in policy["spec"].get("policyTypes", [])} != {"Ingress", "Egress"}:
        yield "no NetworkPolicy bounds what comes in and what goes out"
    if manifest["kind"] == "DaemonSet":
        return
    if not any(m["kind"] == "PodDisruptionBudget" and _selects(m["spec"]["selector"], labels) for m in manifests):
        yield "no PodDisruptionBudget selects it"
    if not spec.get("topologySpreadConstraints"):
        yield "its replicas may share one node"
    scaled = [
        m
        for m in manifests
        if m["kind"] == "HorizontalPodAutoscaler"
        and (m["spec"]["scaleTargetRef"]["kind"], m["spec"]["scaleTargetRef"]["name"])
        == (manifest["kind"], manifest["metadata"]["name"])
    ]
    if manifest["kind"] == "Deployment" and not scaled:
        yield "no HorizontalPodAutoscaler scales it"
    if scaled and "replicas" in manifest["spec"]:
        yield "its replicas are both its own and the HorizontalPodAutoscaler's"


def _containers(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


def _references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and SealedSecrets that the pods do not start without."""
    for container in _containers(spec):
        sources = [*container.get("envFrom", []), *(entry.get("valueFrom", {}) for entry in container.get("env", []))]
        for source in sources:
            for key, kind in (("configMap", "ConfigMap"), ("secret", "SealedSecret")):
                reference = source.get(f"{key}Ref") or source.get(f"{key}KeyRef")
                if reference and not reference.get("optional"):
                    yield kind, reference["name"]
    for volume in spec.get("volumes", []):
        if "configMap" in volume and not volume["configMap"].get("optional"):
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume and not volume["secret"].get("optional"):
            yield "SealedSecret", volume["secret"]["secretName"]


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key, {}) if isinstance(value, Mapping) else {}
    return value
