"""The lab's certificate authority, which only the lab's hosts trust, and the certificate of its HTTPS server."""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import LabError

CA_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)
BACKDATED = timedelta(hours=1)
"""A certificate is valid from before now, so that a host whose clock is a little behind accepts it."""


@dataclass(frozen=True)
class Authority:
    """A certificate authority: `certificate` is what hosts trust, in PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue(self, names: Iterable[str], addresses: Iterable[str], now: datetime | None = None) -> tuple[bytes, bytes]:
        """A server certificate for DNS `names` and IP `addresses`; gives (certificate PEM, key PEM)."""
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder("seedbed lab", self.certificate.subject, key, SERVER_LIFETIME, now)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)


def ensure_authority(lab_dir: Path, lab: str | None = None) -> Authority:
    """The lab's authority from `ca.crt` and `ca.key` in `lab_dir`; made for `lab` (its folder's name) when missing.

    The two files are made together: with one of them missing both are made anew.

    Raises:
        LabError: a file is there but is not what it should be.
    """
    certificate_file, key_file = lab_dir / "ca.crt", lab_dir / "ca.key"
    if certificate_file.exists() and key_file.exists():
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except ValueError as error:
            raise LabError(_damaged(lab_dir)) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
            raise LabError(_damaged(lab_dir))
        return Authority(certificate, key)
    authority = create_authority(lab or lab_dir.name)
    lab_dir.mkdir(parents=True, exist_ok=True)
    write_private(key_file, _key_pem(authority.key))
    certificate_file.write_text(authority.pem)
    return authority


def create_authority(lab: str, now: datetime | None = None) -> Authority:
    """A new self-signed authority named after the lab."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(f"seedbed lab {lab}")
    certificate = (
        _builder(f"seedbed lab {lab}", subject, key, CA_LIFETIME, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def write_private(path: Path, data: bytes) -> None:
    """Write `path` so that only its owner can ever read it: by a new file of mode 0600 that takes its place."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    new.replace(path)


def _builder(
    common_name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, lifetime: timedelta, now: datetime | None
) -> x509.CertificateBuilder:
    start = (now or datetime.now(UTC)) - BACKDATED
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _damaged(lab_dir: Path) -> str:
    return (
        f"{lab_dir}: ca.crt and ca.key are damaged or do not belong together."
        " Hosts trust this authority from their creation: take the lab down and make it anew."
    )
