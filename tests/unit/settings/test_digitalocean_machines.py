"""The machines of a stack at DigitalOcean, their pools and network: every error at once, before anything is asked for."""

from typing import Any

import pytest

from components.metal.digitalocean.catalogue import DATE
from stacks.pool_settings import DropletSettings
from stacks.settings import Role
from tests.unit.settings.cloud_settings import (
    CLOUD,
    POOLS,
    assert_the_one_problem,
    changed,
    problems,
    settings,
    volume,
)

MACHINES_OF_SERVERS = "pools__servers__machines"

BAD = {
    "an unknown region": (
        changed(digitalocean__region="fra2"),
        f"{CLOUD}.region: 'fra2' is no region of the table of {DATE}; did you mean \"fra1\"?",
    ),
    "an unknown size": (
        changed(pools__agents__size="s-4vcpu-9gb"),
        f"{POOLS}.agents.size: 's-4vcpu-9gb' is no size of the table of {DATE}; did you mean \"s-4vcpu-8gb\"?",
    ),
    "a size that is not in the region": (
        changed(digitalocean__region="ams3", pools__agents__size="c-4"),
        f"{POOLS}.agents.size: c-4 is not on sale in ams3 by the table of {DATE}, but in fra1, lon1, nyc1, nyc3; take "
        "s-4vcpu-8gb there",
    ),
    "an unknown image": (
        changed(digitalocean__image="debian-14-x64"),
        f"{CLOUD}.image: 'debian-14-x64' is no image of the table of {DATE}; did you mean \"debian-1",
    ),
    "an unknown image of a pool": (
        changed(pools__agents__image="fedora"),
        f"{POOLS}.agents.image: 'fedora' is no image of the table of {DATE}; there are debian-12-x64, debian-13-x64",
    ),
    "an unknown key of the cloud": (
        changed(digitalocean__regoin="fra1"),
        f'{CLOUD}.regoin: unknown key; did you mean "region"?',
    ),
    "an unknown key of a volume": (
        changed(digitalocean__volumes={"data": volume(gib=1)}),
        f"{CLOUD}.volumes.data.gib: unknown key; there are machine, mount, region, size",
    ),
    "an unknown key of a machine": (
        changed(pools__agents__machines={"agent-a": {"generaton": 2}}),
        f'{POOLS}.agents.machines.agent-a.generaton: unknown key; did you mean "generation"?',
    ),
    "a machine with nothing behind its name": (
        changed(pools__agents__machines={"agent-a": None}),
        f"{POOLS}.agents.machines.agent-a: should be a map, `{{}}` where there is nothing to say, not None",
    ),
    "a generation in quotes": (
        changed(pools__agents__machines={"agent-a": {"generation": "2"}}),
        f"{POOLS}.agents.machines.agent-a.generation: should be a valid integer, not '2'",
    ),
    "a machine in two pools": (
        changed(pools__others={"role": "agent", "size": "s-4vcpu-8gb", "machines": {"agent-a": {}}}),
        f"{POOLS}.others.machines.agent-a: the pool agents has a machine of this name",
    ),
    "a machine's name that is none": (
        changed(pools__agents__machines={"agent-a": {}, "Agent": {}}),
        f"{POOLS}.agents.machines.Agent: a machine's name has at most 40 lower-case letters",
    ),
    "a name that ends like a generation": (
        changed(pools__agents__machines={"agent-a": {}, "agent-2": {}}),
        f"{POOLS}.agents.machines.agent-2: a name must not end in -<number>",
    ),
    "a pool without machines": (
        changed(pools__others={"role": "agent", "size": "s-4vcpu-8gb", "machines": {}}),
        f"{POOLS}.others.machines: names no machine",
    ),
    "a malformed taint": (
        changed(pools__agents__taints=["dedicated"]),
        f"{POOLS}.agents.taints: 'dedicated' is not KEY=VALUE:NoSchedule",
    ),
    "no pools": (changed(pools=...), f"{POOLS}: must have a pool of servers"),
    "pools without their cloud": (
        changed(digitalocean=...),
        f"{CLOUD}: missing; {POOLS} are machines that it makes",
    ),
    "machines that exist beside those that are made": (
        changed(machines={"server-d": {"role": "server", "address": "10.20.0.9"}}),
        f"seedbed:machines: there is also {CLOUD} or :pools; keep machines that exist, or the other two",
    ),
    "an even number of servers": (
        changed(**{MACHINES_OF_SERVERS: {"server-a": {}, "server-b": {}}}),
        f"{POOLS}: 2 servers (server-a, server-b); etcd survives no more losses",
    ),
    "no server": (
        changed(pools__servers=...),
        f"{POOLS}: no machine has the role server; a cluster needs one, or three",
    ),
    "an init server of no pool": (
        changed(cluster__init="server-x-1"),
        "seedbed:cluster.init: 'server-x-1' is not a server with its generation; did you mean 'server-",
    ),
    "an init server that is an agent": (
        changed(cluster__init="agent-a-2"),
        "seedbed:cluster.init: 'agent-a-2' is not a server with its generation",
    ),
    "an endpoint of one's own": (
        changed(cluster__endpoint="k8s.example.org"),
        "seedbed:cluster.endpoint: is the load balancer's address, which the cloud gives; take it out",
    ),
    "a login that droplets do not have": (
        changed(ssh={"user": "debian"}),
        "seedbed:ssh: a droplet lets in root at port 22; take it out",
    ),
    "pods in the VPC's range": (
        changed(network__pods="10.20.0.0/16"),
        "seedbed:network.pods: 10.20.0.0/16 overlaps machines 10.20.0.0/24",
    ),
    "services in the VPC's range": (
        changed(network__services="10.20.0.0/20"),
        "seedbed:network.services: 10.20.0.0/20 overlaps machines 10.20.0.0/24",
    ),
    "services in the pods' range": (
        changed(network__services="10.42.0.0/20"),
        "seedbed:network.services: 10.42.0.0/20 overlaps pods 10.42.0.0/16",
    ),
    "a VPC in a range that the cloud keeps": (
        changed(network__machines="10.245.7.0/24"),
        "seedbed:network.machines: 10.245.7.0/24 overlaps 10.245.0.0/16, which DigitalOcean keeps for itself",
    ),
    "a VPC in a range that the region keeps": (
        changed(network__machines="10.10.7.0/24", digitalocean__region="nyc1", digitalocean__snapshots=...),
        "seedbed:network.machines: 10.10.7.0/24 overlaps 10.10.0.0/16, which DigitalOcean keeps for itself",
    ),
    "a VPC that is public": (
        changed(network__machines="203.0.112.0/24"),
        "seedbed:network.machines: 203.0.112.0/24 is not private; a VPC is inside 10.0.0.0/8, 172.16.0.0/12",
    ),
    "a VPC that is too large": (
        changed(network__machines="10.128.0.0/15"),
        "seedbed:network.machines: 10.128.0.0/15 cannot be a VPC's; take a prefix length from /16 to /28",
    ),
    "a VPC that is too small": (
        changed(network__machines="10.20.0.0/29"),
        "seedbed:network.machines: 10.20.0.0/29 cannot be a VPC's; take a prefix length from /16 to /28",
    ),
    "a VPC without room for all": (
        changed(network__machines="10.20.0.0/28", digitalocean__loadBalancer={"size": 9}),
        "seedbed:network.machines: 10.20.0.0/28 has 13 addresses for 13 machines and nodes of the load balancer and one",
    ),
}


@pytest.mark.parametrize(("config", "expected"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_named_with_its_place_and_remedy_and_causes_no_second_complaint(
    config: dict[str, Any], expected: str
):
    assert_the_one_problem(config, expected)


def test_a_pool_that_cannot_be_read_keeps_its_names():
    config = changed(pools__agents__size=..., digitalocean__reservedAddresses={"ip": {"machine": "agent-a"}})
    assert problems(config) == [f"{POOLS}.agents.size: missing"]


def test_every_machine_of_every_pool_has_what_its_pool_has():
    made = settings(pools__agents__labels={"a": "b"}, pools__agents__taints=["x=y:NoSchedule"])
    agent = made.machines["agent-a"]
    assert (agent.role, agent.address, agent.pool, agent.generation) == (Role.AGENT, None, "agents", 2)
    assert (agent.labels, agent.taints) == ({"a": "b"}, ("x=y:NoSchedule",))
    assert made.full_name("agent-a") == "agent-a-2"
    assert made.names(Role.SERVER) == ["server-a", "server-b", "server-c"]
    assert made.digitalocean is not None
    assert made.digitalocean.pools["servers"].machines == ("server-a", "server-b", "server-c")


def test_a_droplet_is_what_its_pool_says_and_else_the_clouds_image():
    cloud = settings(
        pools__agents__image="debian-13-x64", pools__agents__backups=True, pools__agents__ipv6=True
    ).digitalocean
    assert cloud is not None
    plain = DropletSettings("s-2vcpu-4gb", "debian-12-x64", ipv6=False, monitoring=True, backups=False)
    assert cloud.droplet("server-a") == plain
    assert cloud.droplet("agent-a") == DropletSettings("s-4vcpu-8gb", "debian-13-x64", True, True, True)


def test_the_smallest_vpc_has_room_for_a_small_stack_and_one_that_is_replaced():
    many = {f"agent{chr(97 + i)}": {} for i in range(7)}
    assert settings(network__machines="10.20.0.0/28", pools__others=pool(many))
    full = many | {"agentx": {}}
    assert "is being replaced" in problems(changed(network__machines="10.20.0.0/28", pools__others=pool(full)))[0]


def pool(machines: dict[str, Any]) -> dict[str, Any]:
    return {"role": "agent", "size": "s-4vcpu-8gb", "machines": machines}
