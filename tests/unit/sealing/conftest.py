"""Sealing keys and a stack's tree with SealedSecrets in it, all made for the test."""

import datetime

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from stacks.identity import KeyPair


def key_pair(begins: str, ends: str = "2100-01-01") -> KeyPair:
    """As an identity's sealing key, but of 2048 bits, which are made in a moment."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secret")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.fromisoformat(begins))
        .not_valid_after(datetime.datetime.fromisoformat(ends))
        .public_key(key.public_key())
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return KeyPair(crt=certificate.public_bytes(serialization.Encoding.PEM).decode(), key=pem.decode())


@pytest.fixture(scope="session")
def old() -> KeyPair:
    return key_pair("2020-01-01")


@pytest.fixture(scope="session")
def new() -> KeyPair:
    return key_pair("2022-01-01")


@pytest.fixture(scope="session")
def stranger() -> KeyPair:
    return key_pair("2021-01-01")


@pytest.fixture
def secret():
    """A Secret's manifest with other metadata and fields as they are given."""

    def make(*, name="web", namespace="dev", labels=None, annotations=None, **fields):
        given = {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations}
        metadata = {field: value for field, value in given.items() if value is not None}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            **(fields or {"stringData": {"word": "hush"}}),
        }

    return make


@pytest.fixture
def write(tmp_path):
    """Puts a file, given as text or as manifests, into a tree; gives back the file."""

    def into(path, *content):
        file = tmp_path / "k8s" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = content[0] if isinstance(content[0], str) else yaml.safe_dump_all(content, sort_keys=False, width=10_000)
        file.write_bytes(text.encode())
        return file

    return into


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "k8s"
    folder.mkdir(exist_ok=True)
    return folder
