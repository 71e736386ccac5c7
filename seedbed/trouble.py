"""Why something that was deployed does not run, in the cluster's own words: from workloads, pods and SealedSecrets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from seedbed.kube import Api, items, section

_WORKLOADS = {"DaemonSet": "daemonsets", "Deployment": "deployments", "StatefulSet": "statefulsets"}
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
        elif kind == "SealedSecret":
            said = _sealed(api.find(f"/apis/bitnami.com/v1alpha1/namespaces/{namespace}/sealedsecrets/{name}") or {})
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


def _sealed(item: Mapping[str, Any]) -> str:
    conditions: Iterable[Mapping[str, Any]] = items(section(item, "status").get("conditions"))
    failed = (c for c in conditions if c.get("type") == "Synced" and c.get("status") == "False")
    return next((str(condition.get("message") or "was not unsealed") for condition in failed), "")
