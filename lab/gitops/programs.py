"""The programs of the seed, each built from its own Go module in a folder beside this file."""

from pathlib import Path

from tools import gobuild
from tools.progress import Progress

ARGOCD_VERSION = "v3.5.1"
DEX_VERSION = "v2.45.0"
REDIS_VERSION = "8.2.3"
HELM_VERSION = "v4.2.1"
KUSTOMIZE_VERSION = "v5.8.1"
SEALED_SECRETS_VERSION = "v0.40.0"
"""What the release v3.5.1 of Argo CD ships or names in its manifests, and the sealed-secrets of the seed.

The versions that are built are those of the go.mod files; a unit test compares them.
"""

COMMIT = "seedbed-lab"
"""What the programs say instead of the commit that they were built from."""

ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"

_HERE = Path(__file__).parent


def argocd(progress: Progress) -> Path:
    """Argo CD, all its servers in one program.

    Without its web interface, which is not in the module; and `gitops-engine`, which upstream takes from its own
    repository, is the nearest commit of that folder that is a module.
    """
    facts = {
        "version": ARGOCD_VERSION.removeprefix("v"),
        "gitTag": ARGOCD_VERSION,
        "gitCommit": COMMIT,
        "gitTreeState": "clean",  # else it would call itself v3.5.1+unknown
    }
    flags = [f"-X {ARGOCD_MODULE}/common.{name}={value}" for name, value in facts.items()]
    return _build("argocd", f"{ARGOCD_MODULE}/cmd", "argocd", flags, progress)


def argocd_module(progress: Progress) -> Path:
    """The folder of Argo CD's own sources: its manifests and its scripts. Read-only."""
    return gobuild.module_folder(_HERE / "argocd", ARGOCD_MODULE, progress=progress)


def helm(progress: Progress) -> Path:
    """Helm."""
    flags = [f"-X helm.sh/helm/v4/internal/version.version={HELM_VERSION}"]
    return _build("helm", "helm.sh/helm/v4/cmd/helm", "helm", flags, progress)


def kustomize(progress: Progress) -> Path:
    """Kustomize."""
    flags = [f"-X sigs.k8s.io/kustomize/api/provenance.version={KUSTOMIZE_VERSION}"]
    return _build("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", "kustomize", flags, progress)


def sealed_secrets_controller(progress: Progress) -> Path:
    """The controller of sealed-secrets."""
    return _sealed_secrets("controller", progress)


def kubeseal(progress: Progress) -> Path:
    """The command that seals, for tests: nothing that runs in the lab needs it."""
    return _sealed_secrets("kubeseal", progress)


def _sealed_secrets(command: str, progress: Progress) -> Path:
    flags = [f"-X main.VERSION={SEALED_SECRETS_VERSION.removeprefix('v')}"]
    return _build("sealed-secrets", f"github.com/bitnami/sealed-secrets/cmd/{command}", command, flags, progress)


def _build(module: str, package: str, name: str, flags: list[str], progress: Progress) -> Path:
    return gobuild.build(_HERE / module, package, name, " ".join(["-s", "-w", *flags]), progress=progress)
