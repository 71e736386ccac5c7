"""A stack's identity: every key, certificate and token that outlives its machines and its Pulumi state.

`seedbed init` makes one and stores it in the stack's configuration, so state can be lost and the cluster still
rebuilt as itself (design rule 2). Everything a machine needs is derived from it without a clock or a random number;
only `generate` and `client_certificate` use those.
"""

import base64
import datetime
import hashlib
import json
import secrets
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

ADMIN_GROUP = "seedbed:admins"
"""The group of the admin certificates. A ClusterRoleBinding that k3s deploys makes it cluster-admin; deleting that
binding revokes every certificate at once."""

CA_YEARS = 20
SEALING_YEARS = 10

# The files that k3s takes from server/tls when they are there before its first start.
# Source: https://docs.k3s.io/cli/certificate#using-custom-ca-certificates
_CAS = {
    "server-ca": "seedbed k3s server CA",
    "client-ca": "seedbed k3s client CA",
    "request-header-ca": "seedbed k3s request header CA",
    "etcd/server-ca": "seedbed etcd server CA",
    "etcd/peer-ca": "seedbed etcd peer CA",
}
CA_FILES = frozenset(f"{name}.{kind}" for name in _CAS for kind in ("crt", "key")) | {"service.key"}


class IdentityError(Exception):
    """The identity is missing, unreadable or incomplete; the message says which and what to do."""


@dataclass(frozen=True)
class SshKey:
    """An ed25519 key pair for SSH.

    `public` is `ssh-ed25519 AAAA…` without a comment, the form that `connection.hostKey` takes; `private` is
    OpenSSH's own PEM.
    """

    public: str
    private: str


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class KeyPair(_Model):
    """A PEM certificate and the PEM key that belongs to it."""

    crt: str
    key: str


class Identity(_Model):
    """See the module.

    `files` maps names below k3s's `server/tls` to PEM text; `host_key_seed` is 32 bytes in base64; `operator_key` is
    the OpenSSH private key that logs in to machines.
    """

    version: Literal[1] = 1
    host_key_seed: str
    operator_key: str
    server_token: str
    agent_token: str
    files: dict[str, str]
    admin: KeyPair
    sealing_keys: tuple[KeyPair, ...]

    @staticmethod
    def from_json(text: str, where: str) -> "Identity":
        """Parse what `to_json` wrote; `where` names the place in the error, which never quotes the content."""
        try:
            identity = Identity.model_validate_json(text)
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors(include_input=False)
            )
            raise IdentityError(f"{where} does not hold an identity ({problems}); restore it from its escrow") from None
        missing = sorted(CA_FILES - set(identity.files))
        if missing:
            raise IdentityError(f"{where} lacks {', '.join(missing)}; restore it from its escrow")
        return identity

    @staticmethod
    def from_file(path: Path) -> "Identity":
        """Read an identity file.

        Raises `IdentityError` when it is missing or unreadable.
        """
        try:
            return Identity.from_json(path.read_text(), str(path))
        except FileNotFoundError:
            raise IdentityError(
                f"identity file {path} does not exist; the lab makes it: run `seedbed lab up` (or `make up`)"
            ) from None
        except OSError as error:
            raise IdentityError(f"identity file {path} cannot be read: {error.strerror}") from None

    def to_json(self) -> str:
        """One line of JSON; all of it is secret."""
        return self.model_dump_json(by_alias=True)

    def host_key(self, full_name: str) -> SshKey:
        """The SSH host key of one machine generation, the same every time it is asked for."""
        return self._derived(f"seedbed ssh host key {full_name}")

    def deploy_key(self, number: int) -> SshKey:
        """The SSH key that reads the repository; each number gives another, so that one that leaked can be replaced."""
        return self._derived(f"seedbed deploy key {number}")

    def with_new_sealing_key(self) -> "Identity":
        """The same with one more sealing key, the last, whose certificate begins after all others: the controller then
        seals with it, and opens with all."""
        latest = max(x509.load_pem_x509_certificate(k.crt.encode()).not_valid_before_utc for k in self.sealing_keys)
        return self.model_copy(update={"sealing_keys": (*self.sealing_keys, _sealing_key(latest))})

    def _derived(self, purpose: str) -> SshKey:
        seed = HKDF(hashes.SHA256(), 32, salt=None, info=purpose.encode()).derive(base64.b64decode(self.host_key_seed))
        return _openssh(ed25519.Ed25519PrivateKey.from_private_bytes(seed))

    @property
    def operator_public_key(self) -> str:
        """The public half of the key that logs in to machines, for their `authorized_keys`."""
        key = serialization.load_ssh_private_key(self.operator_key.encode(), None)
        return key.public_key().public_bytes(*_OPENSSH_PUBLIC).decode()

    @property
    def operator_key_pkcs8(self) -> str:
        """The key that logs in to machines in a third of the length, for states that hold it many times.

        Go's and asyncssh's SSH read it (RFC 5958), OpenSSH's own programs do not.
        """
        key = serialization.load_ssh_private_key(self.operator_key.encode(), None)
        return key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def join_token(self, role: Literal["server", "node"]) -> str:
        """The secure form of the server's or the agents' token, which pins the cluster's CA.

        For a bundle of one certificate the hash is that of the PEM file's bytes.
        Source: k3s `pkg/clientaccess/token.go`, https://docs.k3s.io/cli/token
        """
        digest = hashlib.sha256(self.files["server-ca.crt"].encode()).hexdigest()
        password = self.server_token if role == "server" else self.agent_token
        return f"K10{digest}::{role}:{password}"

    def client_certificate(self, common_name: str, lifetime: datetime.timedelta) -> KeyPair:
        """A new admin client certificate, made here and now: valid from five minutes ago for `lifetime`."""
        return _client_certificate(self.files, common_name, lifetime)


def kubeconfig(identity: Identity, client: KeyPair, api_url: str, name: str) -> str:
    """A kubeconfig (JSON is YAML, here on one line) for `client` against `api_url`, its context called `name`."""

    def b64(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": name,
                    "cluster": {
                        "server": api_url,
                        "certificate-authority-data": b64(identity.files["server-ca.crt"]),
                    },
                }
            ],
            "users": [
                {
                    "name": f"{name}-admin",
                    "user": {"client-certificate-data": b64(client.crt), "client-key-data": b64(client.key)},
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin"}}],
            "current-context": name,
        },
        separators=(",", ":"),
    )


def generate() -> Identity:
    """A new identity; takes a few seconds for its RSA keys."""
    files: dict[str, str] = {}
    for name, common_name in _CAS.items():
        key = ec.generate_private_key(ec.SECP256R1())
        files[f"{name}.crt"] = _certificate_authority(key, common_name)
        files[f"{name}.key"] = _pem(key)
    files["service.key"] = _pem(rsa.generate_private_key(65537, 2048))
    operator = ed25519.Ed25519PrivateKey.generate()
    return Identity(
        host_key_seed=base64.b64encode(secrets.token_bytes(32)).decode(),
        operator_key=_openssh(operator).private,
        server_token=secrets.token_hex(24),
        agent_token=secrets.token_hex(24),
        files=files,
        admin=_client_certificate(files, "seedbed-admin", _years(CA_YEARS)),
        sealing_keys=(_sealing_key(),),
    )


_OPENSSH_PUBLIC = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


def _openssh(key: ed25519.Ed25519PrivateKey) -> SshKey:
    """OpenSSH's private key format with check bytes taken from the key itself.

    The library draws them at random, which would make a machine's user data differ from preview to preview.
    Source: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key
    """

    def string(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    seed = key.private_bytes_raw()
    public = key.public_key().public_bytes_raw()
    check = hashlib.sha256(b"check" + seed).digest()[:4]
    blob = string(b"ssh-ed25519") + string(public)
    private = check + check + blob + string(seed + public) + string(b"")
    private += bytes(range(1, 1 + -len(private) % 8))
    body = (
        b"openssh-key-v1\0"
        + string(b"none")
        + string(b"none")
        + string(b"")
        + struct.pack(">I", 1)
        + string(blob)
        + string(private)
    )
    text = base64.b64encode(body).decode()
    lines = [text[i : i + 70] for i in range(0, len(text), 70)]
    pem = "\n".join(["-----BEGIN OPENSSH PRIVATE KEY-----", *lines, "-----END OPENSSH PRIVATE KEY-----", ""])
    return SshKey(public=f"ssh-ed25519 {base64.b64encode(blob).decode()}", private=pem)


def _years(years: int) -> datetime.timedelta:
    return datetime.timedelta(days=365 * years)


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


def _builder(
    subject: x509.Name, lifetime: datetime.timedelta, *, not_before: datetime.datetime | None = None
) -> x509.CertificateBuilder:
    # Five minutes back: the machine that makes the certificate and the one that checks it need not agree to the second.
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    if not_before is not None:
        start = max(start, not_before)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_authority(key: ec.EllipticCurvePrivateKey, common_name: str) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        _builder(name, _years(CA_YEARS))
        .issuer_name(name)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        # k3s compares a leaf's authority key id with this one to decide whether the leaf is still its own.
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _client_certificate(files: Mapping[str, str], common_name: str, lifetime: datetime.timedelta) -> KeyPair:
    ca = x509.load_pem_x509_certificate(files["client-ca.crt"].encode())
    ca_key = serialization.load_pem_private_key(files["client-ca.key"].encode(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise IdentityError("client-ca.key is not an elliptic-curve key; restore the identity from its escrow")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ADMIN_GROUP),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    signer: CertificateIssuerPrivateKeyTypes = ca_key
    certificate = (
        _builder(subject, lifetime)
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    return KeyPair(crt=certificate.public_bytes(serialization.Encoding.PEM).decode(), key=_pem(key))


def _sealing_key(after: datetime.datetime | None = None) -> KeyPair:
    """As sealed-secrets' own: RSA 4096, self-signed, here for ten years because kubeseal refuses an expired one.

    It begins later than `after`, to the second that certificates count in.
    """
    key = rsa.generate_private_key(65537, 4096)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secret")])
    later = None if after is None else after + datetime.timedelta(seconds=1)
    certificate = (
        _builder(name, _years(SEALING_YEARS), not_before=later)
        .issuer_name(name)
        .public_key(key.public_key())
        .sign(key, hashes.SHA256())
    )
    return KeyPair(crt=certificate.public_bytes(serialization.Encoding.PEM).decode(), key=_pem(key))
