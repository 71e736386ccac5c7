"""The identity: complete, deterministic where it must be, and accepted by the tools that read it."""

import datetime
import hashlib
import json
import subprocess

import asyncssh
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from stacks.identity import ADMIN_GROUP, CA_FILES, Identity, IdentityError, kubeconfig


def test_it_survives_being_written_and_read(identity):
    assert Identity.from_json(identity.to_json(), "here") == identity


def test_it_has_every_file_that_k3s_takes(identity):
    assert set(identity.files) == CA_FILES
    assert len(CA_FILES) == 11


def test_a_host_key_is_the_same_every_time_and_another_for_every_generation(identity):
    assert identity.host_key("server-a-1") == identity.host_key("server-a-1")
    assert identity.host_key("server-a-1") != identity.host_key("server-a-2")


def test_openssh_reads_a_derived_host_key(identity, tmp_path):
    key = identity.host_key("agent-a-1")
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(key.private)
    shown = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True, timeout=10)
    assert shown.stdout.strip() == key.public
    loaded = serialization.load_ssh_private_key(key.private.encode(), None)
    public = loaded.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert public.decode() == key.public


def test_the_join_token_carries_the_hash_of_the_ca_file(identity):
    digest = hashlib.sha256(identity.files["server-ca.crt"].encode()).hexdigest()
    assert identity.join_token("server") == f"K10{digest}::server:{identity.server_token}"
    assert identity.join_token("node") == f"K10{digest}::node:{identity.agent_token}"


def test_a_client_certificate_is_signed_by_the_client_ca_for_as_long_as_asked(identity):
    pair = identity.client_certificate("someone", datetime.timedelta(hours=2))
    certificate = x509.load_pem_x509_certificate(pair.crt.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(identity.files["client-ca.crt"].encode()))
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == datetime.timedelta(hours=2)
    assert f"O={ADMIN_GROUP}" in certificate.subject.rfc4514_string()


def test_every_authority_has_a_name_of_its_own(identity):
    names = {
        x509.load_pem_x509_certificate(text.encode()).subject.rfc4514_string()
        for name, text in identity.files.items()
        if name.endswith(".crt")
    }
    assert len(names) == 5


def test_a_kubeconfig_points_at_the_api_with_the_clusters_ca(identity):
    text = kubeconfig(identity, identity.admin, "https://10.0.0.1:6443", "dev")
    assert json.loads(text)["clusters"][0]["cluster"]["server"] == "https://10.0.0.1:6443"


def test_an_error_never_quotes_the_identity(identity):
    document = json.loads(identity.to_json())
    document["serverToken"] = [identity.server_token]
    with pytest.raises(IdentityError) as caught:
        Identity.from_json(json.dumps(document), "here")
    assert identity.server_token not in str(caught.value)
    assert "serverToken" in str(caught.value)


def test_a_missing_identity_file_says_who_makes_it(tmp_path):
    with pytest.raises(IdentityError, match="seedbed lab up"):
        Identity.from_file(tmp_path / "identity.json")


def test_each_number_is_another_deploy_key_and_none_is_a_machines(identity):
    first, second = identity.deploy_key(1), identity.deploy_key(2)
    assert identity.deploy_key(1) == first
    assert first.public.startswith("ssh-ed25519 ")
    assert "OPENSSH PRIVATE KEY" in first.private
    assert len({first.public, second.public, identity.host_key("1").public, identity.operator_public_key}) == 4


def test_the_short_form_of_the_operators_key_is_the_same_key(identity):
    short = serialization.load_pem_private_key(identity.operator_key_pkcs8.encode(), None)
    public = short.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    assert public.decode() == identity.operator_public_key
    assert (
        asyncssh.import_private_key(identity.operator_key_pkcs8).export_public_key().decode().split()[:2]
        == (identity.operator_public_key.split()[:2])
    )
    assert len(identity.operator_key_pkcs8) < len(identity.operator_key) / 3
