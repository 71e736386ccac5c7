"""The steps on the first server: `seed` plants, `sealing-keys` proves the keys, `synced` waits for ArgoCD."""

import base64
import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.remote.script import Step, render

SCRIPTS = Path(__file__).parent / "scripts"


def seed(*, machine: str, base: Mapping[str, bytes]) -> Step:
    """`base` are the files of k8s/base by their paths in it: kustomizations of argocd and sealed-secrets, upstream.sha256."""
    return render(SCRIPTS, "seed", {"NODE": machine, "MANIFESTS": archive(base)})


def sealing_keys(*, machine: str, certificate: str, secrets: Sequence[str], ready_seconds: int) -> Step:
    """`certificate` is the newest one in PEM, `secrets` the names of the Secrets that hold the keys."""
    return render(
        SCRIPTS,
        "sealing-keys",
        {
            "NODE": machine,
            "CERTIFICATE": "".join(line for line in certificate.splitlines() if not line.startswith("-----")),
            "KEYS": " ".join(secrets),
            "READY_SECONDS": str(ready_seconds),
        },
    )


def synced(*, machine: str, url: str, sync_seconds: int, health_seconds: int) -> Step:
    """`url` is the repository's address, for what the step says."""
    return render(
        SCRIPTS,
        "synced",
        {"NODE": machine, "URL": url, "SYNC_SECONDS": str(sync_seconds), "HEALTH_SECONDS": str(health_seconds)},
    )


def archive(files: Mapping[str, bytes]) -> str:
    """A tar of the files, gzip, base64: the same for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return base64.b64encode(gzip.compress(buffer.getvalue(), mtime=0)).decode()
