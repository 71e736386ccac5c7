"""Node objects against what their machines were paved as: only what the record has must be there, with that value."""

from typing import Any

import pytest

from components.remote.session import Login
from seedbed.drift.nodes import differences, strangers
from seedbed.drift.state import Paved

RECORD = {
    "role": "agent",
    "k3s.version": "v1.34.2+k3s1",
    "labels": {"disk": "fast"},
    "taints": ["only=web:NoSchedule", "plain:NoExecute"],
}


def paved(name: str = "agent-a-1", address: str | None = "10.0.0.21", **record: Any) -> Paved:
    login = Login(machine=name, address="203.0.113.7", port=22, user="root", host_key="ssh-ed25519 AAAA")
    return Paved(login=login, record=RECORD | record, address=address)


def node(**changed: Any) -> dict[str, Any]:
    """A node as Kubernetes and k3s leave it, with labels and taints of theirs."""
    labels = {"disk": "fast", "kubernetes.io/os": "linux", **changed.get("labels", {})}
    taints = [
        {"key": "only", "value": "web", "effect": "NoSchedule"},
        {"key": "plain", "effect": "NoExecute"},
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
    ]
    return {
        "metadata": {"name": "agent-a-1", "labels": {k: v for k, v in labels.items() if v is not None}},
        "spec": {"taints": changed.get("taints", taints)},
        "status": {
            "nodeInfo": {"kubeletVersion": changed.get("version", "v1.34.2+k3s1")},
            "addresses": [{"type": "InternalIP", "address": changed.get("address", "10.0.0.21")}],
            "conditions": [{"type": "Ready", "status": changed.get("ready", "True")}, *changed.get("conditions", [])],
        },
    }


def test_what_others_add_to_a_node_is_no_drift() -> None:
    assert list(differences(paved(), node(labels={"team": "red", "topology.kubernetes.io/zone": "b"}))) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": {"disk": None}}, ["label disk is gone"]),
        ({"labels": {"disk": "slow"}}, ["label disk is slow, not fast"]),
        ({"taints": [{"key": "plain", "effect": "NoExecute"}]}, ["taint only=web:NoSchedule is gone"]),
        ({"version": "v1.35.0+k3s1"}, ["its kubelet is v1.35.0+k3s1, not v1.34.2+k3s1"]),
        ({"address": "10.0.0.99"}, ["its node has the address 10.0.0.99, not 10.0.0.21"]),
        ({"ready": "Unknown"}, ["its node is not Ready"]),
        ({"labels": {"node-role.kubernetes.io/control-plane": "true"}}, ["its node is a server's"]),
    ],
)
def test_what_the_record_has_must_be_there_with_its_value(changed: dict[str, Any], said: list[str]) -> None:
    assert list(differences(paved(), node(**changed))) == said


def test_a_machine_without_a_node_has_drifted() -> None:
    assert list(differences(paved(), None)) == ["it has no node in the cluster"]


@pytest.mark.parametrize(("status", "said"), [("True", []), ("False", ["its member of etcd does not vote"])])
def test_a_server_votes(status: str, said: list[str]) -> None:
    server = node(
        labels={"node-role.kubernetes.io/control-plane": "true"}, conditions=[{"type": "EtcdIsVoter", "status": status}]
    )
    assert list(differences(paved(role="server"), server)) == said


def test_an_address_that_the_stack_has_not_told_yet_is_not_compared() -> None:
    assert list(differences(paved(address=None), node(address="10.0.0.99"))) == []


def test_nodes_of_no_machine_are_named() -> None:
    assert strangers({"agent-a-1": {}, "stray-1": {}}, {"agent-a-1": paved()}) == ["stray-1"]
