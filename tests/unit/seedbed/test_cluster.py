import pytest

from seedbed.cluster import Node, nodes, parse_node, table

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


def test_the_nodes_of_a_cluster_come_by_name(fake, api):
    for name in ("server-a-1", "agent-a-1"):
        fake.objects[f"/api/v1/nodes/{name}"] = {**SERVER, "metadata": {"name": name}}
    assert [node.name for node in nodes(api)] == ["agent-a-1", "server-a-1"]
