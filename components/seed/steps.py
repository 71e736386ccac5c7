"""The steps on the first server: `seed` plants and proves the sealing keys, `synced` waits for ArgoCD."""

import base64
import gzip
import io
import re
import tarfile
from collections.abc import Mapping, Sequence

import yaml

from components.remote import script
from components.remote.script import Step, render

SCRIPTS = script.SCRIPTS / "seed"


def seed(
    *, machine: str, base: Mapping[str, bytes], certificate_sha256: str, keys: Sequence[str], ready_seconds: int
) -> Step:
    """`base` are the files of k8s/base by their paths in it: kustomizations of argocd and sealed-secrets, upstream.sha256.

    `certificate_sha256` is the digest of the newest sealing certificate's DER form, `keys` the names of the Secrets that
    hold the sealing keys; `ready_seconds` bounds the controller's start, which may be needed twice.
    """
    return render(
        SCRIPTS,
        "seed",
        {
            "NODE": machine,
            "MANIFESTS": archive(base),
            "CERTIFICATE": certificate_sha256,
            "KEYS": " ".join(keys),
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
    """A tar of the files, gzip, base64: the same for the same files. Lines that are comments of YAML stay behind."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            content = _without_comments(content) if name.endswith(".yaml") else content
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return base64.b64encode(gzip.compress(buffer.getvalue(), mtime=0)).decode()


def _without_comments(content: bytes) -> bytes:
    """The same data; where a line only looks like a comment, as inside a block of text, all of them stay."""
    bare = re.sub(rb"(?m)^ *#.*\n", b"", content)
    return bare if list(yaml.safe_load_all(bare)) == list(yaml.safe_load_all(content)) else content
