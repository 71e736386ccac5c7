"""ArgoCD's Applications as the command line shows them, and how to get into ArgoCD."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seedbed import trouble
from seedbed.kube import Api, columns, items, section

NAMESPACE = "argocd"
ROOT = "root"
APPLICATIONS = f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/applications"

REFRESH = "argocd.argoproj.io/refresh"
"""Asks for a look at git; ArgoCD takes it away with the status that the look gave.
Source: argo-cd v3.5.1, controller/appcontroller.go, persistReconciliationStatus."""

SYNCED = "Synced"
HEALTHY = "Healthy"
SHORT_REVISION = 7
MESSAGE_CHARACTERS = 300

# What every layer of ArgoCD puts in front of the one sentence that says what is wrong.
_LAYERS = re.compile(
    r"Failed to load target state: |failed to generate manifest for source \d+ of \d+: |rpc error: code = \w+ desc = "
)


@dataclass(frozen=True)
class Application:
    """One line of `argocd app list`.

    `namespace` is where it deploys to, `revision` the commit that it was last compared with, `message` why it is not
    Synced or Healthy, empty where ArgoCD does not say. `source` is repository and revision as its author wrote them,
    `resources` what it deployed, as `status.resources` lists it; `refreshing` says that a look at git is due.
    """

    name: str
    project: str
    namespace: str
    sync: str
    health: str
    revision: str
    message: str = ""
    source: tuple[str, str] = ("", "")
    refreshing: bool = False
    resources: tuple[Mapping[str, Any], ...] = field(default=(), repr=False, compare=False)

    @property
    def synced(self) -> bool:
        """The cluster is as git says."""
        return self.sync == SYNCED

    @property
    def healthy(self) -> bool:
        """What it deployed works."""
        return self.health == HEALTHY


def applications(api: Api) -> list[Application]:
    """All of them by name, the root first; none where there is no ArgoCD. Raises UserError as `Api.get` does."""
    found = map(parse, api.items(APPLICATIONS))
    return sorted(found, key=lambda application: (application.name != ROOT, application.name))


def explained(api: Api, found: Sequence[Application]) -> list[Application]:
    """The same; those that are not Healthy, and of which ArgoCD says no more, say what keeps them from running."""
    return [
        application
        if application.message or application.healthy
        else replace(application, message=plain(trouble.of(api, application.resources)))
        for application in found
    ]


def parse(item: Mapping[str, Any]) -> Application:
    """An Application object of the API, reduced."""
    metadata, spec, status = section(item, "metadata"), section(item, "spec"), section(item, "status")
    source = section(spec, "source")
    sync = section(status, "sync")
    return Application(
        name=str(metadata.get("name", "")),
        project=str(spec.get("project", "")),
        namespace=str(section(spec, "destination").get("namespace", "")),
        sync=str(sync.get("status") or "Unknown"),
        health=str(section(status, "health").get("status") or "Unknown"),
        revision=str(sync.get("revision") or ""),
        message=_message(spec, status),
        source=(str(source.get("repoURL", "")), str(source.get("targetRevision", ""))),
        refreshing=REFRESH in section(metadata, "annotations"),
        resources=tuple(items(status.get("resources"))),
    )


def table(found: Sequence[Application]) -> list[str]:
    """The Applications as lines of text with a heading."""
    rows: list[tuple[str, ...]] = [("APPLICATION", "PROJECT", "SYNC", "HEALTH", "REVISION", "MESSAGE")]
    rows += [(a.name, a.project, a.sync, a.health, a.revision[:SHORT_REVISION], a.message) for a in found]
    return columns(rows)


def how_to_reach(api: Api, kubeconfig: str) -> list[str]:
    """Lines that say how to get into ArgoCD with the kubeconfig of that name. The password is neither read nor shown."""
    kubectl = f"kubectl --kubeconfig {kubeconfig} -n {NAMESPACE}"
    settings = api.find(f"/api/v1/namespaces/{NAMESPACE}/configmaps/argocd-cm") or {}
    lines = [f"ArgoCD: {kubectl} port-forward svc/argocd-server 8443:443", "  then https://127.0.0.1:8443"]
    # Only this word switches the admin off. Source: argo-cd v3.5.1, util/settings/accounts.go
    if section(settings, "data").get("admin.enabled") == "false":
        return [*lines, "  the user admin is disabled (argocd-cm, admin.enabled): log in by single sign-on"]
    secret = f"{kubectl} get secret argocd-initial-admin-secret -o jsonpath='{{.data.password}}' | base64 -d"
    return [*lines, f"  user admin; this shows the password: {secret}"]


def _message(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    for condition in items(status.get("conditions")):
        kind = str(condition.get("type", ""))
        if kind.endswith("Error"):
            return plain(f"{kind}: {condition.get('message', '')}")
    if section(status, "sync").get("status") == SYNCED:
        return ""
    operation = section(status, "operationState")
    if operation.get("phase") in ("Failed", "Error") or operation.get("retryCount"):
        return plain(str(operation.get("message", "")))
    automated = section(spec, "syncPolicy").get("automated")
    if not isinstance(automated, dict) or automated.get("enabled") is False:
        return "is not synced of its own accord: syncPolicy.automated is off"
    return ""


def plain(message: str) -> str:
    """A message of ArgoCD's on one line, without the layers that it came through."""
    text = " ".join(_LAYERS.sub("", message).split())
    return text if len(text) <= MESSAGE_CHARACTERS else f"{text[: MESSAGE_CHARACTERS - 1]}…"
