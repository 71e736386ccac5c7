"""Who reaches what: from another host of the network, through the load balancer, and from a pod."""

import urllib.request
from collections.abc import Iterator

import pytest

from lab.spec import HostSpec
from tests.lab.conftest import new_key
from tests.lab.rehearsed import AGENTS, INIT, SERVERS, Prod
from tests.lab.workload import Pod, assert_they_reach_each_other, deploy, probe
from tools.progress import Progress

METADATA = "http://169.254.169.254/metadata/v1/id"
PORTS = (22, 80, 443, 2379, 2380, 6443, 8080, 10250, 10257, 30080, 30443)
"""What somebody would try: all that listens on a node, and what the load balancer leads to."""


@pytest.fixture(scope="module")
def stranger(rehearsed: Prod) -> Iterator[str]:
    """A host in the same public network that is nobody's: no firewall of its own, and in no VPC."""
    name, address = "stranger", str(rehearsed.stack.subnet[150])
    rehearsed.stack.lab.add_host(HostSpec(name, address, new_key()[0]), Progress())
    rehearsed.stack.lab.wait_ready(name)
    yield name
    rehearsed.stack.lab.remove_host(name)


@pytest.fixture(scope="module")
def pods(rehearsed: Prod) -> list[Pod]:
    """Of a web server, on two machines."""
    return deploy(rehearsed.stack)


def open_ports(prod: Prod, host: str, address: str) -> set[int]:
    """Those of PORTS at which a connection from `host` is taken."""
    tries = " ".join(
        f"(timeout 2 bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>/dev/null && echo {port}) &" for port in PORTS
    )
    return {int(port) for port in prod.ssh(host, f"{tries} wait").split()}


def test_a_stranger_reaches_the_load_balancers_ports_and_nothing_of_any_machine(rehearsed: Prod, stranger: str) -> None:
    for machine in (*SERVERS, *AGENTS):
        assert open_ports(rehearsed, stranger, rehearsed.public(machine)) == set(), machine
    assert open_ports(rehearsed, stranger, rehearsed.balancer) == {80, 443, 6443}


def test_a_stranger_that_finds_a_way_to_private_addresses_is_known_by_its_own(rehearsed: Prod, stranger: str) -> None:
    """At DigitalOcean there is none. Here one link carries all networks, so a route is enough."""
    rehearsed.ssh(stranger, f"ip route replace {rehearsed.private(INIT)} dev eth0")
    assert open_ports(rehearsed, stranger, rehearsed.private(INIT)) == set()


def test_nodes_reach_the_clusters_ports_of_each_other(rehearsed: Prod) -> None:
    assert open_ports(rehearsed, AGENTS[0], rehearsed.private(SERVERS[1])) == {2379, 2380, 6443, 10250}


def test_the_web_arrives_in_the_cluster_through_the_load_balancer(rehearsed: Prod, pods: list[Pod]) -> None:
    with urllib.request.urlopen(f"http://{rehearsed.balancer}/", timeout=10) as reply:
        page = reply.read().decode()
    assert any(page.startswith(f"hello from {pod.name} ") for pod in pods), page


def test_pods_on_different_machines_reach_each_other(rehearsed: Prod, pods: list[Pod]) -> None:
    assert_they_reach_each_other(rehearsed.stack, pods)


def test_a_machine_reads_its_metadata_and_a_pod_on_it_does_not(rehearsed: Prod, pods: list[Pod]) -> None:
    for pod in pods:
        assert rehearsed.ssh(pod.host, f"curl --silent --fail --max-time 5 {METADATA}").strip().isdigit()
        command = f"timeout 5 k3s kubectl exec {pod.name} -- probe get {METADATA}"
        assert rehearsed.stack.lab.ssh(INIT, command, check=False).returncode != 0
        assert probe(rehearsed.stack, pod, "dns", "kubernetes.default.svc.cluster.local")  # it can ask others
