"""What a stack at DigitalOcean has beside its machines: every error at once, before anything is asked for."""

import copy
from ipaddress import IPv4Network
from typing import Any

import pytest

from stacks.config import from_file
from stacks.settings import Role
from tests.unit.settings.cloud_settings import (
    CLOUD,
    GOOD,
    assert_the_one_problem,
    changed,
    dns,
    problems,
    settings,
    snapshots,
    volume,
)

BAD = {
    "no operators": (
        changed(digitalocean__operators={}),
        f"{CLOUD}.operators: names no network that may log in by SSH",
    ),
    "the world as an operator": (
        changed(digitalocean__operators={"all": "0.0.0.0/0"}),
        f"{CLOUD}.operators.all: 0.0.0.0/0 opens SSH to the world; name the networks that operators come from",
    ),
    "half of the world as an operator": (
        changed(digitalocean__operators={"half": "128.0.0.0/1"}),
        f"{CLOUD}.operators.half: 128.0.0.0/1 opens SSH to the world",
    ),
    "just wider than what is let in": (
        changed(digitalocean__operators={"wide": "10.0.0.0/7"}),
        f"{CLOUD}.operators.wide: 10.0.0.0/7 opens SSH to the world",
    ),
    "the other world as an operator": (
        changed(digitalocean__operators={"all": "::/0"}),
        f"{CLOUD}.operators.all: ::/0 is of IPv6, which SSH is not reached by; give the IPv4 network",
    ),
    "half of the world in parts": (
        changed(digitalocean__operators={f"n{i}": f"{i}.0.0.0/8" for i in (10, 11, 172)}),
        f"{CLOUD}.operators: n10, n11 together are 10.0.0.0/7, which opens SSH to the world; name fewer networks",
    ),
    "an operator that is a name": (
        changed(digitalocean__operators={"office": "office.example.org"}),
        f"{CLOUD}.operators.office: 'office.example.org' is not a network such as 203.0.113.0/24",
    ),
    "an operator's network with an address of it": (
        changed(digitalocean__operators={"office": "203.0.113.7/24"}),
        f"{CLOUD}.operators.office: 203.0.113.7/24 is an address inside 203.0.113.0/24; write 203.0.113.0/24, or",
    ),
    "a wildcard as a zone": (
        dns(zone="*.example.org"),
        f"{CLOUD}.dns.zone: '*.example.org' is not the name of a zone such as example.org; wildcards go into names",
    ),
    "a zone of one label": (dns(zone="example"), f"{CLOUD}.dns.zone: 'example' is not the name of a zone"),
    "a zone without names": (
        dns(names=[]),
        f"{CLOUD}.dns.names: is empty; name a record, such as k8s, or take dns out",
    ),
    "a name with its zone": (
        dns(names=["k8s.example.org"]),
        f"{CLOUD}.dns.names: 'k8s.example.org' is inside example.org twice; write it without `.example.org`",
    ),
    "a wildcard in the middle": (dns(names=["a.*"]), f"{CLOUD}.dns.names: 'a.*' is not a name inside the zone"),
    "a name twice": (dns(names=["k8s", "k8s"]), f"{CLOUD}.dns.names: k8s is there twice"),
    "a web port below the node ports": (
        changed(digitalocean__loadBalancer={"httpNodePort": 29999}),
        f"{CLOUD}.loadBalancer.httpNodePort: should be greater than or equal to 30000, not 29999",
    ),
    "a web port above the node ports": (
        changed(digitalocean__loadBalancer={"httpsNodePort": 32768}),
        f"{CLOUD}.loadBalancer.httpsNodePort: should be less than or equal to 32767, not 32768",
    ),
    "one port for both": (
        changed(digitalocean__loadBalancer={"httpNodePort": 30443}),
        f"{CLOUD}.loadBalancer.httpsNodePort: 30443 is HTTP's already",
    ),
    "a load balancer of no nodes": (
        changed(digitalocean__loadBalancer={"size": 0}),
        f"{CLOUD}.loadBalancer.size: should be greater than or equal to 1, not 0",
    ),
    "snapshots in a region without Spaces": (
        changed(digitalocean__region="nyc1"),
        f"{CLOUD}.snapshots: nyc1 has no Spaces; take a region that has (ams3, ",
    ),
    "snapshots in a region without Spaces, elsewhere": (
        changed(
            digitalocean__region="nyc1",
            digitalocean__snapshots={"bucket": "etcd", "endpoint": "https://s3.example.org"},
        ),
        f"{CLOUD}.snapshots: nyc1 has no Spaces; take a region that has (ams3, ",
    ),
    "snapshots beside the state": (
        snapshots(bucket="seedbed-test-state"),
        f"{CLOUD}.snapshots.bucket: seedbed-test-state is the name of the state's own bucket; take another one",
    ),
    "a bucket with capitals": (snapshots(bucket="Etcd"), f"{CLOUD}.snapshots.bucket: 'Etcd' is not a bucket's name"),
    "a bucket of two letters": (
        snapshots(bucket="ab"),
        f"{CLOUD}.snapshots.bucket: 'ab' is not a bucket's name: 3 to 63",
    ),
    "a bucket with a full stop": (
        snapshots(bucket="a.b.c"),
        f"{CLOUD}.snapshots.bucket: 'a.b.c' is not a bucket's name",
    ),
    "a cron of four fields": (
        snapshots(cron="0 */6 * *"),
        f"{CLOUD}.snapshots.cron: '0 */6 * *' is not the five fields minute, hour, day of month, month and day of week",
    ),
    "an hour of no day": (
        snapshots(cron="0 24 * * *"),
        f"{CLOUD}.snapshots.cron: '24' is not a hour from 0 to 23, a range or a step of them",
    ),
    "a range that ends before it begins": (
        snapshots(cron="0 6-3 * * *"),
        f"{CLOUD}.snapshots.cron: '6-3' is not a hour from 0 to 23",
    ),
    "a step of nothing": (snapshots(cron="*/0 * * * *"), f"{CLOUD}.snapshots.cron: '*/0' is not a minute from 0 to 59"),
    "snapshots that are not kept": (
        snapshots(keep=0),
        f"{CLOUD}.snapshots.keep: should be greater than or equal to 1, not 0",
    ),
    "an endpoint that is no URL": (
        snapshots(endpoint="fra1.digitaloceanspaces.com"),
        f"{CLOUD}.snapshots.endpoint: 'fra1.digitaloceanspaces.com' is not a URL such as https://",
    ),
    "a volume of no size": (
        changed(digitalocean__volumes={"data": volume(size=0)}),
        f"{CLOUD}.volumes.data.size: should be greater than or equal to 1, not 0",
    ),
    "a volume larger than any": (
        changed(digitalocean__volumes={"data": volume(size=16385)}),
        f"{CLOUD}.volumes.data.size: should be less than or equal to 16384, not 16385",
    ),
    "a volume in another region": (
        changed(digitalocean__volumes={"data": volume(region="ams3")}),
        f"{CLOUD}.volumes.data.region: ams3 is not fra1, where the machines are",
    ),
    "a volume of an unknown machine": (
        changed(digitalocean__volumes={"data": volume(machine="agent-b")}),
        f"{CLOUD}.volumes.data.machine: no machine is called 'agent-b'; did you mean \"agent-a\"?",
    ),
    "a volume of a machine with its generation": (
        changed(digitalocean__volumes={"data": volume(machine="agent-a-2")}),
        f"{CLOUD}.volumes.data.machine: no machine is called 'agent-a-2'; did you mean \"agent-a\"?",
    ),
    "two volumes at one place": (
        changed(digitalocean__volumes={"one": volume(), "two": volume()}),
        f"{CLOUD}.volumes.two.mount: /srv/data of agent-a is one's already",
    ),
    "a volume inside another one": (
        changed(digitalocean__volumes={"one": volume(mount="/srv/data/more"), "two": volume()}),
        f"{CLOUD}.volumes.one.mount: /srv/data/more is inside /srv/data, which is two's; take a folder beside it",
    ),
    "more volumes than a droplet takes": (
        changed(digitalocean__volumes={f"v{i}": volume(mount=f"/srv/{i}") for i in range(16)}),
        f"{CLOUD}.volumes: agent-a has 16 of them; a droplet takes 15",
    ),
    "a volume's name that the cloud refuses": (
        changed(digitalocean__volumes={"Data_1": volume()}),
        f"{CLOUD}.volumes.Data_1: a volume's name has lower-case letters, digits and inner hyphens",
    ),
    "a volume's name that is too long": (
        changed(digitalocean__volumes={"d" * 52: volume()}),
        f"{CLOUD}.volumes.{'d' * 52}: seedbed-test-{'d' * 52} has 65 characters, of at most 64; shorten the name",
    ),
    "a reserved address of an unknown machine": (
        changed(digitalocean__reservedAddresses={"ingress": {"machine": "agent-b"}}),
        f"{CLOUD}.reservedAddresses.ingress.machine: no machine is called 'agent-b'; did you mean \"agent-a\"?",
    ),
    "two reserved addresses of one machine": (
        changed(digitalocean__reservedAddresses={"one": {"machine": "agent-a"}, "two": {"machine": "agent-a"}}),
        f"{CLOUD}.reservedAddresses.two.machine: agent-a has one already, and a droplet takes one reserved address",
    ),
}

for place in (
    "/",
    "/var/lib",
    "relative",
    "/srv/../etc",
    "/srv/a b",
    "/srv/",
    "/proc",
    "/etc/ssh",
    "/usr/local",
    "/boot/a",
):
    BAD[f"a volume mounted at {place}"] = (
        changed(digitalocean__volumes={"data": volume(mount=place)}),
        f"{CLOUD}.volumes.data.mount: {place!r} is not a folder of its own such as /var/lib/longhorn",
    )

for place in ("/var/lib/docker", "/var/lib/docker/volumes", "/var/lib/containerd"):
    BAD[f"a volume mounted at {place}"] = (
        changed(digitalocean__volumes={"data": volume(mount=place)}),
        f"{CLOUD}.volumes.data.mount: {place} is Docker's, which runs before a volume comes to its machine; take a folder of its "
        "own such as /var/lib/longhorn",
    )


for place in (
    "/var/lib/rancher",
    "/var/lib/rancher/k3s",
    "/var/lib/rancher/k3s/server/db",
    "/var/lib/kubelet/pods",
    "/var/lib/seedbed",
):
    BAD[f"a volume mounted at {place}"] = (
        changed(digitalocean__volumes={"data": volume(mount=place)}),
        f"{CLOUD}.volumes.data.mount: {place} is k3s' or the paving's own, and another machine's would be found in it; take a ",
    )


@pytest.mark.parametrize(
    "place", ["/var/lib/rancher/k3s/storage", "/var/lib/longhorn", "/home/data", "/srv", "/var/lib/rancher-x"]
)
def test_a_folder_of_its_own_is_a_place_for_a_volume(place: str):
    assert settings(digitalocean__volumes={"data": volume(mount=place), "other": volume(mount="/mnt/other")})


@pytest.mark.parametrize(("config", "expected"), BAD.values(), ids=BAD.keys())
def test_a_mistake_is_named_with_its_place_and_remedy_and_causes_no_second_complaint(
    config: dict[str, Any], expected: str
):
    assert_the_one_problem(config, expected)


def test_all_mistakes_are_reported_at_once():
    config = changed(
        network__machines="10.245.0.0/30",
        digitalocean__region="nyc4",
        digitalocean__image="windows",
        digitalocean__operators={"all": "0.0.0.0/0"},
        digitalocean__volumes={"data": volume(machine="nobody", mount="/", region="ams3")},
        digitalocean__snapshots={"bucket": "_", "cron": "daily"},
        digitalocean__dns={"zone": "*.org", "names": []},
        digitalocean__reservedAddresses={"ip": {"machine": "nobody"}},
        pools__agents__size="huge",
        pools__servers__machines={"server-a": {}, "server-b": {}, "agent-a": {}, "x-1": {}},
        cluster__init="agent-a-2",
    )
    found = "\n".join(problems(config))
    for place in (
        "network.machines: 10.245.0.0/30 cannot be",
        "network.machines: 10.245.0.0/30 overlaps",
        "digitalocean.region",
        "digitalocean.image",
        "operators.all",
        "volumes.data.machine",
        "volumes.data.mount",
        "volumes.data.region",
        "snapshots.bucket",
        "snapshots.cron",
        "dns.zone",
        "dns.names",
        "reservedAddresses.ip.machine",
        "pools.agents.size",
        "pools.servers.machines.x-1",
        "pools.agents.machines.agent-a: the pool servers has",
        "cluster.init",
    ):
        assert place in found, place


def test_names_of_a_stack_that_the_cloud_would_refuse_are_refused():
    (found,) = problems(GOOD, stack="Prod_1")
    assert found.startswith(f"{CLOUD}: the stack's name 'Prod_1' is part of names at DigitalOcean")


@pytest.mark.parametrize("stack", ["prod-server", "prod-balancer"])
def test_a_stack_whose_names_at_the_cloud_are_another_stacks_is_refused(stack: str):
    (found,) = problems(GOOD, stack=stack)
    assert found.startswith(
        f"{CLOUD}: the stack's name {stack!r} gives it the tag or the firewall seedbed-{stack} of a stack 'prod'"
    )


def test_what_is_not_said_has_its_default():
    cloud = settings().digitalocean
    assert cloud is not None
    assert cloud.operators == {"office": IPv4Network("203.0.113.0/24")}
    assert (cloud.load_balancer.size, cloud.load_balancer.http_node_port) == (1, 30080)
    assert cloud.dns is None
    assert cloud.snapshots is not None
    assert cloud.snapshots.endpoint == "https://fra1.digitaloceanspaces.com"
    assert (cloud.snapshots.cron, cloud.snapshots.keep, cloud.snapshots.keep_days) == ("0 */6 * * *", 28, 30)


def test_only_the_cloud_knows_where_the_api_is():
    assert settings().api_url is None
    with pytest.raises(ValueError, match="the cloud's to give"):
        _ = settings().machines["agent-a"].cluster_address


def test_a_single_address_is_an_operators_network():
    cloud = settings(digitalocean__operators={"me": "203.0.113.7", "all": "10.0.0.0/8"}).digitalocean
    assert cloud is not None
    assert cloud.operators == {"me": IPv4Network("203.0.113.7/32"), "all": IPv4Network("10.0.0.0/8")}


def test_the_regions_spaces_may_be_found_elsewhere_as_in_a_rehearsal():
    made = settings(digitalocean__snapshots={"bucket": "etcd", "endpoint": "http://10.77.0.2:7480"})
    assert made.digitalocean is not None
    assert made.digitalocean.snapshots is not None
    assert made.digitalocean.snapshots.endpoint == "http://10.77.0.2:7480"


@pytest.mark.parametrize("cron", ["*/15 * * * *", "0 0,12 1-15 */2 1-5", "59 23 31 12 6", "5-10/2 * * * *"])
def test_a_cron_that_is_one_is_taken(cron: str):
    assert settings(digitalocean__snapshots={"bucket": "etcd", "cron": cron})


@pytest.mark.parametrize("names", [["*"], ["k8s", "*.apps", "a.b"]])
def test_wildcards_are_names_of_a_zone(names: list[str]):
    assert settings(digitalocean__dns={"zone": "example.org", "names": names})


def test_the_order_counts_all_that_is_paid_for():
    cloud = settings(
        pools__agents__backups=True,
        digitalocean__loadBalancer={"size": 2},
        digitalocean__volumes={"one": volume(), "two": volume(mount="/srv/two", size=32)},
        digitalocean__reservedAddresses={"ip": {"machine": "agent-a"}},
    ).digitalocean
    assert cloud is not None
    order = cloud.order
    assert sorted(order.sizes.items())[0] == ("agent-a", "s-4vcpu-8gb")
    assert len(order.sizes) == 4
    assert order.backups == {"agent-a"}
    assert (order.balancer_nodes, order.volume_gib, order.reserved_addresses, order.bucket) == (2, 42, 1, True)


def test_the_committed_prod_stack_is_at_digitalocean():
    made = from_file("prod")
    assert made.digitalocean is not None
    assert {made.machines[name].pool for name in made.names(Role.SERVER)} == {"servers"}
    assert made.digitalocean.snapshots is not None


def test_the_settings_of_the_same_configuration_are_the_same():
    before = copy.deepcopy(GOOD)
    assert settings() == settings()
    assert before == GOOD
