import datetime
import socket

import pytest
from cryptography import x509

from seedbed import kube
from seedbed.kube import BUSY_TRIES, Api, RefusedError, UnreachableError
from stacks.identity import kubeconfig

POD = "/api/v1/namespaces/dev/pods/web"


def test_an_object_is_read_and_changed_by_an_admin_who_says_who_it_is(fake, api, monkeypatch):
    fake.objects[POD] = {"metadata": {"name": "web", "labels": {"a": "1", "b": "2"}}}
    assert api.get(POD)["metadata"]["labels"] == {"a": "1", "b": "2"}
    api.patch(POD, {"metadata": {"labels": {"a": None, "c": "3"}}})
    assert fake.objects[POD]["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert {user["organizationName"] for user in fake.users} == {"seedbed:admins"}
    assert all(user["commonName"].endswith(f"@{socket.gethostname()}"[:40]) for user in fake.users)


def test_what_is_not_there_is_none_or_an_empty_list(fake, api):
    assert api.find(POD) is None
    assert api.items("/api/v1/namespaces/dev/pods") == []
    fake.objects[POD] = {"metadata": {"name": "web"}}
    assert [pod["metadata"]["name"] for pod in api.items("/api/v1/namespaces/dev/pods")] == ["web"]


def test_a_refusal_says_what_the_api_says(api):
    with pytest.raises(RefusedError, match=f"{POD} not found") as refusal:
        api.get(POD)
    assert refusal.value.status == 404


@pytest.mark.parametrize(("busy", "let_in"), [(BUSY_TRIES - 1, True), (BUSY_TRIES, False)])
def test_an_api_that_is_busy_is_asked_again_and_not_for_ever(fake, api, busy, let_in):
    fake.objects[POD] = {"kind": "Pod"}
    fake.busy = busy
    if let_in:
        assert api.get(POD) == {"kind": "Pod"}
    else:
        with pytest.raises(RefusedError, match=r"storage is \(re\)initializing"):
            api.get(POD)


def test_an_api_that_is_down_is_named(identity):
    with pytest.raises(UnreachableError, match=r"https://127\.0\.0\.1:9 does not answer"):
        Api.of(identity, "https://127.0.0.1:9").get("/api/v1/nodes")


def test_a_cluster_of_another_identity_is_not_spoken_to(fake, identity):
    another_authority = identity.files["client-ca.crt"]
    stranger = Api(fake.url, another_authority, kube.short_lived(identity, kube.LIFETIME))
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        stranger.get("/api/v1/nodes")
    assert fake.asked == []


def test_a_kubeconfig_that_was_kept_lets_in(fake, identity):
    fake.objects[POD] = {"metadata": {"name": "web"}}
    client = kube.short_lived(identity, kube.LIFETIME)
    assert Api.of_kubeconfig(kubeconfig(identity, client, fake.url, "dev")).get(POD) == fake.objects[POD]


def test_the_certificate_names_who_asked_and_is_an_admin(identity, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "kim")
    monkeypatch.setattr("socket.gethostname", lambda: "a-very-long-name" * 8)
    client = kube.short_lived(identity, datetime.timedelta(hours=1))
    certificate = x509.load_pem_x509_certificate(client.crt.encode())
    subject = {attribute.rfc4514_attribute_name: attribute.value for attribute in certificate.subject}
    assert subject["O"] == "seedbed:admins"
    assert subject["CN"].startswith("kim@a-very-long-name")
    assert len(subject["CN"]) == 64
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left <= datetime.timedelta(hours=1)
