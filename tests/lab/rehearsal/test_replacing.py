"""The server that initialised the cluster and an agent with a volume are replaced, by one plain `pulumi up`, while a client writes.

The last of the rehearsal's tests: the machines that the others know are gone after it.
"""

import json
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from seedbed import UserError
from seedbed.kube import Api
from tests.lab.rehearsal.test_cluster import etcd_members
from tests.lab.rehearsed import AGENTS, INIT, SERVERS, Prod

NEXT = {INIT: "server-a-2", AGENTS[0]: "agent-a-2"}
"""Who is replaced, and by whom."""

VOLUME = "/var/lib/longhorn"
NAMESPACE = "/api/v1/namespaces/default"
WRITE_SECONDS = 0.1


@dataclass
class Writer:
    """Adds one key after the other to one ConfigMap, by the kubeconfig of the first day, until the end of the `with`."""

    api: Api
    name: str
    acknowledged: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    tried: int = 0

    def __enter__(self) -> "Writer":
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _write(self) -> None:
        while not self._over.wait(WRITE_SECONDS):
            self.tried += 1
            key = f"n{self.tried}"
            try:
                self.api.patch(f"{NAMESPACE}/configmaps/{self.name}", {"data": {key: ""}})
            except UserError as error:
                self.failures.append(f"{key}: {error}")
            else:
                self.acknowledged.append(key)

    def lost(self) -> list[str]:
        """What was acknowledged and is not there."""
        there = self.api.get(f"{NAMESPACE}/configmaps/{self.name}").get("data") or {}
        return [key for key in self.acknowledged if key not in there]


@dataclass(frozen=True)
class Replaced:
    """What the preview planned, operations by types and names, what `up` said, and what was written before and meanwhile.

    `prefix` begins the names of what is no machine's.
    """

    prefix: str
    planned: dict[tuple[str, str], str]
    said: str
    writer: Writer
    kept: str
    outputs: dict[str, Any]


@pytest.fixture(scope="module")
def replaced(rehearsed: Prod) -> Replaced:
    stack = rehearsed.stack
    kept = secrets.token_hex(16)
    rehearsed.ssh(AGENTS[0], f"echo {kept} >{VOLUME}/kept")
    assert rehearsed.kubectl("create", "configmap", "written").returncode == 0
    change(Path(stack.root, rehearsed.environment["SEEDBED_CONFIG_FILE"]))
    preview = json.loads(stack.pulumi("preview", "--json").stdout)
    planned = {
        (step["urn"].split("::")[2].rpartition(":")[2], step["urn"].rpartition("::")[2]): step["op"]
        for step in preview["steps"]
        if step["op"] != "same"
    }
    with Writer(Api.of_kubeconfig(rehearsed.kubeconfig.read_text()), "written") as writer:
        said = stack.pulumi("up", "--yes", "--skip-preview").stdout
    return Replaced(f"seedbed-{stack.name}", planned, said, writer, kept, stack.outputs())


def change(file: Path) -> None:
    """The edits of a person: the next generation of each, and that the ones before may leave."""
    document = yaml.safe_load(file.read_text())
    machines = [pool["machines"] for pool in document["config"]["seedbed:pools"].values()]
    for old in NEXT:
        name = old.removesuffix("-1")
        next(pool for pool in machines if name in pool)[name] = {"generation": 2}
    document["config"]["seedbed:retire"] = list(NEXT)
    file.write_text(yaml.safe_dump(document))


def test_the_preview_shows_the_new_ones_the_old_ones_and_what_changes_hands(replaced: Replaced) -> None:
    rest = {}
    for (type_, name), op in replaced.planned.items():
        machine = "-".join(name.split("-")[:3])
        if (machine in NEXT.values() and op == "create") or (machine in NEXT and op == "delete"):
            continue
        rest[type_, name.removeprefix(replaced.prefix)] = op
    assert rest == {
        ("Stash", "-data-a-holder"): "update",
        ("VolumeAttachment", "-data-a"): "replace",
        ("Project", ""): "update",
    }


def test_no_acknowledged_write_is_lost(replaced: Replaced) -> None:
    assert len(replaced.writer.acknowledged) > 100
    assert replaced.writer.lost() == []
    # The load balancer goes on sending to a server that leaves until its checks have failed: what is refused then is tried again.
    assert len(replaced.writer.failures) * 10 < replaced.writer.tried, replaced.writer.failures


def test_the_data_of_the_volume_is_on_the_new_machine(rehearsed: Prod, replaced: Replaced) -> None:
    new = NEXT[AGENTS[0]]
    assert rehearsed.ssh(new, f"mountpoint --quiet {VOLUME} && cat {VOLUME}/kept").strip() == replaced.kept
    # It left before its successor joined: it cannot be in both.
    steps = [
        line
        for line in replaced.said.splitlines()
        if f"{AGENTS[0]}: has left the cluster" in line or f"{new}-k3s" in line
    ]
    assert "has left the cluster" in steps[0]


def test_three_servers_vote_and_the_nodes_are_those_of_the_settings(rehearsed: Prod, replaced: Replaced) -> None:
    servers = sorted(NEXT.get(name, name) for name in SERVERS)
    addresses = {name: node["address"] for name, node in replaced.outputs["nodes"].items()}
    wanted = sorted(f"https://{addresses[server]}:2380" for server in servers)
    for server in servers:
        assert sorted(str(member["peerURLs"][0]) for member in etcd_members(rehearsed, server)) == wanted  # type: ignore[index]
    nodes = rehearsed.kubectl("get", "nodes", "--no-headers").stdout.split("\n")
    assert sorted(tuple(line.split()[:2]) for line in nodes if line) == sorted(
        (NEXT.get(name, name), "Ready") for name in (*SERVERS, *AGENTS)
    )


def test_the_cloud_has_neither_the_old_ones_nor_anything_twice(rehearsed: Prod, replaced: Replaced) -> None:
    droplets = rehearsed.ask("/v2/droplets?per_page=200")["droplets"]
    assert sorted(droplet["name"] for droplet in droplets) == sorted(replaced.outputs["nodes"])
    ids = {droplet["name"]: droplet["id"] for droplet in droplets}
    volumes = rehearsed.ask("/v2/volumes")["volumes"]
    assert sorted(volume["droplet_ids"] for volume in volumes) == sorted([[ids["agent-a-2"]], [ids["agent-b-1"]]])


def test_nothing_is_left_to_do_but_to_take_them_off_the_list(rehearsed: Prod, replaced: Replaced) -> None:
    said = rehearsed.stack.pulumi("preview", "--expect-no-changes").stdout
    for old in NEXT:
        assert f"retire names {old}, for which nothing is removed" in said
