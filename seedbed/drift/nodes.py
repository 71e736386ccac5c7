"""The cluster's Node objects, against what their machines were paved as."""

from collections.abc import Iterator, Mapping
from typing import Any

from seedbed.cluster import parse_node
from seedbed.drift.state import Paved
from seedbed.kube import items, section

VOTER = "EtcdIsVoter"
"""Source: https://github.com/k3s-io/k3s/blob/v1.34.2+k3s1/pkg/etcd/etcd.go (etcdStatusType)"""

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


def differences(paved: Paved, node: Mapping[str, Any] | None) -> Iterator[str]:
    """How a machine's node differs; None: it has none. What others add to a node is theirs."""
    if node is None:
        yield "it has no node in the cluster"
        return
    seen = parse_node(node)
    if not seen.ready:
        yield "its node is not Ready"
    if seen.version != paved.record["k3s.version"]:
        yield f"its kubelet is {seen.version}, not {paved.record['k3s.version']}"
    if paved.address is not None and seen.address != paved.address:
        yield f"its node has the address {seen.address or 'none'}, not {paved.address}"
    yield from _role(paved, node)
    yield from _labels(paved.record.get("labels") or {}, section(node, "metadata", "labels"))
    there = {_taint(taint) for taint in items(section(node, "spec").get("taints"))}
    for taint in sorted(set(map(_normal, paved.record.get("taints") or [])) - there):
        yield f"taint {taint} is gone"


def strangers(names: Mapping[str, Any], machines: Mapping[str, Paved]) -> list[str]:
    """Nodes of no machine that the state knows."""
    return sorted(names.keys() - machines.keys())


def _role(paved: Paved, node: Mapping[str, Any]) -> Iterator[str]:
    server = paved.record["role"] == "server"
    if (CONTROL_PLANE in section(node, "metadata", "labels")) != server:
        yield f"its node is {'no' if server else 'a'} server's"
    conditions = {str(one["type"]): str(one["status"]) for one in items(section(node, "status").get("conditions"))}
    if server and conditions.get(VOTER) != "True":
        yield "its member of etcd does not vote"


def _labels(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for key, value in sorted(wanted.items()):
        if key not in there:
            yield f"label {key} is gone"
        elif there[key] != str(value):
            yield f"label {key} is {there[key] or 'empty'}, not {value or 'empty'}"


def _taint(taint: Mapping[str, Any]) -> str:
    return _normal(f"{taint.get('key', '')}={taint.get('value') or ''}:{taint.get('effect', '')}")


def _normal(taint: str) -> str:
    """`key=:Effect` and `key:Effect` are the same."""
    return taint.replace("=:", ":")
