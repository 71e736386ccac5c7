"""The certificate authorities that a host trusts beside those of its image.

They are on its disk before it first boots, as ``update-ca-certificates`` would leave them: cloud-init's ``ca_certs``
runs that at every host's first boot, a second in which nobody can log in.
"""

from collections.abc import Sequence
from pathlib import Path

from lab import files, shell

CERTS = "etc/ssl/certs"
BUNDLE = f"{CERTS}/ca-certificates.crt"
LOCAL = "usr/local/share/ca-certificates"


def write(upper: Path, base: Path, authorities: Sequence[str]) -> None:
    """Add ``authorities`` (PEM texts) to what the image ``base`` trusts, in the upper layer of a host."""
    if not authorities:
        return
    bundle = (base / BUNDLE).read_text()
    for number, pem in enumerate(authorities, 1):
        name = f"seedbed-lab-{number}"
        pem = pem.strip() + "\n"
        bundle += pem
        files.put(upper / LOCAL / f"{name}.crt", pem)
        files.folder(upper / CERTS)
        (upper / CERTS / f"{name}.pem").symlink_to(f"/{LOCAL}/{name}.crt")
        # What OpenSSL looks for in a folder. See openssl-rehash(1).
        digest = shell.run("chroot", str(base), "openssl", "x509", "-noout", "-hash", stdin=pem).strip()
        _free(upper, base, digest).symlink_to(f"{name}.pem")
    files.put(upper / BUNDLE, bundle)


def _free(upper: Path, base: Path, digest: str) -> Path:
    """The first name for the digest of a subject that no other certificate has."""
    for number in range(100):
        link = f"{CERTS}/{digest}.{number}"
        if not (upper / link).is_symlink() and not (base / link).is_symlink():
            return upper / link
    raise AssertionError(digest)
