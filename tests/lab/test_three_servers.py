"""Three servers by one `seedbed up`: how they come together, and that the cluster does not miss one of them."""

import base64
import json
import re
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import new_spec
from tests.lab.stacks import Stack

SERVERS = ("server-a-1", "server-b-1", "server-c-1")
INIT = SERVERS[0]
ETCD_TLS = "/var/lib/rancher/k3s/server/tls/etcd"


@dataclass(frozen=True)
class Three:
    """The stack, what `up` said, each server's address, and a kubeconfig of the first day."""

    stack: Stack
    console: str
    addresses: dict[str, str]
    kubeconfig: Path

    def kubectl(self, server: str, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """`kubectl` on this machine by the API of one server."""
        argv = ["kubectl", "--kubeconfig", str(self.kubeconfig), "--server", f"https://{self.addresses[server]}:6443"]
        return subprocess.run(
            [*argv, "--request-timeout=10s", *arguments],
            env=self.stack.environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    spec = new_spec()
    addresses = {name: str(spec.subnet[11 + i]) for i, name in enumerate(SERVERS)}

    def settings(config: dict[str, Any]) -> None:
        config["seedbed:machines"] = {
            name.removesuffix("-1"): {"role": "server", "address": address} for name, address in addresses.items()
        }

    stack = Stack.make(spec.subnet, settings)
    try:
        console = stack.up().stdout
        kubeconfig = stack.root / "kubeconfig"
        kubeconfig.touch(0o600)
        kubeconfig.write_text(stack.seedbed("kubeconfig", stack.name).stdout)
        yield Three(stack, console, addresses, kubeconfig)
    finally:
        stack.remove()


def until(what: Callable[[], bool], seconds: float, said: str) -> None:
    """Wait for it; `seconds` is only where waiting is given up."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, said
        time.sleep(0.5)


def etcd_members(three: Three, server: str) -> list[dict[str, Any]]:
    """The members as the etcd of one server knows them.

    Source: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
    """
    answer = three.stack.lab.ssh(
        server,
        f"curl --silent --fail --max-time 10 --cacert {ETCD_TLS}/server-ca.crt --cert {ETCD_TLS}/client.crt "
        f"--key {ETCD_TLS}/client.key https://127.0.0.1:2379/v3/cluster/member/list --data '{{}}'",
    ).stdout
    return list(json.loads(answer)["members"])


def test_servers_join_one_at_a_time_the_one_that_initialises_first(three: Three) -> None:
    said = re.findall(r"(server-\w-1) k3s: |\+ (server-\w-1)-k3s (created)", three.console)
    events = [(at_work or finished, bool(created)) for at_work, finished, created in said]
    for name in SERVERS:
        mine = [created for server, created in events if server == name]
        assert mine[:-1] == [False] * (len(mine) - 1)
        assert mine[-1]
    # What one says is never between the first and the last word of another.
    assert [name for name, _ in events] == sorted(name for name, _ in events)


def test_all_three_vote_in_etcd(three: Three) -> None:
    for server in SERVERS:
        members = etcd_members(three, server)
        assert sorted(m["peerURLs"][0] for m in members) == [f"https://{a}:2380" for a in three.addresses.values()]
        assert not any(m.get("isLearner") for m in members)


def test_the_api_answers_at_every_server_with_the_clusters_own_certificate(three: Three) -> None:
    for server in SERVERS:
        assert three.kubectl(server, "get", "--raw", "/readyz").stdout == "ok"
    nodes = json.loads(three.kubectl(INIT, "get", "nodes", "-o", "json").stdout)["items"]
    roles = {node["metadata"]["name"]: set(node["metadata"]["labels"]) for node in nodes}
    assert set(roles) == set(SERVERS)
    for labels in roles.values():
        assert {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/etcd"} <= labels


def test_a_second_preview_finds_nothing_to_do(three: Three) -> None:
    three.stack.pulumi("preview", "--expect-no-changes")


def test_writing_goes_on_by_the_others_when_the_server_that_initialised_loses_power(three: Three) -> None:
    lab = three.stack.lab
    assert lab.cut(INIT)
    try:
        wrote = ("create", "configmap", "after-the-cut", "--from-literal=by=b")
        until(lambda: three.kubectl(SERVERS[1], *wrote).returncode == 0, 60, "no write 60 s after the cut")
        read = three.kubectl(SERVERS[2], "get", "configmap", "after-the-cut", "-o", "jsonpath={.data.by}")
        assert read.stdout == "b", read.stderr
        # A machine that comes now would be let in by those that are left, with the token of the first day.
        assert bootstrap(three, SERVERS[1], three.stack.identity.server_token) == 200
        assert bootstrap(three, SERVERS[1], three.stack.identity.agent_token) in (401, 403)
    finally:
        lab.power_on(INIT)
    lab.wait_ssh(INIT)
    back = "the server does not answer 90 s after power came back"
    until(lambda: three.kubectl(INIT, "get", "configmap", "after-the-cut").returncode == 0, 90, back)
    three.stack.pulumi("preview", "--expect-no-changes")


def bootstrap(three: Three, server: str, token: str) -> int:
    """The status with which a server answers another one that wants to join with this token."""
    context = ssl.create_default_context(cadata=three.stack.identity.files["server-ca.crt"])
    basic = base64.b64encode(f"server:{token}".encode()).decode()
    request = urllib.request.Request(
        f"https://{three.addresses[server]}:6443/v1-k3s/server-bootstrap", headers={"Authorization": f"Basic {basic}"}
    )
    try:
        with urllib.request.urlopen(request, context=context, timeout=10) as reply:
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
