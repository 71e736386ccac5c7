"""Why something that was deployed does not run, in the cluster's own words: from pods, and from objects' conditions."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from seedbed.kube import Api, items, section

_WORKLOADS = {"DaemonSet": "daemonsets", "Deployment": "deployments", "StatefulSet": "statefulsets"}
# Where a kind is, and the condition that says what is wrong when it is False. Sources: ArgoCD's own health checks (argo-cd
# v3.5.1, gitops-engine/pkg/health and resource_customizations) and the kinds' reference.
_CONDITIONS = {
    "APIService": ("/apis/apiregistration.k8s.io/v1/apiservices/{name}", "Available"),
    "HorizontalPodAutoscaler": (
        "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}",
        "ScalingActive",
    ),
    "SealedSecret": ("/apis/bitnami.com/v1alpha1/namespaces/{namespace}/sealedsecrets/{name}", "Synced"),
}
# The states of a pod that is merely not there yet.
_EARLY = {"ContainerCreating", "PodInitializing"}


def of(api: Api, resources: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with the first of an Application's `status.resources` that has something to say; "" where none has.

    Raises UserError as `Api.get` does.
    """
    for resource in resources:
        kind, namespace, name = (str(resource.get(key, "")) for key in ("kind", "namespace", "name"))
        said = ""
        if kind in _WORKLOADS:
            said = _workload(api, f"/apis/apps/v1/namespaces/{namespace}/{_WORKLOADS[kind]}/{name}", namespace)
        elif kind in _CONDITIONS:
            path, condition = _CONDITIONS[kind]
            said = _condition(api.find(path.format(namespace=namespace, name=name)) or {}, condition)
        elif section(resource, "health").get("status") in ("Degraded", "Missing"):
            said = str(section(resource, "health").get("message") or "")
        if said:
            return f"{kind} {name}: {said}"
    return ""


def _workload(api: Api, path: str, namespace: str) -> str:
    labels = section(api.find(path) or {}, "spec", "selector", "matchLabels")
    if not labels:
        return ""
    selector = quote(",".join(f"{key}={value}" for key, value in sorted(labels.items())))
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")
    return next(filter(None, map(pod, pods)), "")


def pod(item: Mapping[str, Any]) -> str:
    """What keeps a pod from running, as in `ImagePullBackOff: …`; "" where it runs or says nothing."""
    status = section(item, "status")
    for condition in items(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"{condition.get('reason', 'Pending')}: {condition.get('message', '')}"
    containers = [*items(status.get("initContainerStatuses")), *items(status.get("containerStatuses"))]
    return next(filter(None, map(_container, containers)), "")


def _container(status: Mapping[str, Any]) -> str:
    waiting = section(status, "state", "waiting")
    ended = section(status, "state", "terminated") or section(status, "lastState", "terminated")
    reason = str(waiting.get("reason") or "")
    if ended.get("reason") == "OOMKilled" and not status.get("ready"):
        return f"container {status.get('name')} was given too little memory (OOMKilled)"
    if not reason or reason in _EARLY:
        return ""
    return f"{reason}: {waiting.get('message') or _exit(ended)}".rstrip(": ")


def _exit(ended: Mapping[str, Any]) -> str:
    return f"it ended with exit code {ended['exitCode']}" if "exitCode" in ended else ""


def _condition(item: Mapping[str, Any], kind: str) -> str:
    for condition in items(section(item, "status").get("conditions")):
        if condition.get("type") == kind and condition.get("status") == "False":
            return str(condition.get("message") or condition.get("reason") or f"is not {kind}")
    return ""
