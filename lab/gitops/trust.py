"""Argo CD's image for one lab: the same image, and one small layer with the lab's certificate authority.

The server that makes manifests downloads what kustomizations name (raw.githubusercontent.com, github.com). In the lab
these names lead to the lab itself, whose authority no image knows. It is so with the image of the real registry too,
because the lab stands before that as well.
"""

import hashlib
import json
import socket
import ssl
from pathlib import Path
from typing import Any

from lab import LabError, oci
from lab.gitops.images import ARGOCD_IMAGE
from lab.internet.archives import INDEX, MANIFEST, Archives, parse_reference
from lab.internet.names import api_host
from lab.internet.upstream import Dialler, UnreachableError, Upstream
from tools import cache
from tools.progress import Progress

AUTHORITY_FILE = "etc/ssl/certs/seedbed-lab.pem"
"""Go reads every file of this folder besides the bundle that upstream's image has there (crypto/x509, root_linux.go)."""

_DOCKER = "application/vnd.docker.distribution.manifest"
_ACCEPT = ", ".join((INDEX, f"{_DOCKER}.list.v2+json", MANIFEST, f"{_DOCKER}.v2+json"))
_LARGEST = 4 << 20


def write(destination: Path, parent: oci.Parent, authority: str) -> Path:
    """Write the image that trusts `authority` (PEM) to the OCI-layout tar `destination`, and give that back.

    To be served before the archive of `parent`, whose name it takes, and together with it, as it has none of its
    layers. The same input gives the same bytes, so nodes see a change only where there is one.
    """
    oci.extend(destination, parent, oci.Layer((oci.File(AUTHORITY_FILE, authority.encode()),)))
    return destination


def of_archive(archive: Path) -> oci.Parent:
    """Argo CD's image in the archive that `lab.gitops.images.ensure` made."""
    archives = Archives([archive])
    repository, tag = parse_reference(ARGOCD_IMAGE)
    image = archives.tag(repository, tag or "")
    manifest = archives.blob(image.digest) if image else None
    config = archives.blob(json.loads(manifest.read())["config"]["digest"]) if manifest else None
    if manifest is None or config is None:
        raise LabError(f"{archive} does not hold {ARGOCD_IMAGE}: remove its folder and try again")
    return oci.Parent(ARGOCD_IMAGE, manifest.read(), config.read())


def of_registry(progress: Progress) -> oci.Parent:
    """Argo CD's image of the real registry: manifest and configuration, some kilobytes, kept in the cache.

    Raises LabError where the registry cannot be reached or has no image for this machine.
    """

    def make(folder: Path) -> None:
        upstream = Upstream(Dialler(_resolve, own_address="", context=ssl.create_default_context()))
        with progress.phase(f"manifest of {ARGOCD_IMAGE}"):
            parent = download(upstream)
        (folder / "manifest.json").write_bytes(parent.manifest)
        (folder / "config.json").write_bytes(parent.config)

    folder = cache.entry("argocd-manifest", cache.digest([ARGOCD_IMAGE, oci.architecture()]), make)
    return oci.Parent(ARGOCD_IMAGE, (folder / "manifest.json").read_bytes(), (folder / "config.json").read_bytes())


def download(upstream: Upstream) -> oci.Parent:
    """The same, asked of `upstream` now."""
    repository, tag = parse_reference(ARGOCD_IMAGE)
    place = (upstream, api_host(repository.registry), f"/v2/{repository.path}")
    manifest = _get(*place, "manifests", tag or "")
    content = _read(manifest)
    if "manifests" in content:
        manifest = _get(*place, "manifests", _for_this_machine(content))
        content = _read(manifest)
    return oci.Parent(ARGOCD_IMAGE, manifest, _get(*place, "blobs", content["config"]["digest"]))


def _for_this_machine(index: dict[str, Any]) -> str:
    for entry in index["manifests"]:
        platform = entry.get("platform", {})
        if (platform.get("os"), platform.get("architecture")) == ("linux", oci.architecture()):
            return str(entry["digest"])
    raise LabError(f"there is no {ARGOCD_IMAGE} for {oci.architecture()}")


def _get(upstream: Upstream, host: str, path: str, what: str, reference: str) -> bytes:
    try:
        response = upstream.get(host, f"{path}/{what}/{reference}", {"Accept": _ACCEPT})
        try:
            body = response.body.read(_LARGEST)
        finally:
            response.close()
    except (UnreachableError, OSError) as error:
        raise LabError(f"{ARGOCD_IMAGE}: {host} cannot be reached: {error}. Try again once it can.") from error
    if response.status != 200:
        raise LabError(f"{ARGOCD_IMAGE}: {host} answers {response.status} for {what}/{reference}")
    if ":" in reference and reference != f"sha256:{hashlib.sha256(body).hexdigest()}":
        raise LabError(f"{ARGOCD_IMAGE}: {host} sent something else for {what}/{reference}. Try again.")
    return body


def _read(manifest: bytes) -> dict[str, Any]:
    try:
        content = json.loads(manifest)
    except ValueError as error:
        raise LabError(f"{ARGOCD_IMAGE}: what the registry sent for its manifest is not JSON") from error
    return dict(content)


def _resolve(host: str) -> list[str]:
    """Addresses by this machine's own resolver."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, 443, socket.AF_INET, socket.SOCK_STREAM)]
