"""What the prod stack asks of DigitalOcean: names, order, protection, who may reach what, and what is told to whom."""

import itertools
import re
import zlib

import pytest
import yaml

from components.metal.digitalocean.droplet import FROZEN
from tests.unit.stack.conftest import CLOUD, SECRET, SIGNATURE

MACHINES = ["agent-a-1", "agent-b-1", "server-a-1", "server-b-1", "server-c-1"]
SERVERS = [name for name in MACHINES if name.startswith("server")]
OUTLIVING = {"Vpc", "LoadBalancer", "Volume", "ReservedIp", "SpacesBucket"}


def of(program, kind):
    """The resources of a type of DigitalOcean's, by name."""
    return {
        r.name: r for r in program.resources if r.type.startswith("digitalocean:") and r.type.rpartition(":")[2] == kind
    }


def script(program, machine, step="k3s"):
    return program.step(machine, step).inputs["stdin"]["value"]


def waits_for(resource):
    return [urn.split("::")[-1] for urn in resource.request.dependencies]


def test_every_machine_of_every_pool_is_a_droplet_of_its_full_name(run):
    droplets = of(run("prod"), "Droplet")
    assert sorted(droplets) == MACHINES
    for name, droplet in droplets.items():
        assert droplet.inputs["name"] == name
        expected = ["seedbed-prod", "seedbed-prod-server"] if name in SERVERS else ["seedbed-prod"]
        assert droplet.inputs["tags"] == expected


def test_what_would_replace_or_restart_a_droplet_is_frozen(run):
    for droplet in of(run("prod"), "Droplet").values():
        assert set(droplet.request.ignoreChanges) == set(FROZEN)
        assert not droplet.request.protect


def test_what_outlives_machines_is_protected_and_nothing_else(run):
    def reserve(config):
        config["seedbed:digitalocean"]["reservedAddresses"] = {"ingress": {"machine": "agent-a"}}

    program = run("prod", reserve)
    mine = [r for r in program.resources if r.type.startswith("digitalocean:")]
    protected = {r.type.rpartition(":")[2] for r in mine if r.request.protect}
    assert protected == OUTLIVING
    assert all(r.request.protect for r in mine if r.type.rpartition(":")[2] in OUTLIVING)


def test_a_droplet_is_behind_its_firewall_before_it_is_there(run):
    program = run("prod")
    for droplet in of(program, "Droplet").values():
        assert "seedbed-prod" in waits_for(droplet)
        assert any("firewall:Firewall::seedbed-prod" in urn for urn in droplet.request.dependencies)


def test_the_firewall_lets_in_operators_at_ssh_and_nodes_from_inside_and_nobody_else(run):
    firewall = of(run("prod"), "Firewall")["seedbed-prod"].inputs
    assert firewall["tags"] == ["seedbed-prod"]
    rules = {(r["protocol"], r.get("portRange", "")): r["sourceAddresses"] for r in firewall["inboundRules"]}
    assert rules.pop(("tcp", "22")) == ["203.0.113.0/24"]
    assert all(sources == ["10.20.0.0/24"] for sources in rules.values())
    assert {ports for _, ports in rules} == {"", "2379-2380", "6443", "10250", "8472"}


def test_the_api_and_the_web_come_through_the_load_balancer_only_and_only_to_servers(run):
    program = run("prod")
    firewall = of(program, "Firewall")["seedbed-prod-balancer"].inputs
    assert firewall["tags"] == ["seedbed-prod-server"]
    assert {r["portRange"] for r in firewall["inboundRules"]} == {"6443", "30080", "30443"}
    for rule in firewall["inboundRules"]:
        assert set(rule) == {"protocol", "portRange", "sourceLoadBalancerUids"}
    balancer = of(program, "LoadBalancer")["seedbed-prod"].inputs
    assert balancer["dropletTag"] == "seedbed-prod-server"
    ports = {(rule["entryPort"], rule["targetPort"]) for rule in balancer["forwardingRules"]}
    assert ports == {(6443, 6443), (80, 30080), (443, 30443)}
    assert balancer["healthcheck"]["protocol"] == "tcp"
    assert balancer["healthcheck"]["port"] == 6443


def test_user_data_holds_the_host_key_and_no_other_secret(run, identity):
    for name, droplet in of(run("prod"), "Droplet").items():
        data = droplet.inputs["userData"]
        assert data[SIGNATURE] == SECRET
        parsed = yaml.safe_load(data["value"])
        key = identity.host_key(name)
        assert parsed.pop("ssh_keys") == {"ed25519_private": key.private, "ed25519_public": key.public}
        assert parsed == {"ssh_deletekeys": True, "ssh_genkeytypes": []}


def test_the_steps_log_in_at_the_droplets_own_address_with_its_pinned_key(run, identity):
    for command in run("prod").commands:
        connection = command.inputs["connection"]["value"]
        assert connection["host"] == CLOUD["digitalocean:index/droplet:Droplet"]["ipv4Address"]
        assert connection["hostKey"] == identity.host_key(command.name.rpartition("-")[0]).public


def test_every_machine_joins_at_the_load_balancers_address_but_the_one_that_initialises(run):
    program = run("prod")
    for machine in MACHINES:
        text = script(program, machine)
        data = text.partition("\nmain; exit 0\n")[2]
        assert data.startswith("endpoint 203.0.113.9\n")
        assert "server: https" not in text
        assert ("cluster-init: true" in text) == (machine == "server-a-1")


def test_a_machine_finds_its_own_address_in_the_private_network(run):
    program = run("prod")
    for machine in MACHINES:
        assert "NODE_ADDRESS=10.20.0.0/24\n" in script(program, machine)
        assert "NODE_ADDRESS=10.20.0.0/24\n" in program.step(machine, "wait").inputs["stdin"]


def test_no_node_starts_before_the_load_balancer_may_reach_it(run):
    program = run("prod")
    for machine in MACHINES:
        assert "seedbed-prod-balancer" in waits_for(program.step(machine, "k3s"))


def test_servers_join_one_at_a_time_and_agents_after_the_last(run):
    program = run("prod")
    for before, after in itertools.pairwise(SERVERS):
        assert f"{before}-k3s" in waits_for(program.step(after, "k3s"))
    for agent in ("agent-a-1", "agent-b-1"):
        assert "server-c-1-k3s" in waits_for(program.step(agent, "k3s"))
        assert f"{'agent-b-1' if agent == 'agent-a-1' else 'agent-a-1'}-k3s" not in waits_for(
            program.step(agent, "k3s")
        )


def test_the_names_in_dns_are_in_the_certificates_and_lead_to_the_load_balancer(run):
    program = run("prod")
    records = {name: r.inputs for name, r in of(program, "DnsRecord").items()}
    assert {name: (r["domain"], r["type"], r["value"]) for name, r in records.items()} == dict.fromkeys(
        ("k8s.example.org", "*.apps.example.org"), ("example.org", "A", "203.0.113.9")
    )
    text = script(program, "server-b-1")
    assert "k8s.example.org" in text
    assert "*.apps" not in text


def test_a_volume_is_in_its_machine_and_mounted_before_k3s_starts(run):
    program = run("prod")
    volume = of(program, "Volume")["seedbed-prod-data-a"]
    assert volume.inputs["initialFilesystemType"] == "ext4"
    attachment = of(program, "VolumeAttachment")["seedbed-prod-data-a"]
    assert attachment.inputs["dropletId"] == zlib.crc32(b"agent-a-1")
    assert attachment.request.deleteBeforeReplace
    step = program.step("agent-a-1", "volumes")
    assert "seedbed-prod-data-a" in waits_for(step)
    assert "agent-a-1-volumes" in waits_for(program.step("agent-a-1", "k3s"))
    assert "/dev/disk/by-id/scsi-0DO_Volume_seedbed-prod-data-a /var/lib/longhorn" in step.inputs["stdin"]
    assert not [c for c in program.commands if c.name == "server-a-1-volumes"]


def test_a_volume_leaves_its_machine_when_all_went_well_with_the_next_that_can_be_tried_before(run):
    program = run("prod")
    holder = next(r for r in program.resources if r.name == "seedbed-prod-data-a-holder")
    assert "agent-a-1-docker" in waits_for(next(r for r in program.resources if r.name == "agent-a-1-member"))
    # Whoever takes the other out: all servers.
    assert {"agent-a-1-member", "server-c-1-k3s"} <= set(waits_for(holder))
    assert "seedbed-prod-data-a-holder" in waits_for(of(program, "VolumeAttachment")["seedbed-prod-data-a"])


def test_a_volumes_holder_says_how_to_take_out_the_machine_that_it_is_in(run, identity):
    program = run("prod")
    holder = next(r for r in program.resources if r.name == "seedbed-prod-data-a-holder")
    assert holder.inputs["input"] == {
        "machine": "agent-a-1",
        "login": {
            "address": CLOUD["digitalocean:index/droplet:Droplet"]["ipv4Address"],
            "port": 22,
            "user": "root",
            "hostKey": identity.host_key("agent-a-1").public,
        },
        "mounts": ["/var/lib/longhorn"],
        "paved": {"role": "agent", "size": "s-4vcpu-8gb"},
    }


def test_droplets_and_volumes_are_let_go_of_by_the_gate_and_not_frozen_where_they_move(run):
    program = run("prod")
    for droplet in of(program, "Droplet").values():
        assert list(droplet.request.hooks.before_delete) == ["retire"]
    for attachment in of(program, "VolumeAttachment").values():
        assert list(attachment.request.hooks.before_delete) == ["keep"]
    holders = [r for r in program.resources if r.name.endswith("-holder")]
    assert len(holders) == 2
    for holder in holders:
        assert list(holder.request.hooks.before_update) == ["hand-over"]
        assert not holder.request.ignoreChanges
        # Its name is the volume's, whatever machine it is in.
        assert holder.request.parent.endswith("pulumi:pulumi:Stack::seedbed-prod")


def test_a_reserved_address_leads_to_a_machine_that_has_joined(run):
    def reserve(config):
        config["seedbed:digitalocean"]["reservedAddresses"] = {"ingress": {"machine": "agent-a"}}

    assignment = of(run("prod", reserve), "ReservedIpAssignment")["seedbed-prod-ingress"]
    assert "agent-a-1-k3s" in waits_for(assignment)
    assert assignment.inputs["dropletId"] == zlib.crc32(b"agent-a-1")


def test_the_servers_snapshots_go_to_the_bucket_with_a_key_for_that_bucket_only(run):
    program = run("prod")
    bucket = of(program, "SpacesBucket")["seedbed-prod-etcd"].inputs
    assert bucket["acl"] == "private"
    assert bucket["lifecycleRules"][0]["expiration"] == {"days": 30}
    key = of(program, "SpacesKey")["seedbed-prod-etcd"]
    assert [grant["permission"] for grant in key.inputs["grants"]] == ["readwrite"]
    for server in SERVERS:
        text, _, data = script(program, server).partition("\nmain; exit 0\n")
        assert "etcd-s3: true" in text
        assert "etcd-s3-endpoint: fra1.digitaloceanspaces.com" in text
        assert "etcd-s3-folder: prod" in text
        assert f"etcd-s3-retention: {28 * len(SERVERS)}" in text
        assert "not-a-real-key" not in text
        assert "etcd-s3-secret-key: not-a-real-key" in data
    assert "etcd-s3" not in script(program, "agent-a-1")


def test_the_bucket_deletes_the_stacks_own_snapshots_and_nothing_else_that_is_in_it(run):
    program = run("prod")
    (rule,) = of(program, "SpacesBucket")["seedbed-prod-etcd"].inputs["lifecycleRules"]
    (folder,) = re.findall(r"^ *etcd-s3-folder: (\S+)$", script(program, SERVERS[0]), re.MULTILINE)
    assert rule["prefix"] == f"{folder}/"


def test_a_stack_without_volumes_snapshots_and_names_is_whole(run):
    def bare(config):
        for key in ("volumes", "snapshots", "dns"):
            del config["seedbed:digitalocean"][key]

    program = run("prod", bare)
    assert not {"Volume", "SpacesBucket", "SpacesKey", "DnsRecord"} & {
        r.type.rpartition(":")[2] for r in program.resources
    }
    assert "etcd-s3" not in script(program, "server-a-1")


@pytest.mark.parametrize("pool", ["agents", "workers"])
def test_another_machine_or_pool_renames_nothing_and_changes_no_other_machine(run, pool):
    def add(config):
        config["seedbed:pools"].setdefault(pool, {"role": "agent", "size": "s-2vcpu-4gb", "machines": {}})
        config["seedbed:pools"][pool]["machines"]["agent-aa"] = {}

    def machines(program):
        return {
            (r.type, r.name): (r.inputs, sorted(r.request.dependencies))
            for r in program.resources
            if any(machine in r.name for machine in MACHINES)
        }

    assert {k: v for k, v in machines(run("prod", add)).items() if "agent-aa" not in k[1]} == machines(run("prod"))


def test_the_stack_tells_what_it_costs_and_where_it_is(run):
    outputs = run("prod").outputs
    assert outputs["apiUrl"] == "https://203.0.113.9:6443"
    assert outputs["nodes"]["server-b-1"] == {
        "address": "10.20.0.11", "publicAddress": "203.0.113.20", "role": "server",
    }  # fmt: skip
    assert float(outputs["monthlyCost"]["USD"]) > 0
