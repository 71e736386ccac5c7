import datetime

import pytest
from cryptography import x509

from seedbed import UserError, cluster
from seedbed.cluster import Node, parse_node, table

SERVER = {
    "metadata": {
        "name": "server-a-1",
        "labels": {"node-role.kubernetes.io/etcd": "true", "node-role.kubernetes.io/control-plane": "true"},
    },
    "status": {
        "nodeInfo": {"kubeletVersion": "v1.34.2+k3s1"},
        "addresses": [
            {"type": "Hostname", "address": "server-a-1"},
            {"type": "InternalIP", "address": "10.77.0.11"},
        ],
        "conditions": [{"type": "DiskPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
    },
}


def test_a_node_is_read_as_kubectl_shows_it():
    assert parse_node(SERVER) == Node("server-a-1", "control-plane,etcd", True, "v1.34.2+k3s1", "10.77.0.11")


@pytest.mark.parametrize("status", [{}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}])
def test_a_node_that_does_not_say_that_it_is_ready_is_not(status):
    node = parse_node({"metadata": {"name": "agent-a-1"}, "status": status})
    assert (node.ready, node.roles) == (False, "agent")


def test_the_table_is_aligned():
    lines = table([Node("a-1", "agent", False, "v1", "10.0.0.1"), Node("server-a-1", "etcd", True, "v1", "10.0.0.22")])
    assert [line.split()[1] for line in lines] == ["STATUS", "NotReady", "Ready"]
    assert len({line.index(line.split()[1]) for line in lines}) == 1


def test_an_api_that_is_down_is_named(identity):
    with pytest.raises(UserError, match=r"https://127\.0\.0\.1:9 does not answer"):
        cluster.nodes(identity, "https://127.0.0.1:9")


def test_the_certificate_names_who_asked_and_is_an_admin(identity, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "kim")
    monkeypatch.setattr("socket.gethostname", lambda: "a-very-long-name" * 8)
    client = cluster.short_lived(identity, datetime.timedelta(hours=1))
    certificate = x509.load_pem_x509_certificate(client.crt.encode())
    subject = {attribute.rfc4514_attribute_name: attribute.value for attribute in certificate.subject}
    assert subject["O"] == "seedbed:admins"
    assert subject["CN"].startswith("kim@a-very-long-name")
    assert len(subject["CN"]) == 64
    left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert left <= datetime.timedelta(hours=1)
