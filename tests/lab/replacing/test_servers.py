"""Every server of a cluster is replaced while a client writes to its API, and what goes wrong on the way.

One cluster serves all tests: each begins with what the one before it has left whole.
"""

import json
import os
import random
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab import stack_lab
from tests.engine.harness import wait_until
from tests.lab.changes import previewed, whole_machine
from tests.lab.first_day import FirstDay, Writer, conditions
from tests.lab.paving import CONNECT_SECONDS, SCRIPTS_BOUND, STEP_BOUND, Up, failures
from tests.lab.replacements import Cluster
from tests.lab.workload import PROBE

SEED = 7
CHANCE = random.Random(SEED)

TIMEOUTS = {"step": 120, "drain": 90}
SOON = {"connect": CONNECT_SECONDS, **TIMEOUTS}
"""Where nobody is going to answer."""

FOR_WHOM = 60
"""Seconds until something is seen that an `up` is about to do."""

MEMORY = "**::cluster-init"
AGENT = "agent-a-1"
MADE = "server-a-1"
"""Who has made the cluster, on its first day."""

STAYS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: stays}
spec:
  selector: {matchLabels: {app: stays}}
  template:
    metadata: {labels: {app: stays}}
    spec:
      nodeSelector: {kubernetes.io/hostname: "%s"}
      terminationGracePeriodSeconds: 0
      containers: [{name: stays, image: "%s", args: [serve, ":8080"]}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: stays}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: stays}}
"""
"""A pod that nothing may take away from its node."""


@dataclass
class Day:
    """The cluster, who works with it, and the uid that tells it from any other."""

    cluster: Cluster
    first: FirstDay
    writer: Writer
    uid: str

    def name(self, letter: str) -> str:
        """A server's full name as the stack's file has it."""
        return self.cluster.full_name(f"server-{letter}")

    def is_right(self, *servers: str) -> None:
        """Exactly these servers, each Ready and with its vote; the same cluster; and the client gets on."""
        assert self.first.servers() == dict.fromkeys(servers, ("True", "True"))
        assert uid(self.first) == self.uid
        written = len(self.writer.acknowledged)
        wait_until(lambda: len(self.writer.acknowledged) > written, "another acknowledged write")
        node = self.first.nodes()[AGENT]
        assert conditions(node)["Ready"] == "True"

    def is_untouched(self, *servers: str, pids: dict[str, int]) -> None:
        """None of the machines that were there before has been asked for anything, and nobody else has joined."""
        self.is_right(*servers)
        assert not any(node["spec"].get("unschedulable") for node in self.first.nodes().values())
        assert self.pids(*servers) == pids

    def pids(self, *servers: str) -> dict[str, int]:
        """k3s' process on each."""
        return {server: self.cluster.main_pid(server, "k3s") for server in servers}

    def fails(self, bound: float, *options: str) -> dict[str, str]:
        """What of an `up` has failed, by the resource's name."""
        said = self.cluster.fails(self.cluster.up(*options), bound)
        print(said)  # shown where a test fails
        return failures(said)

    def completes(self, *options: str) -> str:
        """An `up` that ends well; its output."""
        run = self.cluster.up(*options)
        try:
            assert run.finish(400) == 0, run.text
        finally:
            run.end()
        return run.text

    def is_killed(self, run: Up, happened: Callable[[], bool], what: str) -> None:
        """The whole of an `up`, as when the machine that it runs on is switched off; and what a person does about it."""
        try:
            wait_until(lambda: happened() or run.process.poll() is not None, what, FOR_WHOM)
            delay = CHANCE.uniform(0, 0.5)
            print(f"seed {SEED}: killed {delay:.2f} s after {what}")
            threading.Event().wait(delay)
            assert run.process.poll() is None, run.text
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait(30)
        finally:
            run.end()
        for command in (["cancel", "--yes"], ["refresh", "--yes", "--skip-preview", "--clear-pending-creates"]):
            self.cluster.pulumi(*command)


def uid(first: FirstDay) -> str:
    """Of the cluster."""
    return str(first.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])


@pytest.fixture(scope="module")
def day(cluster_of: Callable[..., Cluster]) -> Iterator[Day]:
    def settings(config):
        config["seedbed:timeouts"] = TIMEOUTS

    cluster = cluster_of(servers=3, agents=1, change=settings)
    first = FirstDay(cluster.stack.seedbed("kubeconfig", cluster.stack.name).stdout)
    for machine in cluster.machines().values():
        if machine["role"] == "server":
            first.know(machine["address"])
    cluster.kubectl("create", "configmap", "ledger")
    with Writer(first) as writer:
        yield Day(cluster, first, writer, uid(first))


def is_never_made_once_more(day: Day, new: str, pids: dict[str, int]) -> None:
    """`new` shall make the cluster: the preview says no, and where the state does not know better, so does the machine."""
    init(day, new)
    refused = day.cluster.pulumi("preview", check=False)
    assert refused.returncode != 0
    said = f"seedbed:cluster.init: {MADE} made this stack's cluster, and a cluster is made once"
    assert said in refused.stdout + refused.stderr
    failed = day.fails(STEP_BOUND, "--replace", MEMORY)
    assert failed.keys() == {f"{new}-k3s"}
    assert "a cluster of this identity already answers at" in failed[f"{new}-k3s"]
    assert (
        f"next: set seedbed:cluster.init back to the server that made it: {new} is to join it" in failed[f"{new}-k3s"]
    )
    day.cluster.lab.ssh(new, "! systemctl is-active --quiet k3s && ! ls /var/lib/rancher/k3s /etc/rancher")
    init(day, MADE)
    day.is_untouched(*pids, pids=pids)


def init(day: Day, server: str) -> None:
    day.cluster.stack.change(lambda config: config["seedbed:cluster"].update(init=server))


def test_the_server_that_made_the_cluster_is_replaced_when_its_successor_has_joined_at_last(day: Day) -> None:
    cluster = day.cluster
    b, c = day.name("b"), day.name("c")
    pids = day.pids(MADE, b, c)
    old, new = cluster.bump("server-a", host=False)
    cluster.retire(old)
    assert old == MADE
    assert previewed(cluster.stack) == whole_machine(new, "create") | whole_machine(old, "delete")

    cluster.stack.change(lambda config: config.update({"seedbed:timeouts": SOON}))
    assert day.fails(SCRIPTS_BOUND).keys() == {f"{new}-scripts"}
    cluster.stack.change(lambda config: config.update({"seedbed:timeouts": TIMEOUTS}))
    day.is_untouched(old, b, c, pids=pids)

    cluster.make_hosts()
    digest_file = cluster.stack.lab_folder / stack_lab.DIGEST_FILE
    right = digest_file.read_text()
    digest_file.write_text("0" * 64)
    assert f"instead of {'0' * 64}" in day.fails(STEP_BOUND)[f"{new}-k3s"]
    digest_file.write_text(right)
    day.is_untouched(old, b, c, pids=pids)

    is_never_made_once_more(day, new, pids)

    folder = "/var/lib/rancher/k3s/server/tls"
    cluster.lab.ssh(new, f"mkdir -p {folder} && echo another >{folder}/server-ca.crt")
    assert "k3s on this machine has another cluster's CA" in day.fails(STEP_BOUND, "--replace", MEMORY)[f"{new}-k3s"]
    cluster.lab.ssh(new, "rm -r /var/lib/rancher/k3s/server")
    day.is_untouched(old, b, c, pids=pids)

    run = cluster.up()
    cordoned = lambda: bool(day.first.nodes()[old]["spec"].get("unschedulable"))  # noqa: E731
    day.is_killed(run, cordoned, f"{old} was cordoned")
    cluster.applies(f"**out** `{old}`", "**quorum**")
    has_left(day, old, new)
    day.is_right(new, b, c)


def has_left(day: Day, old: str, new: str | None) -> None:
    """Nothing of the old one is in the cluster, and its machine may go."""
    cluster = day.cluster
    assert old not in day.first.nodes()
    secrets = day.first.get("/api/v1/namespaces/kube-system/secrets")["items"]
    names = {secret["metadata"]["name"] for secret in secrets}
    assert f"{old}.node-password.k3s" not in names
    if new is not None:
        assert f"{new}.node-password.k3s" in names
        day.first.know(cluster.machines()[new.rpartition("-")[0]]["address"])
    resources = json.loads(cluster.pulumi("stack", "export").stdout)["deployment"]["resources"]
    assert [resource["urn"] for resource in resources if old in resource["urn"]] == []
    cluster.delete_host(old)


def test_another_server_is_replaced_though_each_up_but_the_last_is_killed_and_a_second_one_is_refused(day: Day) -> None:
    cluster = day.cluster
    a, c = day.name("a"), day.name("c")
    old, new = cluster.bump("server-b")
    pids = day.pids(a, old, c)
    cluster.retire(old)
    cluster.kubectl("apply", "-f", "-", stdin=STAYS % (old, PROBE), server=a)
    cluster.kubectl("rollout", "status", "deployment/stays", "--timeout=60s", server=a)
    assert previewed(cluster.stack) == whole_machine(new, "create") | whole_machine(old, "delete")
    is_never_made_once_more(day, new, pids)

    run = cluster.up("--replace", MEMORY)
    run.wait_for(rf"{new}-k3s creating")
    second = cluster.up()
    assert "the stack is currently locked by 1 lock(s)" in cluster.fails(second, 0)
    day.is_killed(run, lambda: "still on it: default/stays" in run.text, f"{old} could not be drained")
    assert old in day.first.nodes()

    cluster.kubectl("delete", "deployment,poddisruptionbudget", "stays", server=a)
    stopped = lambda: cluster.lab.ssh(old, "systemctl is-active k3s", check=False).stdout.strip() == "inactive"  # noqa: E731
    day.is_killed(cluster.up(), stopped, f"k3s on {old} had ended")
    cluster.applies(f"**out** `{old}`", "**quorum**")
    has_left(day, old, new)
    day.is_right(a, new, c)


def etcd(day: Day, server: str, call: str, **with_: str) -> dict[str, Any]:
    """What the etcd of a server answers. Source of the calls: etcd's gRPC gateway, api/etcdserverpb/rpc.proto."""
    tls = "/var/lib/rancher/k3s/server/tls/etcd"
    curl = f"curl --silent --cacert {tls}/server-ca.crt --cert {tls}/client.crt --key {tls}/client.key"
    url = f"https://127.0.0.1:2379/v3/{call}"
    return dict(json.loads(day.cluster.lab.ssh(server, f"{curl} --data {shlex.quote(json.dumps(with_))} {url}").stdout))


def leads_etcd(day: Day, server: str, servers: tuple[str, ...]) -> None:
    """Has the etcd of one of the servers lead, which is the one that the next machine joins by."""

    def leads() -> bool:
        found = etcd(day, server, "maintenance/status")
        return bool(found["leader"] == found["header"]["member_id"])

    if not leads():
        member = etcd(day, server, "maintenance/status")["header"]["member_id"]
        for other in servers:
            # Refused by those that do not lead.
            etcd(day, other, "maintenance/transfer-leadership", targetID=member)
    wait_until(leads, f"{server} to lead etcd")


def misses(day: Day, server: str, dead: str) -> bool:
    """Whether the etcd of a server has given up its connections to another's, and so takes in nobody (mayAddMember).

    It does so some ten seconds after the death, by its bounds for reading and for dialling: etcd v3.6.5,
    server/etcdserver/api/rafthttp (peer_status.go, stream.go).
    """
    [member] = [one["ID"] for one in etcd(day, server, "cluster/member/list")["members"] if one.get("name") == dead]
    metrics = day.cluster.lab.ssh(server, "curl --silent http://127.0.0.1:2381/metrics").stdout
    return any(
        line.startswith("etcd_network_active_peers{") and line.endswith(f'Remote="{int(member):x}"}} 0')
        for line in metrics.splitlines()
    )


def test_beside_a_dead_server_none_is_replaced_and_when_it_has_left_the_next_one_joins(day: Day) -> None:
    cluster = day.cluster
    a, b, dead = day.name("a"), day.name("b"), day.name("c")
    pids = day.pids(a, b)
    before = cluster.stack.settings_file.read_text()
    _, new = cluster.bump("server-b")
    cluster.retire(b)
    # Who only follows may not notice that another follower is dead.
    leads_etcd(day, a, (a, b, dead))
    assert cluster.lab.cut(dead)
    # Until then it would let the new one join, and the gate would refuse.
    wait_until(lambda: misses(day, a, dead), f"etcd to miss {dead}", FOR_WHOM)
    wait_until(lambda: day.first.servers()[dead][1] != "True", f"the cluster to miss {dead}", FOR_WHOM)
    failed = day.fails(STEP_BOUND)
    assert failed.keys() == {f"{new}-k3s"}
    assert "the cluster takes no new server while one that it has is dead" in failed[f"{new}-k3s"]
    assert "next: start that one again, or remove it first: " in failed[f"{new}-k3s"]
    assert day.pids(a, b) == pids
    assert set(day.first.servers()) == {a, b, dead}

    cluster.stack.settings_file.write_text(before)
    cluster.drop("server-c")
    cluster.retire(dead, new)
    gone = previewed(cluster.stack)
    assert gone.keys() >= whole_machine(dead, "delete").keys()
    assert set(gone.values()) == {"delete"}
    run = cluster.up()
    run.wait_for(f"{dead}: is not Ready: it is taken for dead")
    day.is_killed(run, lambda: dead not in day.first.nodes(), f"{dead} was gone")
    day.completes()
    for host in (dead, new):
        has_left(day, host, None)
    day.is_right(a, b)

    cluster.retire()
    added = cluster.add("server-c", role="server", generation=2)
    assert previewed(cluster.stack) == whole_machine(added, "create")
    is_never_made_once_more(day, added, day.pids(a, b))
    loses_its_power_while_it_joins(day, added)
    day.completes("--replace", MEMORY)
    day.first.know(cluster.machines()["server-c"]["address"])
    day.is_right(a, b, added)
    cluster.pulumi("preview", "--expect-no-changes")


def loses_its_power_while_it_joins(day: Day, server: str) -> None:
    """At a random moment, so with a member of etcd or without; the `up` says which machine it was."""
    run = day.cluster.up("--replace", MEMORY)
    try:
        run.wait_for(rf"{server}-k3s creating")
        delay = CHANCE.uniform(0.5, 5)
        print(f"seed {SEED}: {server} is cut {delay:.2f} s after it began to join")
        threading.Event().wait(delay)
        assert day.cluster.lab.cut(server)
        day.cluster.lab.power_on(server)
        assert failures(day.cluster.fails(run, STEP_BOUND)).keys() == {f"{server}-k3s"}
    finally:
        run.end()
    day.cluster.lab.wait_ssh(server)


def test_no_acknowledged_write_is_lost_and_an_agent_finds_servers_that_it_has_not_joined_by(day: Day) -> None:
    assert day.writer.lost() == set()
    day.cluster.lab.ssh(AGENT, "systemctl restart k3s-agent", timeout=90)
    heard = day.first.nodes()[AGENT]["status"]["conditions"]
    wait_until(
        lambda: day.first.nodes()[AGENT]["status"]["conditions"] != heard and ready(day, AGENT),
        "the agent to be back",
        120,
    )


def ready(day: Day, node: str) -> bool:
    return conditions(day.first.nodes()[node])["Ready"] == "True"
