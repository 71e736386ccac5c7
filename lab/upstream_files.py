"""The files that `k8s/` names by URL, for hosts that cannot download them: out of Go modules, which go.sum verifies.

All are upstream's to the byte. Most are in a module as they are; sealed-secrets' `controller.yaml` is rendered as its
release does it, and has the digest that `k8s/base/upstream.sha256` pins.
"""

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from lab.gitops.programs import ARGOCD_MODULE, ARGOCD_VERSION, SEALED_SECRETS_VERSION
from lab.internet import mirror
from lab.payload import METRICS_SERVER_MODULE, METRICS_SERVER_VERSION
from tools import ToolError, cache, gobuild
from tools.download import file_sha256
from tools.process import run
from tools.progress import Progress

SEALED_SECRETS_MODULE = "github.com/bitnami/sealed-secrets"

INSTALL = f"https://raw.githubusercontent.com/argoproj/argo-cd/{ARGOCD_VERSION}/manifests/install.yaml"
CONTROLLER = f"https://{SEALED_SECRETS_MODULE}/releases/download/{SEALED_SECRETS_VERSION}/controller.yaml"

METRICS_SERVER_FILES = tuple(
    f"https://raw.githubusercontent.com/kubernetes-sigs/metrics-server/{METRICS_SERVER_VERSION}/manifests/base/{name}.yaml"
    for name in ("apiservice", "deployment", "rbac", "service")
)

URLS = (INSTALL, CONTROLLER, *METRICS_SERVER_FILES)

CONTROLLER_FIELDS = (
    *("account", "controller", "unsealKeyBinding", "unsealKeyRole", "unsealerRole", "crd", "service"),
    *("serviceProxierBinding", "serviceProxierRole", "service_metrics", "unsealerBinding"),
)
"""The objects of `controller.jsonnet` in the order that the release has them. A version of kubecfg gave it that keeps none:
it was found by the digest, and another release has another."""

RENDER_SECONDS = 60

_HERE = Path(__file__).parent
_GITOPS = _HERE / "gitops"
_DIGESTS = _HERE.parent / "k8s" / "base" / "upstream.sha256"


def publish(made: Path, serve: Path) -> dict[str, Path]:
    """Lay out what `ensure` made below `serve`, one folder a host, beside what is there; gives the folder of each host."""
    for url in URLS:
        mirror.publish(_place(serve, url), _place(made, url))
    return {host: serve / host for host in sorted({urlsplit(url).netloc for url in URLS})}


def ensure(progress: Progress) -> Path:
    """A folder of the cache with the files, each below the name of its host; made when missing.

    Raises ToolError where they cannot be had, or are not what upstream.sha256 says.
    """
    kubecfg = gobuild.build(_GITOPS / "kubecfg", ".", "kubecfg", "-s -w", progress=progress)
    digests = _DIGESTS.read_text()

    def make(folder: Path) -> None:
        argocd = gobuild.module_folder(_GITOPS / "argocd", ARGOCD_MODULE, progress=progress)
        sealed_secrets = gobuild.module_folder(_GITOPS / "sealed-secrets", SEALED_SECRETS_MODULE, progress=progress)
        metrics_server = gobuild.module_folder(_GITOPS / "metrics-server", METRICS_SERVER_MODULE, progress=progress)
        files = {INSTALL: argocd / "manifests" / "install.yaml"}
        files |= {url: metrics_server / "manifests" / "base" / Path(url).name for url in METRICS_SERVER_FILES}
        for url, source in files.items():
            _place(folder, url).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, _place(folder, url))  # without the mode: modules are read-only
        controller = _place(folder, CONTROLLER)
        controller.parent.mkdir(parents=True)
        controller.write_text(render_controller(kubecfg, sealed_secrets))
        check(folder, digests)

    modules = [path for name in ("argocd", "sealed-secrets", "metrics-server") for path in _module_files(name)]
    recipe: list[str | bytes] = [str(kubecfg), digests, *(path.read_bytes() for path in [*modules, Path(__file__)])]
    return cache.entry("upstream-files", cache.digest(recipe), make)


def render_controller(kubecfg: Path, sealed_secrets: Path) -> str:
    """sealed-secrets' `controller.yaml` as its Makefile and its release workflow make it."""
    image = f"docker.io/bitnami/sealed-secrets-controller:{SEALED_SECRETS_VERSION.removeprefix('v')}"
    variables = ["-V", f"CONTROLLER_IMAGE={image}", "-V", "IMAGE_PULL_POLICY="]
    source = str(sealed_secrets / "controller.jsonnet")
    return run([str(kubecfg), *variables, source, *CONTROLLER_FIELDS], f"rendering of {source}", timeout=RENDER_SECONDS)


def check(folder: Path, digests: str) -> None:
    """Compare the files of the folder with `digests`, lines of `<sha256>  <url>`; ToolError where one differs."""
    for line in digests.splitlines():
        sha256, url = line.split()
        file = _place(folder, url)
        if file.is_file() and file_sha256(file) != sha256:
            raise ToolError(
                f"{url}: the lab's copy is not what {_DIGESTS.name} says ({sha256}): have the lab make the version that"
                f" the tree names (the modules in {_GITOPS}, and {Path(__file__).name})"
            )


def _place(folder: Path, url: str) -> Path:
    parts = urlsplit(url)
    return folder / parts.netloc / parts.path.removeprefix("/")


def _module_files(name: str) -> list[Path]:
    return [_GITOPS / name / file for file in ("go.mod", "go.sum")]
