"""The doctor's checks of a stack at DigitalOcean, against the lab's cloud that makes nothing, and its object storage."""

import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components.metal.digitalocean.catalogue import REGIONS
from lab.cloud import service, spaces
from lab.cloud.core import Account, Delays
from lab.cloud.limits import Limits
from lab.cloud.service import Endpoint
from lab.internet import gateway
from seedbed import stackfile
from seedbed.checks.digitalocean import check_cloud
from seedbed.digitalocean import Api
from seedbed.findings import Finding, Status
from stacks.settings import Settings
from tools import toolchain
from tools.progress import Progress

SUBNET = IPv4Network("192.0.2.0/24")


@dataclass(frozen=True)
class World:
    """One cloud, and what a stack's environment says of it."""

    cloud: Endpoint
    storage: spaces.Spaces
    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DIGITALOCEAN_TOKEN": self.cloud.token,
            "DIGITALOCEAN_API_URL": self.cloud.url,
            **self.storage.environment(),
        }

    def check(self, deployed: Sequence[Mapping[str, Any]] | None = (), **changes: str) -> list[Finding]:
        return check_cloud(self.settings, "prod", {**self.environment, **changes}, deployed)

    def told(self, endpoint: str) -> "World":
        """Where the settings have k3s look for the bucket at this URL."""
        cloud = self.settings.digitalocean
        assert cloud is not None
        assert cloud.snapshots is not None
        snapshots = replace(cloud.snapshots, endpoint=endpoint)
        return replace(self, settings=replace(self.settings, digitalocean=replace(cloud, snapshots=snapshots)))

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        answer = Api(self.cloud.url, self.cloud.token).ask(method, path, body)
        assert answer.status < 300, answer
        return answer.body


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("lab")
    try:
        storage = spaces.ensure(folder, "tcloud", None, "127.0.0.1", toolchain.versitygw(Progress()))
        cloud = service.start(
            folder,
            "tcloud",
            SUBNET,
            Progress(),
            hypervisor="paper",
            delays=Delays(settle=0),
            limits=Limits(minute=5000),
            account=Account(droplet_limit=6, used_regions=tuple(REGIONS)),
        )
        settings = stackfile.settings(stackfile.load("prod"), lab_is_made=False)
        yield World(cloud, storage, settings).told(storage.endpoint)
    finally:
        service.stop(folder)
        spaces.stop(folder)


@pytest.fixture(autouse=True)
def nothing_is_changed(world: World) -> Iterator[None]:
    before = world.ask("GET", "/lab/census")
    yield
    assert world.ask("GET", "/lab/census") == before


def failures(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.status is Status.FAIL]


def test_everything_that_lacks_is_named_at_once(world: World) -> None:
    findings = world.check(DIGITALOCEAN_TOKEN=world.cloud.token_read_only, SPACES_SECRET_ACCESS_KEY="not the one")
    rights, zone, storage = failures(findings)
    assert "the token may only read" in rights.title
    assert "custom scopes: all of block_storage, block_storage_action, domain, droplet" in rights.remedy
    assert "no zone example.org" in zone.title
    assert "SPACES_SECRET_ACCESS_KEY does not belong to this SPACES_ACCESS_KEY_ID" in storage.title
    assert all(finding.remedy for finding in findings if finding.status is not Status.OK)


def test_a_token_that_nobody_knows_ends_the_questions(world: World) -> None:
    first, *rest = world.check(DIGITALOCEAN_TOKEN="dop_v1_unknown")
    assert "not accepted" in first.title
    assert [finding.title for finding in rest if "Spaces" not in finding.title] == []


def test_an_api_that_is_not_there_is_named(world: World) -> None:
    first, *_ = failures(world.check(DIGITALOCEAN_API_URL="http://127.0.0.1:9"))
    assert "http://127.0.0.1:9 cannot be reached" in first.remedy


def test_the_apis_rate_limit_is_told_from_a_token_without_rights(world: World) -> None:
    _fault(
        world, {"method": "POST", "path": "^/v2/droplets$", "kind": "status", "status": 429, "seconds": 7, "times": 1}
    )
    (finding,) = [finding for finding in failures(world.check()) if "cannot be checked" in finding.title]
    assert "rate limit is used up; try again in 7 s" in finding.remedy


def test_somebody_elses_bucket_and_a_key_with_few_rights_are_found(world: World) -> None:
    access_key, secret_key = gateway.access_key(), gateway.secret_key()
    spaces.add_user(world.storage, access_key, secret_key)
    bucket = world.settings.digitalocean.snapshots.bucket  # type: ignore[union-attr]
    keys = {"SPACES_ACCESS_KEY_ID": access_key, "SPACES_SECRET_ACCESS_KEY": secret_key}
    assert failures(world.check(**keys))[-1].title.startswith("DigitalOcean")
    client = spaces_client(world.storage)
    client.create_bucket(Bucket=bucket, ACL="private")
    try:
        assert f"the bucket {bucket} is somebody else's" in failures(world.check(**keys))[-1].title
    finally:
        client.delete_bucket(Bucket=bucket)


def test_a_bucket_that_is_there_is_the_stacks_only_where_the_state_says_so(world: World) -> None:
    client, bucket = spaces_client(world.storage), "seedbed-prod-etcd"
    client.create_bucket(Bucket=bucket, ACL="private")
    try:
        finding = failures(world.check())[-1]
        assert finding.title == f"Spaces: there is a bucket {bucket} already, and the stack's state has none"
        assert "take another name for seedbed:digitalocean.snapshots.bucket" in finding.remedy
        for deployed in ([made("spacesBucket:SpacesBucket", "seedbed-prod-etcd")], None):
            assert world.check(deployed)[-1].title.endswith(f"reaches the bucket {bucket}")
    finally:
        client.delete_bucket(Bucket=bucket)


def test_an_endpoint_at_which_k3s_would_find_another_storage_than_the_buckets_is_named(
    world: World, elsewhere: spaces.Spaces
) -> None:
    for endpoint, why in (
        (elsewhere.endpoint, "which does not let the key list buckets"),
        ("http://127.0.0.1:9", "which cannot be asked"),
    ):
        finding = failures(world.told(endpoint).check())[-1]
        assert finding.title.startswith(f"Spaces: k3s is to find the bucket at {endpoint}, {why}")
        assert finding.remedy.startswith(f"It is made at {world.storage.endpoint}, ")


def test_the_storages_other_name_is_as_good_an_endpoint(world: World) -> None:
    other_name = world.storage.endpoint.replace("127.0.0.1", "localhost")
    assert world.told(other_name).check()[-1] == world.check()[-1]


@pytest.mark.usefixtures("zone")
def test_an_account_in_order_passes_and_nothing_was_made(world: World) -> None:
    findings = world.check()
    assert failures(findings) == []
    assert {finding.status for finding in findings} == {Status.OK}
    assert any("0 of 6 droplets are used, the stack needs 5 more" in finding.title for finding in findings)


@pytest.mark.usefixtures("zone", "leftovers")
def test_all_that_would_stop_up_halfway_is_found_in_the_account_at_once(world: World) -> None:
    found = failures(world.check())
    assert {finding.title.removeprefix("DigitalOcean: ") for finding in found} == {
        "there is a VPC seedbed-prod already",
        "seedbed:network.machines 10.20.0.0/24 overlaps 10.20.0.0/20, the VPC other in ams3",
        "there is a load balancer seedbed-prod already",
        "there is a firewall seedbed-prod already",
        "there is a firewall seedbed-prod-balancer already",
        "there is a project seedbed-prod already",
        "there is a volume seedbed-prod-data-a already",
        "k8s.example.org leads to 203.0.113.7 already (A record)",
        "*.apps.example.org leads to elsewhere.example.com already (CNAME record)",
    }
    assert all(finding.remedy for finding in found)


@pytest.mark.usefixtures("zone", "leftovers")
def test_what_the_state_has_is_the_stacks_own_and_in_nobodys_way(world: World) -> None:
    deployed = [
        made("vpc:Vpc", "seedbed-prod"),
        made("loadBalancer:LoadBalancer", "seedbed-prod"),
        made("firewall:Firewall", "seedbed-prod"),
        made("firewall:Firewall", "seedbed-prod-balancer"),
        made("project:Project", "seedbed-prod"),
        *(made("volume:Volume", f"seedbed-prod-{name}") for name in ("data-a", "data-b")),
        *(made("dnsRecord:DnsRecord", f"{name}.example.org") for name in ("k8s", "*.apps")),
    ]
    assert failures(world.check(deployed)) == []
    # What is only left to be deleted is no longer what the settings ask for.
    assert len(failures(world.check([{**one, "delete": True} for one in deployed]))) == 9


@pytest.mark.usefixtures("zone", "leftovers")
def test_without_the_state_nothing_is_said_of_whose_anything_is(world: World) -> None:
    findings = world.check(None)
    assert failures(findings) == []
    (warning,) = [finding for finding in findings if finding.status is Status.WARN]
    assert "the stack's state cannot be read" in warning.title


@pytest.mark.usefixtures("zone", "strangers")
def test_too_few_droplets_left_are_found_before_any_is_made(world: World) -> None:
    (finding,) = failures(world.check())
    assert "2 of 6 droplets are used, and the stack needs 5 more" in finding.title


@pytest.fixture
def zone(world: World) -> Iterator[None]:
    world.ask("POST", "/v2/domains", {"name": "example.org"})
    yield
    world.ask("DELETE", "/v2/domains/example.org")


@pytest.fixture
def strangers(world: World) -> Iterator[None]:
    body = {"names": ["x", "y"], "region": "fra1", "size": "s-1vcpu-1gb", "image": "debian-12-x64"}
    made = [droplet["id"] for droplet in world.ask("POST", "/v2/droplets", body)["droplets"]]
    yield
    for droplet in made:
        world.ask("DELETE", f"/v2/droplets/{droplet}")


@pytest.fixture
def leftovers(world: World) -> Iterator[None]:
    """Of stacks of which the state knows nothing: one of the same name, and one of the same range elsewhere."""
    tcp = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["203.0.113.0/24"]}}
    rule = {"entry_protocol": "tcp", "entry_port": 80, "target_protocol": "tcp", "target_port": 80}
    here = {"name": "seedbed-prod", "region": "fra1"}
    volume = {"region": "fra1", "size_gigabytes": 1, "filesystem_type": "ext4"}
    bodies: list[tuple[str, str, Mapping[str, Any]]] = [
        ("/v2/vpcs", "vpc", {**here, "ip_range": "10.99.0.0/24"}),
        ("/v2/vpcs", "vpc", {"name": "other", "region": "ams3", "ip_range": "10.20.0.0/20"}),
        ("/v2/load_balancers", "load_balancer", {**here, "forwarding_rules": [rule]}),
        ("/v2/firewalls", "firewall", {"name": "seedbed-prod", "inbound_rules": [tcp]}),
        ("/v2/firewalls", "firewall", {"name": "seedbed-prod-balancer", "inbound_rules": [tcp]}),
        ("/v2/projects", "project", {"name": "seedbed-prod", "purpose": "IoT"}),
        ("/v2/volumes", "volume", {**volume, "name": "seedbed-prod-data-a"}),
        ("/v2/volumes", "volume", {**volume, "name": "seedbed-prod-data-b", "region": "ams3"}),
        *(
            ("/v2/domains/example.org/records", "domain_record", record)
            for record in (
                {"type": "A", "name": "k8s", "data": "203.0.113.7"},
                {"type": "TXT", "name": "k8s", "data": "a text"},
                {"type": "CNAME", "name": "*.apps", "data": "elsewhere.example.com."},
                {"type": "A", "name": "www", "data": "203.0.113.7"},
            )
        ),
    ]
    paths = [f"{path}/{world.ask('POST', path, body)[key]['id']}" for path, key, body in bodies]
    yield
    for path in reversed(paths):
        world.ask("DELETE", path)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[spaces.Spaces]:
    """Another storage, with keys of its own."""
    try:
        yield spaces.ensure(tmp_path, "telsewhere", None, "127.0.0.1", toolchain.versitygw(Progress()))
    finally:
        spaces.stop(tmp_path)


def made(type_: str, name: str) -> dict[str, Any]:
    """A resource as the state has it."""
    return {"urn": f"urn:pulumi:prod::seedbed::seedbed:metal:Any$digitalocean:index/{type_}::{name}"}


def spaces_client(storage: spaces.Spaces) -> Any:
    from seedbed.store import connect, parse_s3

    keys = {"AWS_ACCESS_KEY_ID": storage.access_key, "AWS_SECRET_ACCESS_KEY": storage.secret_key}
    return connect(parse_s3(f"s3://any?endpoint={storage.endpoint}&s3ForcePathStyle=true"), keys)


def _fault(world: World, fault: Mapping[str, Any]) -> None:
    request = urllib.request.Request(
        f"{world.cloud.url}/lab/faults",
        method="POST",
        data=json.dumps(fault).encode(),
        headers={"Authorization": f"Bearer {world.cloud.token}"},
    )
    urllib.request.urlopen(request).close()
