"""What one `seedbed rehearse` makes: three voting servers behind a load balancer, and a second preview that is empty."""

import json
import re
import sys

import pytest

from seedbed import applications
from tests.lab.rehearsed import AGENTS, SERVERS, Prod
from tests.lab.seeding import until

HEALTHY_SECONDS = 240
ETCD_TLS = "/var/lib/rancher/k3s/server/tls/etcd"


def etcd_members(prod: Prod, server: str) -> list[dict[str, object]]:
    """The members as the etcd of one server knows them.

    Source: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
    """
    answer = prod.ssh(
        server,
        f"curl --silent --fail --max-time 10 --cacert {ETCD_TLS}/server-ca.crt --cert {ETCD_TLS}/client.crt "
        f"--key {ETCD_TLS}/client.key https://127.0.0.1:2379/v3/cluster/member/list --data '{{}}'",
    )
    return list(json.loads(answer)["members"])


def test_servers_join_one_at_a_time_the_one_that_initialises_first(rehearsed: Prod) -> None:
    said = re.findall(r"(server-\w-1) k3s: |\+ (server-\w-1)-k3s (created)", rehearsed.console)
    events = [(at_work or finished, bool(created)) for at_work, finished, created in said]
    for name in SERVERS:
        mine = [created for server, created in events if server == name]
        assert mine[:-1] == [False] * (len(mine) - 1)
        assert mine[-1]
    # What one says is never between the first and the last word of another.
    assert [name for name, _ in events] == sorted(name for name, _ in events)


def test_all_three_vote_in_etcd_by_their_private_addresses(rehearsed: Prod) -> None:
    wanted = sorted(f"https://{rehearsed.private(server)}:2380" for server in SERVERS)
    for server in SERVERS:
        members = etcd_members(rehearsed, server)
        assert sorted(str(member["peerURLs"][0]) for member in members) == wanted  # type: ignore[index]
        assert not any(member.get("isLearner") for member in members)


def test_every_machine_is_a_node_with_its_private_address(rehearsed: Prod) -> None:
    nodes = json.loads(rehearsed.kubectl("get", "nodes", "-o", "json").stdout)["items"]
    found = {
        node["metadata"]["name"]: {entry["type"]: entry["address"] for entry in node["status"]["addresses"]}
        for node in nodes
    }
    assert set(found) == {*SERVERS, *AGENTS}
    for name, addresses in found.items():
        assert addresses["InternalIP"] == rehearsed.private(name)


def test_every_application_is_synced_and_healthy(rehearsed: Prod) -> None:
    """Health is waited for here: `up` requires that all are Synced, and only reports it."""
    names = {"root", "podinfo-staging", "podinfo-prod", "web-staging", "web-prod"}

    def lame() -> list[str]:
        found = {one.name: one for one in applications.applications(rehearsed.api)}
        assert names <= set(found)
        return [name for name, one in found.items() if not (one.synced and one.healthy)]

    until(lambda: not lame(), HEALTHY_SECONDS, lame)


def test_a_second_preview_finds_nothing_to_do_and_asks_the_cloud_nothing(rehearsed: Prod) -> None:
    before = len(rehearsed.ask("/lab/requests")["requests"])
    rehearsed.stack.pulumi("preview", "--expect-no-changes")
    assert len(rehearsed.ask("/lab/requests")["requests"]) == before


def test_no_machine_and_nothing_at_the_cloud_has_drifted_from_what_up_has_made(rehearsed: Prod) -> None:
    stack = rehearsed.stack
    said = stack.in_shell(rehearsed.environment, sys.executable, "-m", "seedbed", "drift", stack.name)
    assert [line.split(maxsplit=1) for line in said.splitlines()] == [
        [name, "as it was paved"] for name in (*AGENTS, *SERVERS)
    ]


def test_the_cost_of_the_stack_is_what_the_command_says(rehearsed: Prod) -> None:
    said = rehearsed.stack.seedbed("cost", rehearsed.stack.name).stdout
    assert rehearsed.outputs["monthlyCost"]["USD"] in said


@pytest.mark.parametrize("server", SERVERS)
def test_the_load_balancers_address_is_in_every_servers_certificate(rehearsed: Prod, server: str) -> None:
    shown = rehearsed.ssh(
        server,
        "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName",
    )
    assert f"IP Address:{rehearsed.balancer}" in shown
    assert "DNS:k8s.example.org" in shown


def test_a_snapshot_of_etcd_arrives_in_the_bucket(rehearsed: Prod) -> None:
    rehearsed.ssh(SERVERS[1], "k3s etcd-snapshot save --name by-hand", timeout=120)
    listed = rehearsed.ssh(SERVERS[2], "k3s etcd-snapshot ls", timeout=60)
    assert re.search(rf"by-hand-{SERVERS[1]}-\d+ +s3://", listed), listed


def test_a_volume_is_mounted_where_its_data_is_looked_for(rehearsed: Prod) -> None:
    for agent in AGENTS:
        device = rehearsed.ssh(
            agent, "findmnt --noheadings --output SOURCE,FSTYPE --mountpoint /var/lib/longhorn"
        ).split()
        assert device[1] == "ext4"
        assert device[0].startswith("/dev/")


def test_no_orphan_and_no_duplicate_is_at_the_cloud(rehearsed: Prod) -> None:
    droplets = rehearsed.ask("/v2/droplets?per_page=200")["droplets"]
    assert sorted(droplet["name"] for droplet in droplets) == sorted([*SERVERS, *AGENTS])
    assert len(rehearsed.ask("/v2/load_balancers")["load_balancers"]) == 1
    assert len(rehearsed.ask("/v2/volumes")["volumes"]) == 2
