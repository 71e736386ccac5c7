"""The doctor's checks of a stack at DigitalOcean, against the lab's cloud that makes nothing, and its object storage."""

import json
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from components.metal.digitalocean.catalogue import REGIONS
from lab.cloud import service, spaces
from lab.cloud.core import Account, Delays
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

    def check(self, **changes: str) -> list[Finding]:
        return check_cloud(self.settings, "prod", {**self.environment, **changes})

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
            account=Account(droplet_limit=6, used_regions=tuple(REGIONS)),
        )
        yield World(cloud, storage, stackfile.settings(stackfile.load("prod"), lab_is_made=False))
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
    client = spaces_client(world)
    client.create_bucket(Bucket=bucket, ACL="private")
    try:
        assert f"the bucket {bucket} is somebody else's" in failures(world.check(**keys))[-1].title
        assert world.check()[-1].title.endswith(f"reaches the bucket {bucket}")
    finally:
        client.delete_bucket(Bucket=bucket)


@pytest.mark.usefixtures("zone")
def test_an_account_in_order_passes_and_nothing_was_made(world: World) -> None:
    findings = world.check()
    assert failures(findings) == []
    assert {finding.status for finding in findings} == {Status.OK}
    assert any("0 of 6 droplets are used, the stack needs 5 more" in finding.title for finding in findings)


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


def spaces_client(world: World) -> Any:
    from seedbed.store import connect, parse_s3

    keys = {"AWS_ACCESS_KEY_ID": world.storage.access_key, "AWS_SECRET_ACCESS_KEY": world.storage.secret_key}
    return connect(parse_s3(f"s3://any?endpoint={world.storage.endpoint}&s3ForcePathStyle=true"), keys)


def _fault(world: World, fault: Mapping[str, Any]) -> None:
    request = urllib.request.Request(
        f"{world.cloud.url}/lab/faults",
        method="POST",
        data=json.dumps(fault).encode(),
        headers={"Authorization": f"Bearer {world.cloud.token}"},
    )
    urllib.request.urlopen(request).close()
