"""Machines that leave a cluster of one server: under load, dead, dying, and held back; and in the end that server itself."""

import threading
import urllib.request
from dataclasses import dataclass, field

import pytest

from tests.engine.harness import wait_until
from tests.lab.workload import PROBE

NODE_PORT = 30080

WEB = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  strategy: {{rollingUpdate: {{maxSurge: 1, maxUnavailable: 0}}}}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      nodeSelector: {{runs: web}}
      containers:
        - name: web
          image: "{PROBE}"
          args: [serve, ":8080"]
          readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
          # Long enough for every kube-proxy to have heard that nothing more goes to it.
          lifecycle: {{preStop: {{sleep: {{seconds: 4}}}}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: web}}
spec:
  minAvailable: 1
  selector: {{matchLabels: {{app: web}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  type: NodePort
  selector: {{app: web}}
  ports: [{{port: 80, targetPort: 8080, nodePort: {NODE_PORT}}}]
"""


@dataclass
class Load:
    """Requests one after the other, each on a connection of its own, until the end of the `with`."""

    url: str
    answers: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self):
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(20)

    def _ask(self):
        while not self._over.wait(0.02):
            if said := complaint(self.url):
                self.failures.append(f"after {self.answers} answers: {said}")
            else:
                self.answers += 1


def complaint(url):
    """Why what answers is not the app; empty where it is."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            said = reply.read(80)
        return "" if said.startswith(b"hello from web-") else f"another answer: {said!r}"
    except OSError as error:
        return repr(error)


STAYS = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      nodeSelector: {{kubernetes.io/hostname: {node}}}
      terminationGracePeriodSeconds: 0
      containers: [{{name: it, image: "{image}", args: [sleep]}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {name}}}
spec:
  minAvailable: 1
  selector: {{matchLabels: {{app: {name}}}}}
"""

SERVER = "server-a-1"
SHORTEST_DRAIN = 10


def stays(cluster, node):
    """Has something run on the node that nothing may evict; the name of its deployment and its budget."""
    name = f"stays-{node}"
    cluster.kubectl("apply", "-f", "-", stdin=STAYS.format(name=name, node=node, image=PROBE))
    cluster.kubectl("rollout", "status", f"deployment/{name}", "--timeout=80s")
    return name


@pytest.fixture(scope="module")
def cluster(cluster_of):
    def change(config):
        config["seedbed:machines"]["agent-a"]["labels"] = {"runs": "web"}

    made = cluster_of(servers=1, agents=5, change=change)
    # Dead when its test begins: the cluster takes its time to notice.
    made.lab.cut("agent-e-1")
    return made


@pytest.fixture(autouse=True)
def back_in_its_place(cluster):
    """A machine that a test had leave and that has not left, so that the next test finds what it would have found."""
    before = cluster.machines()
    yield
    missing = {name: machine for name, machine in before.items() if name not in cluster.machines()}
    there = cluster.nodes() if missing else {}
    back = {name: machine for name, machine in missing.items() if f"{name}-{machine.get('generation', 1)}" in there}
    if back:
        cluster.stack.change(lambda config: config["seedbed:machines"].update(back))


@pytest.fixture
def settings(cluster):
    """The stack's file, which is as it was when the test is over."""
    before = cluster.stack.settings_file.read_text()
    yield cluster
    cluster.stack.settings_file.write_text(before)


def test_an_agent_is_replaced_under_load_without_one_failed_request(cluster):
    cluster.kubectl("apply", "-f", "-", stdin=WEB)
    cluster.kubectl("rollout", "status", "deployment/web", "--timeout=80s")
    old, new = cluster.bump("agent-a")
    cluster.retire(old)
    url = f"http://{cluster.stack.subnet[11]}:{NODE_PORT}/"
    wait_until(lambda: not complaint(url), "the server's kube-proxy to have heard of the service", 60)
    with Load(url) as load:
        said = cluster.applies(f"**in** `{new}`", f"**out** `{old}`")
    assert not load.failures
    assert load.answers > 100
    # Proven before anything was asked of the old one.
    assert (
        said.index(f"{new} is in after") < said.index(f"{old}: is drained") < said.index(f"{old}: has left the cluster")
    )
    assert cluster.nodes().get(new) is True
    assert old not in cluster.nodes()
    left = "systemctl is-active k3s-agent; systemctl is-enabled k3s-agent; pgrep -fa '[c]ontainerd-shim|[k]ubelet|[p]robe'; true"
    assert cluster.lab.ssh(old, left).stdout.split() == ["inactive", "disabled"]
    cluster.delete_host(old)


def test_the_preview_of_a_removal_that_nobody_asked_for_fails_with_one_line(settings):
    gone = settings.drop("agent-b")
    settings.retire()
    done = settings.pulumi("preview", check=False)
    assert done.returncode != 0
    said = {line.partition("error: ")[2] for line in (done.stdout + done.stderr).splitlines() if "error: " in line}
    assert said - {"preview failed"} == {
        f'Preview failed: before hook "retire" failed: {gone} would be removed, and is not on seedbed:retire in Pulumi.{settings.stack.name}.yaml: '
        "add it there if it shall leave the cluster, or put it back into the settings"
    }
    assert "Traceback" not in done.stdout + done.stderr


def test_a_name_on_the_list_for_which_nothing_is_removed_is_pointed_out(settings):
    settings.retire("agent-b-1")
    done = settings.pulumi("preview", "--expect-no-changes")
    assert "seedbed:retire names agent-b-1, for which nothing is removed: take it out" in done.stdout + done.stderr


def test_an_agent_that_dies_while_it_is_drained_is_removed_all_the_same(cluster):
    gone = cluster.full_name("agent-b")
    stays(cluster, gone)
    cluster.retire(cluster.drop("agent-b"))
    run = cluster.up()
    try:
        run.wait_for(f"{gone}: is drained")
        cluster.lab.cut(gone)
        assert run.finish(300) == 0, run.text
    finally:
        run.end()
    assert f"{gone}: has died while it was drained" in run.text
    assert f"{gone}: is not Ready: it is taken for dead" in run.text
    assert f"{gone}: could not be reached: it must not come back as it is" in run.text
    assert gone not in cluster.nodes()
    cluster.delete_host(gone)


def test_a_drain_that_can_never_end_names_what_stands_in_its_way_and_the_same_up_goes_on_without_it(cluster):
    gone = cluster.full_name("agent-c")
    name = stays(cluster, gone)
    cluster.retire(cluster.drop("agent-c"))
    cluster.stack.change(lambda config: config.update({"seedbed:timeouts": {"drain": SHORTEST_DRAIN}}))
    try:
        said = cluster.fails(cluster.up(), SHORTEST_DRAIN + 60)
    finally:
        cluster.stack.change(lambda config: config.pop("seedbed:timeouts"))
    assert f"{gone} is not empty after {SHORTEST_DRAIN} s: pods default/{name}-" in said
    assert f"under the disruption budgets that allow nothing now: default/{name}. It takes nothing new." in said
    assert cluster.nodes()[gone] is True
    assert cluster.kubectl("get", "node", gone, "--output=jsonpath={.spec.unschedulable}") == "true"

    cluster.kubectl("delete", "poddisruptionbudget", name)
    assert f"{gone}: has left the cluster" in cluster.completes()
    assert gone not in cluster.nodes()
    cluster.delete_host(gone)


def test_without_an_api_at_the_gate_nothing_is_touched_and_the_same_up_goes_on_with_one(cluster):
    gone = cluster.full_name("agent-d")
    cluster.retire(cluster.drop("agent-d"))
    cluster.lab.partition(SERVER)
    try:
        said = cluster.fails(cluster.up(), 60)
    finally:
        cluster.lab.heal(SERVER)
    assert f"{gone} cannot leave, and nothing was done: no server's API is to be had: {SERVER} (" in said
    assert "does not let in: " in said
    assert cluster.kubectl("get", "node", gone, "--output=jsonpath={.spec.unschedulable}") == ""

    assert f"{gone}: has left the cluster" in cluster.completes()
    assert gone not in cluster.nodes()
    cluster.delete_host(gone)


def test_an_agent_that_is_dead_already_is_removed_at_once(cluster):
    gone = cluster.full_name("agent-e")
    wait_until(lambda: cluster.nodes()[gone] is False, "the cluster to notice that a machine is dead", 120)
    cluster.retire(cluster.drop("agent-e"))
    said = cluster.completes()
    assert f"{gone}: is not Ready: it is taken for dead" in said
    assert f"{gone}: is drained" not in said
    assert gone not in cluster.nodes()
    cluster.delete_host(gone)


def test_the_only_server_is_replaced_by_one_that_knows_all_it_knew_and_does_not_come_back(cluster):
    """Of two members of etcd none can be stopped before it is removed."""
    cluster.kubectl("create", "configmap", "kept", "--from-literal=it=here")
    address = cluster.machines()["server-a"]["address"]
    # Or nothing would say where the cluster is that the new one joins.
    cluster.stack.change(lambda config: config["seedbed:cluster"].update({"endpoint": address}))
    old, new = cluster.bump("server-a")
    cluster.retire(old)
    said = cluster.applies(f"**in** `{new}`", f"**out** `{old}`", "**quorum**")
    assert (
        said.index(f"{new} is in after") < said.index(f"{old}: is drained") < said.index(f"{old}: has left the cluster")
    )
    assert cluster.kubectl("get", "configmap", "kept", "--output=jsonpath={.data.it}") == "here"
    assert old not in cluster.nodes()
    assert cluster.nodes()[new] is True
    cluster.lab.reboot(old)
    cluster.lab.wait_ssh(old)
    assert cluster.lab.ssh(old, "systemctl is-active k3s; systemctl is-enabled k3s; true").stdout.split() == [
        "inactive",
        "disabled",
    ]
    cluster.delete_host(old)
