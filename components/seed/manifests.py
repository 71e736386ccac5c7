"""The objects that Pulumi keeps in the cluster, as pure functions: what ArgoCD must be told before git can tell it."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

ARGOCD = "argocd"
"""ArgoCD's namespace."""

SEALED_SECRETS = "kube-system"
"""The controller's namespace, where kubeseal looks for it."""

ARGO_API = "argoproj.io/v1alpha1"
IN_CLUSTER = "https://kubernetes.default.svc"

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """Where ArgoCD reads the tree: `path` in the repository `url` at `revision`.

    `private_key` is the deploy key in OpenSSH's format, `known_hosts` the lines that the host's key is compared with.
    """

    url: str
    revision: str
    path: str
    private_key: str
    known_hosts: str


def sealing_key_name(certificate: str) -> str:
    """The name of the Secret for a sealing key: it follows from the certificate, so adding one renames none."""
    return f"sealed-secrets-key-{certificate_sha256(certificate)[:12]}"


def certificate_sha256(certificate: str) -> str:
    """The digest of a certificate's DER form, in hex."""
    der = x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)
    return hashlib.sha256(der).hexdigest()


def sealing_key(certificate: str, key: str) -> Manifest:
    """A key pair as the sealed-secrets controller reads it when it starts; all that are labelled so open, the newest seals.

    Source: https://github.com/bitnami/sealed-secrets#manual-key-management-advanced
    """
    return {
        "metadata": {
            "name": sealing_key_name(certificate),
            "namespace": SEALED_SECRETS,
            "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
        },
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": _base64(certificate), "tls.key": _base64(key)},
    }


def namespace(name: str, pod_security: str) -> Manifest:
    """A namespace whose pods have to keep to a Pod Security Standard.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    modes = ("enforce", "warn")
    return {
        "metadata": {"name": name, "labels": {f"pod-security.kubernetes.io/{mode}": pod_security for mode in modes}}
    }


def credential(repository: Repository) -> Manifest:
    """Source: https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/#repositories"""
    return {
        "metadata": {
            "name": "seedbed-repository",
            "namespace": ARGOCD,
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "type": "Opaque",
        "data": {
            "type": _base64("git"),
            "url": _base64(repository.url),
            "sshPrivateKey": _base64(repository.private_key),
        },
    }


def known_hosts(repository: Repository) -> Manifest:
    """What `k8s/base/argocd` mounts over ArgoCD's own list of hosts."""
    return {
        "metadata": {"name": "seedbed-known-hosts", "namespace": ARGOCD},
        "data": {"ssh_known_hosts": repository.known_hosts},
    }


def projects(repository: Repository, environments: Sequence[str]) -> dict[str, Manifest]:
    """`platform` may do everything, `apps` only what an application needs in the namespaces of the environments."""
    everything = [{"group": "*", "kind": "*"}]
    return {
        "platform": {
            "metadata": {"name": "platform", "namespace": ARGOCD},
            "spec": {
                "description": "What the cluster itself is made of",
                "sourceRepos": [repository.url],
                "destinations": [{"server": IN_CLUSTER, "namespace": "*"}],
                "clusterResourceWhitelist": everything,
            },
        },
        "apps": {
            "metadata": {"name": "apps", "namespace": ARGOCD},
            "spec": {
                "description": "What runs in the environments of this cluster, and nothing cluster-wide",
                "sourceRepos": [repository.url],
                "destinations": [{"server": IN_CLUSTER, "namespace": name} for name in environments],
                "clusterResourceWhitelist": [],
            },
        },
    }


def root(repository: Repository, environments: Sequence[str]) -> Manifest:
    """The one Application that is not in git. Without a finalizer: deleting it deletes nothing else.

    Its source patches into each ApplicationSet of `base/root` where the repository is and which folders this cluster runs.
    """
    path = repository.path.rstrip("/")
    generator, source = "/spec/generators/0/git", "/spec/template/spec/source"
    everywhere = {
        f"{generator}/repoURL": repository.url,
        f"{generator}/revision": repository.revision,
        f"{source}/repoURL": repository.url,
        f"{source}/targetRevision": repository.revision,
    }
    folders: Mapping[str, list[dict[str, object]]] = {
        "base": [{"path": f"{path}/base/*"}, {"path": f"{path}/base/root", "exclude": True}],
        "apps": [{"path": f"{path}/apps/*/overlays/{environment}"} for environment in environments],
        "observability": [{"path": f"{path}/observability/*"}],
    }
    directories = {name: {f"{generator}/directories": value} for name, value in folders.items()}
    return {
        "metadata": {"name": "root", "namespace": ARGOCD},
        "spec": {
            "project": "platform",
            # What it was before is in git.
            "revisionHistoryLimit": 1,
            "source": {
                "repoURL": repository.url,
                "targetRevision": repository.revision,
                "path": f"{path}/base/root",
                "kustomize": {
                    "patches": [
                        {"target": {"kind": "ApplicationSet"}, "patch": _json_patch(everywhere)},
                        *(
                            {"target": {"kind": "ApplicationSet", "name": name}, "patch": _json_patch(values)}
                            for name, values in directories.items()
                        ),
                    ]
                },
            },
            "destination": {"server": IN_CLUSTER, "namespace": ARGOCD},
            "syncPolicy": {
                # Pruning waits for a confirmation (an annotation in base/root).
                "automated": {"prune": True, "selfHeal": True},
                "retry": {
                    "limit": -1,
                    "refresh": True,
                    "backoff": {"duration": "5s", "factor": 2, "maxDuration": "2m"},
                },
                "syncOptions": ["ServerSideApply=true"],
            },
        },
    }


def _json_patch(values: Mapping[str, object]) -> str:
    """Replaces the values at these paths (RFC 6902). Flow style keeps each operation on a line, without escapes in JSON."""
    return "".join(
        f"- {yaml.safe_dump({'op': 'replace', 'path': path, 'value': value}, default_flow_style=True, width=10**6)}"
        for path, value in values.items()
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
