"""Every error of the settings at once, each with its place and its remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.config import ROOT, from_file
from stacks.settings import Role, SettingsError, parse
from tests.unit.settings.changes import changed_in

GOOD: dict[str, Any] = {
    "cluster": {"init": "server-a-1"},
    "network": {"machines": "10.9.0.0/24"},
    "k3s": {"version": "v1.34.2+k3s1"},
    "machines": {
        "server-a": {"role": "server", "address": "10.9.0.11"},
        "agent-a": {"role": "agent", "address": "10.9.0.21"},
    },
}


def changed(**paths: Any) -> dict[str, Any]:
    """GOOD with `a__b=value` set, as `changed_in` does."""
    return changed_in(GOOD, paths)


def problems(config: dict[str, Any], root: Path = ROOT) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(config, "Pulumi.test.yaml", root)
    return caught.value.problems


def test_good_settings_are_taken_with_their_defaults():
    settings = parse(GOOD, "Pulumi.test.yaml", ROOT)
    assert settings.full_name("agent-a") == "agent-a-1"
    assert settings.api_url == "https://10.9.0.11:6443"
    assert settings.ssh.user == "root"
    assert settings.k3s_digests["amd64"].startswith("15811d34")


SERVER = {"role": "server", "address": "10.9.0.12"}
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMPSqu+oWWqeG3A+5rQ9mtIAN2LSA/ulJVIi0lDUe8ab"  # as ssh-keygen wrote it

BAD = {
    "an unknown key of the stack": (
        changed(machine={}),
        'seedbed:machine: unknown key; did you mean "machines"?',
    ),
    "an unknown key of a machine": (
        changed(machines__agent_a__adress="10.9.0.22"),
        'seedbed:machines.agent-a.adress: unknown key; did you mean "address"?',
    ),
    "a wrong type": (
        changed(machines__agent_a__generation="two"),
        "seedbed:machines.agent-a.generation: should be a valid integer, not 'two'",
    ),
    "a number in quotes": (
        changed(machines__agent_a__generation="2"),
        "seedbed:machines.agent-a.generation: should be a valid integer, not '2'",
    ),
    "a generation below one": (
        changed(machines__agent_a__generation=0),
        "seedbed:machines.agent-a.generation: should be greater than or equal to 1, not 0",
    ),
    "a role that does not exist": (
        changed(machines__agent_a__role="worker"),
        "seedbed:machines.agent-a.role: should be 'server' or 'agent', not 'worker'",
    ),
    "a missing section": (changed(network=...), "seedbed:network: missing; see Pulumi.dev.yaml for what it holds"),
    "a missing address": (changed(machines__agent_a__address=...), "seedbed:machines.agent-a.address: missing"),
    "no machines": (changed(machines={}), "seedbed:machines: must name at least one server"),
    "machines as a list": (changed(machines=[]), "seedbed:machines: must name at least one server"),
    "no server": (changed(machines__server_a__role="agent"), "seedbed:machines: no machine has the role server"),
    "an even number of servers": (
        changed(machines__server_b=SERVER),
        "seedbed:machines: 2 servers (server-a, server-b); etcd survives no more losses with them than with 1",
    ),
    "two servers that claim to initialise": (
        changed(cluster__init=["server-a-1", "server-b-1"]),
        "seedbed:cluster.init: must be the full name of exactly one server, such as server-a-1",
    ),
    "an init server that is an agent": (
        changed(cluster__init="agent-a-1"),
        "seedbed:cluster.init: 'agent-a-1' is not a server with its generation; did you mean 'server-a-1'?",
    ),
    "an init server without its generation": (
        changed(cluster__init="server-a"),
        "seedbed:cluster.init: 'server-a' is not a server with its generation; did you mean 'server-a-1'?",
    ),
    "an only server that joins nobody knows where": (
        changed(machines__server_a__generation=2),
        "seedbed:cluster.endpoint: missing; server-a-2 is the only server and joins the cluster that server-a-1 made",
    ),
    "an init server of a generation to come": (
        changed(cluster__init="server-a-2"),
        "seedbed:cluster.init: server-a is at generation 1, so it cannot be server-a-2",
    ),
    "a duplicate address": (
        changed(machines__agent_a__address="10.9.0.11"),
        "seedbed:machines.agent-a.address: 10.9.0.11 is server-a's already",
    ),
    "a duplicate node address": (
        changed(machines__agent_a__nodeAddress="10.9.0.11"),
        "seedbed:machines.agent-a.nodeAddress: 10.9.0.11 is server-a's already",
    ),
    "capitals in a name": (
        changed(machines__Agent=SERVER | {"role": "agent"}),
        "seedbed:machines.Agent: a machine's name has at most 40 lower-case letters",
    ),
    "a name that ends like a generation": (
        changed(machines__agent_2=SERVER | {"role": "agent"}),
        "seedbed:machines.agent-2: a name must not end in -<number>, because a generation follows it; write `agent2`",
    ),
    "an address outside the network": (
        changed(machines__agent_a__address="10.8.0.21"),
        "seedbed:machines.agent-a.address: 10.8.0.21 is outside seedbed:network.machines 10.9.0.0/24",
    ),
    "the network's own address": (
        changed(machines__agent_a__address="10.9.0.255"),
        "seedbed:machines.agent-a.address: 10.9.0.255 is the network's own, not a machine's",
    ),
    "an address that is none": (
        changed(machines__agent_a__address="10.9.0.256"),
        "seedbed:machines.agent-a.address: is not a valid IPv4 address, not '10.9.0.256'",
    ),
    "networks that overlap": (
        changed(network__pods="10.9.0.0/16"),
        "seedbed:network.pods: 10.9.0.0/16 overlaps machines 10.9.0.0/24",
    ),
    "pods without room for every node": (
        changed(network__pods="10.42.0.0/23"),
        "seedbed:network.pods: 10.42.0.0/23 is enough for 2 nodes, each with a /24, and there are 2 machines and one that is being "
        "replaced; take a /22 or larger",
    ),
    "pods without room for any node": (
        changed(network__pods="10.42.0.0/25"),
        "seedbed:network.pods: 10.42.0.0/25 is enough for 0 nodes",
    ),
    "pods where a cloud tells machines about themselves": (
        changed(network__pods="169.254.0.0/16"),
        "seedbed:network.pods: 169.254.0.0/16 overlaps 169.254.0.0/16, which is not routed; take a private network",
    ),
    "more services than the API server takes": (
        changed(network__services="32.0.0.0/11"),
        "seedbed:network.services: 32.0.0.0/11 is larger than the API server takes; a /12 at most",
    ),
    "a label that is none": (
        changed(machines__agent_a__labels={"bad label!": "x"}),
        "seedbed:machines.agent-a.labels: 'bad label!' is not a label's key such as disk or example.org/disk",
    ),
    "a label's value that is two": (
        changed(machines__agent_a__labels={"disk": "fast,big"}),
        "seedbed:machines.agent-a.labels.disk: 'fast,big' is not a label's value",
    ),
    "a role as a label": (
        changed(machines__agent_a__labels={"node-role.kubernetes.io/worker": "true"}),
        "seedbed:machines.agent-a.labels: node-role.kubernetes.io/worker is Kubernetes' own, and a kubelet that claims it does not "
        "start; take a domain of yours, or set it later: `kubectl label node … node-role.kubernetes.io/worker=true`",
    ),
    "a version without a checksum": (
        changed(k3s__version="v1.99.0+k3s1"),
        "seedbed:k3s.version: v1.99.0+k3s1 has no checksum in components/versions.py",
    ),
    "a version that is none": (
        changed(k3s__version="1.34"),
        "seedbed:k3s.version: '1.34' is not a k3s version such as v1.34.2+k3s1",
    ),
    "a checksum that contradicts the catalogue": (
        changed(k3s__sha256={"amd64": "0" * 64}),
        f"seedbed:k3s.sha256.amd64: {'0' * 64} is not what components/versions.py has for v1.34.2+k3s1",
    ),
    "a checksum that is none": (
        changed(k3s__version="v1.99.0+k3s1", k3s__sha256={"amd64": "beef"}),
        "seedbed:k3s.sha256.amd64: 'beef' is not a sha256 of 64 hexadecimal digits",
    ),
    "an architecture that is none": (
        changed(k3s__sha256={"arm": "0" * 64}),
        "seedbed:k3s.sha256.arm: unknown architecture; there are amd64 and arm64",
    ),
    "a checksum file that is not there": (
        changed(k3s__sha256File=".lab/none"),
        "seedbed:k3s.sha256File: .lab/none cannot be read; the lab makes it",
    ),
    "downloads without TLS": (
        changed(k3s__releaseUrl="http://mirror.example.org"),
        "seedbed:k3s.releaseUrl: must begin with https://",
    ),
    "a malformed host key": (
        changed(machines__agent_a__hostKey="ssh-ed25519 AAAA"),
        "seedbed:machines.agent-a.hostKey: must be `ssh-ed25519 AAAA…` without a comment",
    ),
    "a host key with a comment": (
        changed(machines__agent_a__hostKey=HOST_KEY + " root@host"),
        "seedbed:machines.agent-a.hostKey: must be `ssh-ed25519 AAAA…` without a comment",
    ),
    "a malformed taint": (
        changed(machines__agent_a__taints=["dedicated"]),
        "seedbed:machines.agent-a.taints: 'dedicated' is not KEY=VALUE:NoSchedule",
    ),
    "an identity beside an identity file": (
        changed(identity="x", identityFile="y"),
        "seedbed:identityFile: there is also a seedbed:identity; keep one of the two",
    ),
    "a timeout that is none": (
        changed(timeouts={"step": 1}),
        "seedbed:timeouts.step: should be greater than or equal to 30, not 1",
    ),
}


@pytest.mark.parametrize(("config", "expected"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_named_with_its_place_and_remedy(config: dict[str, Any], expected: str):
    found = problems(config)
    assert any(line.startswith(expected) for line in found), "\n".join(found)


def test_a_mistake_causes_no_second_complaint():
    lonely = set(BAD) - {"a version without a checksum"}
    for name in lonely - {"no server", "an init server of a generation to come", "a checksum that is none"}:
        found = problems(BAD[name][0])
        assert len(found) == 1, f"{name}: {found}"


def test_all_mistakes_are_reported_at_once():
    config = changed(
        typo=1,
        cluster__init="nobody-1",
        network__services="10.9.0.0/24",
        k3s__version="v0.0.0+k3s1",
        machines__agent_a__roll="agent",
        machines__server_b=SERVER,
    )
    found = "\n".join(problems(config))
    for place in ("seedbed:typo", "cluster.init", "network.services", "k3s.version", "agent-a.roll", "2 servers"):
        assert place in found


def test_a_version_that_only_the_lab_has_a_digest_for_is_taken_before_the_lab_is_made():
    config = changed(k3s__version="v1.99.0+k3s1", k3s__sha256File=".lab/none")
    assert parse(config, "x", ROOT, lab_is_made=False).k3s_digests == {}


def test_a_valid_host_key_of_an_existing_machine_is_taken():
    settings = parse(changed(machines__agent_a__hostKey=HOST_KEY), "x", ROOT)
    assert settings.machines["agent-a"].host_key == HOST_KEY


def test_what_may_leave_is_of_any_generation_those_that_never_joined_and_are_given_up_included():
    for generation in (1, 3, 4, 5):
        assert parse(changed(machines__agent_a__generation=3, retire=[f"agent-a-{generation}"]), "", ROOT).retire


def test_the_server_that_made_the_cluster_may_leave_like_any_other_and_keeps_its_name_there():
    servers = {name: {"role": "server", "address": f"10.9.0.1{i}"} for i, name in enumerate(("server-b", "server-c"))}
    without = changed(
        machines__server_a=..., **{f"machines__{name.replace('-', '_')}": s for name, s in servers.items()}
    )
    for generation in (1, 7):
        settings = parse(without | {"retire": [f"server-a-{generation}"]}, "", ROOT)
        assert (settings.cluster.init, settings.names(Role.SERVER)) == ("server-a-1", ["server-b", "server-c"])
    assert any(
        "Where server-a-1 is the one that made the cluster and leaves, put it on" in line for line in problems(without)
    )


def test_an_even_number_of_servers_is_right_while_one_leaves():
    two = {"role": "server", "address": "10.9.0.12"}
    settings = parse(changed(machines__server_b=two, retire=["server-c-1"]), "Pulumi.test.yaml", ROOT)
    assert settings.names(Role.SERVER) == ["server-a", "server-b"]
    [problem] = problems(changed(machines__server_b=two, retire=["server-b-1"]))
    assert problem.endswith("so make their number odd. While a dead one leaves, it is on seedbed:retire")


def test_the_server_that_initialises_joins_first_and_agents_are_sorted():
    config = changed(
        cluster__init="server-c-1",
        machines__server_b=SERVER,
        machines__server_c=SERVER | {"address": "10.9.0.13"},
    )
    settings = parse(config, "x", ROOT)
    assert settings.names(Role.SERVER) == ["server-c", "server-a", "server-b"]
    assert settings.api_url == "https://10.9.0.13:6443"


@pytest.mark.parametrize("stack", ["prod"])
def test_the_committed_stack_is_valid(stack: str):
    settings = from_file(stack)
    assert len(settings.names(Role.SERVER)) == 3
    assert len(settings.names(Role.AGENT)) == 2


def test_a_machine_that_is_there_twice_is_refused_with_its_line(tmp_path: Path):
    text = "config:\n  seedbed:machines:\n    a: {role: server}\n    a: {role: agent}\n"
    (tmp_path / "Pulumi.dup.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"'a' is there twice.*line 3.*line 4"):
        from_file("dup", tmp_path)


def test_a_stack_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(SettingsError, match=r"Pulumi\.live\.yaml cannot be used, 1 problem:\n.*dev, prod"):
        from_file("live")


def test_the_same_settings_come_from_the_file_and_from_its_yaml(tmp_path: Path):
    document = {"config": {f"seedbed:{key}": value for key, value in GOOD.items()}}
    (tmp_path / "Pulumi.same.yaml").write_text(yaml.safe_dump(document))
    assert from_file("same", tmp_path) == parse(GOOD, "x", tmp_path)


def test_the_clouds_provider_is_told_who_asks_and_not_where(tmp_path: Path):
    document = {"config": {f"seedbed:{key}": value for key, value in GOOD.items()}}
    document["config"] |= {
        "digitalocean:token": {"secure": "v1:a:b"},
        "digitalocean:spacesAccessId": "a",
        "digitalocean:spacesSecretKey": {"secure": "v1:a:b"},
        "digitalocean:requestsPerSecond": 5,
        "pulumi:tags": {},
    }
    file = tmp_path / "Pulumi.cloud.yaml"
    file.write_text(yaml.safe_dump(document))
    assert from_file("cloud", tmp_path) == parse(GOOD, "x", tmp_path)
    endpoint = "https://elsewhere.example.org"
    document["config"] |= {
        "seedbed:machine": {},
        "digitalocean:apiEndpoint": endpoint,
        "digitalocean:spacesEndpoint": endpoint,
        "digitalocean:api_endpoint": endpoint,
        "digitalocean:tokn": "a",
    }
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(SettingsError) as caught:
        from_file("cloud", tmp_path)
    why = "an endpoint in this file would get the credentials, and no review would show it; take it out, and export"
    unknown, api, alias, spaces, typo = caught.value.problems
    assert unknown.startswith("seedbed:machine: unknown key")
    assert api == f"digitalocean:apiEndpoint: {why} DIGITALOCEAN_API_URL if it is meant"
    assert alias.startswith("digitalocean:api_endpoint: unknown key; there are httpRetryMax, ")
    assert spaces == f"digitalocean:spacesEndpoint: {why} SPACES_ENDPOINT_URL if it is meant"
    assert typo == 'digitalocean:tokn: unknown key; did you mean "token"?'


@pytest.mark.parametrize(
    "key",
    [
        "disk",
        "example.org/disk",
        "topology.kubernetes.io/zone",
        "node.kubernetes.io/pool",
        "a.node.kubernetes.io/b",
        "x-k8s.io/a",
    ],
)
def test_a_label_that_a_kubelet_may_claim_is_taken(key: str):
    made = parse(changed(machines__agent_a__labels={key: "", "b": "A_b.c-9"}), "Pulumi.test.yaml", ROOT)
    assert made.machines["agent-a"].labels == {key: "", "b": "A_b.c-9"}
