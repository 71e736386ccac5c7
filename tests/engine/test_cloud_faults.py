"""A whole stack's machines while the cloud has a bad day: each `up` ends well or says what is wrong, and the next goes on.

What a fault does to one resource alone is in `conformance/test_digitalocean_faults.py`; here is what it leaves of a
stack. In the end the cloud has what it has after an `up` without faults, and the state knows all of it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import count

import boto3
import pytest
from botocore.config import Config

from lab.cloud.core import Delays
from lab.cloud.hypervisor import OutOfCapacityError
from lab.cloud.spaces import Spaces
from tests.engine.conformance.harness import Result, Stack, free_port
from tests.engine.flaky import FlakyWay, flaky_way
from tests.engine.harness import wait_until
from tests.engine.metal import NAME, QUICK, Metal, Settings, changes, errors, metal, small

MOST = 5
"""Times of `up` in which every fault of one kind has come and gone: a failure holds back what is made of it."""

FIRST = {
    f"Vpc {NAME}": "/v2/vpcs$",
    f"Tag {NAME}": "/v2/tags$",
    f"SshKey {NAME}": "/v2/account/keys$",
    f"Volume {NAME}-data-a": "/v2/volumes$",
    f"ReservedIp {NAME}-ingress": "/v2/reserved_ips$",
}
SECOND = {
    f"Firewall {NAME}": "/v2/firewalls$",
    f"LoadBalancer {NAME}": "/v2/load_balancers$",
    f"SpacesKey {NAME}-etcd": "/v2/spaces/keys$",
}
THIRD = {"Droplet server-a-1": "/v2/droplets$", "DnsRecord k8s.example.org": "/v2/domains/[^/]+/records$"}
LAST = {
    f"VolumeAttachment {NAME}-data-a": "/v2/volumes/[^/]+/actions$",
    f"ReservedIpAssignment {NAME}-ingress": "/v2/reserved_ips/[^/]+/actions$",
    f"Project {NAME}": "/v2/projects$",
}
CONNECTING = "/v2/projects/[^/]+/resources$"
"""A request that comes after the creation of a project."""

EVERY_CREATION = [*FIRST.values(), *SECOND.values(), *THIRD.values(), *LAST.values(), CONNECTING]
BUCKET = f"SpacesBucket {NAME}-etcd"
NAMED_OTHERWISE = ("VolumeAttachment", "ReservedIpAssignment", "ReservedIp", "SpacesBucket")
"""What has no name at the cloud, or another one; the engine shows the program's beside the error."""


@pytest.fixture(scope="module")
def way(spaces: Spaces) -> Iterator[FlakyWay]:
    """To the object storage."""
    with flaky_way(spaces.endpoint) as way:
        yield way


Make = Callable[..., AbstractContextManager[Metal]]
_numbers = count(1)


@pytest.fixture(scope="module")
def make(empty_stack: Stack, spaces: Spaces, way: FlakyWay, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes stacks, each with a bucket and a cloud of its own; what it is given are traits of the cloud."""
    environment = {**spaces.environment(), "SPACES_ENDPOINT_URL": way.endpoint}

    def make(**traits: object) -> AbstractContextManager[Metal]:
        settings = small()
        settings["seedbed:digitalocean"]["snapshots"]["bucket"] = f"seedbed-faults-{next(_numbers)}"
        way.faults.clear()
        return metal(empty_stack, tmp_path_factory.mktemp("faults"), settings, environment, **traits)

    return make


@pytest.fixture
def stack(make: Make) -> Iterator[Metal]:
    """One of the test's own."""
    with make() as stack:
        yield stack


@pytest.fixture(scope="module")
def census(make: Make) -> dict[str, list[str]]:
    """What there is after an `up` without faults."""
    with make() as stack:
        stack.up()
        return stack.census()


def whole(stack: Metal, census: dict[str, list[str]]) -> None:
    """All is there, and once, and is what the state has; there is nothing left to do."""
    agent = f"agent-a-{stack.settings['seedbed:pools']['agents']['machines']['agent-a'].get('generation', 1)}"
    assert stack.census() == census | {"droplets": [agent, "server-a-1"]}
    assert stack.live_ids() == stack.ids()
    assert [volume["droplet_ids"] != [] for volume in stack.listed("volumes")] == [True]
    assert [address["droplet"]["name"] for address in stack.listed("reserved_ips")] == [agent]
    assert changes(stack.preview("--refresh")) == {}


def is_said(result: Result, *labels: str, remedy: str) -> None:
    """The errors of these resources, or of all that failed, name them and say what to do."""
    said = {label: text for label, text in errors(result).items() if label}
    assert said
    for label in labels or said:
        type_, _, name = label.partition(" ")
        assert name in said[label] or type_ in NAMED_OTHERWISE
        assert remedy in said[label].lower()


@pytest.fixture(scope="module")
def standing(make: Make) -> Iterator[Metal]:
    """A stack that is there, and has to be whole again after every test."""
    with make() as stack:
        stack.up()
        yield stack


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            [("status", {"status": 429}), ("status", {"status": 503}), ("slow", {"seconds": 0.3})], id="refusals"
        ),
        pytest.param([("reset", {})], id="reset"),
        pytest.param([("lost-answer", {})], id="lost-answer"),
    ],
)
def test_whatever_befalls_every_creation_once_no_up_makes_anything_twice(
    stack: Metal, way: FlakyWay, census: dict[str, list[str]], faults: list[tuple[str, dict[str, float]]]
) -> None:
    for kind, settings in faults:
        for path in EVERY_CREATION:
            stack.cloud.fault(kind, "POST", path, **settings)
        way.fault(kind, "PUT", f"/{stack.bucket}$")
    for _ in range(MOST):
        tried = stack.up(succeeds=None)
        if tried.code == 0:
            break
        is_said(tried, remedy="run it again")
    assert stack.cloud.request("GET", "/lab/faults") == {"faults": []}
    assert way.faults.all() == []
    whole(stack, census)


def test_a_cloud_that_is_down_for_long_is_said_of_every_resource_and_nothing_is_lost(
    stack: Metal, way: FlakyWay, census: dict[str, list[str]]
) -> None:
    """Where one fails, all others of its stage are tried too, so that each has its turn."""
    way.fault("status", "PUT", f"/{stack.bucket}$", times=None)
    for stage in (FIRST | {BUCKET: ""}, SECOND, THIRD, LAST):
        for path in filter(None, stage.values()):
            stack.cloud.fault("status", "POST", path, status=503, times=None)
        is_said(stack.up("--continue-on-error", succeeds=False), *stage, remedy="run it again")
        stack.cloud.request("DELETE", "/lab/faults")
        way.faults.clear()
    stack.up()
    whole(stack, census)


def test_answers_that_are_always_lost_leave_nothing_that_is_not_known(
    stack: Metal, way: FlakyWay, census: dict[str, list[str]]
) -> None:
    for path in EVERY_CREATION:
        stack.cloud.fault("lost-answer", "POST", path, times=None)
    is_said(stack.up("--continue-on-error", succeeds=False), f"Tag {NAME}", remedy="run it again")
    stack.cloud.request("DELETE", "/lab/faults")
    stack.up()
    whole(stack, census)


def test_what_was_created_and_is_gone_while_it_is_waited_for_is_made_anew(
    stack: Metal, census: dict[str, list[str]]
) -> None:
    """The cloud takes a droplet and finds no room for it; somebody deletes a load balancer too early."""
    stack.cloud.paper.capacity = 1
    stack.cloud.fault("never-active", "POST", "/v2/load_balancers$")
    with in_background(lambda: delete(stack, "load_balancers", NAME)):
        tried = stack.up("--continue-on-error", succeeds=False)
    is_said(tried, f"LoadBalancer {NAME}", remedy="made anew")
    assert sum(label.startswith("Droplet ") for label in errors(tried)) == 1
    assert stack.ids()["LoadBalancer"] == []
    assert stack.ids()["Droplet"] == stack.live_ids()["Droplet"]
    stack.cloud.paper.capacity = None
    stack.up()
    whole(stack, census)


def test_what_takes_too_long_or_ends_with_an_error_is_gone_on_with(make: Make, census: dict[str, list[str]]) -> None:
    with make(delays=Delays(0.0, 3.0, QUICK.settle)) as stack:
        stack.seconds = {"LoadBalancer": 1.0}
        attach, stack.cloud.paper.attach = stack.cloud.paper.attach, no_room  # type: ignore[method-assign]
        tried = stack.up("--continue-on-error", succeeds=False)
        is_said(tried, f"LoadBalancer {NAME}", f"VolumeAttachment {NAME}-data-a", remedy="run it again")
        kept = stack.ids()["LoadBalancer"]
        stack.seconds = {}
        stack.cloud.paper.attach = attach  # type: ignore[method-assign]
        stack.up()
        assert stack.ids()["LoadBalancer"] == kept
        whole(stack, census)


def test_a_droplet_that_never_gets_active_is_replaced_as_the_error_says_and_a_sold_out_size_waited_for(
    stack: Metal, census: dict[str, list[str]]
) -> None:
    stack.seconds = {"Droplet": 2.0}
    for kind in ("never-active", "capacity"):
        stack.cloud.fault(kind, "POST", THIRD["Droplet server-a-1"])
    tried = stack.up("--continue-on-error", succeeds=False)
    first, second = sorted(label for label in errors(tried) if label.startswith("Droplet "))
    (kept,) = (resource for resource in stack.stack.resources().values() if resource["type"].endswith(":Droplet"))
    stuck = f"Droplet {kept['inputs']['name']}"
    is_said(tried, stuck, remedy="`pulumi up --replace urn`")
    is_said(tried, first if stuck == second else second, remedy="choose another size or region")
    stack.seconds = {}
    stack.up("--replace", kept["urn"])
    whole(stack, census)


def another_agent(settings: Settings) -> None:
    settings["seedbed:pools"]["agents"]["machines"]["agent-z"] = {}


def test_a_preview_asks_the_cloud_nothing(standing: Metal) -> None:
    standing.cloud.forget()
    assert changes(standing.preview()) == {}
    assert "Droplet agent-z-1" in changes(standing.preview(change=another_agent))
    assert standing.cloud.requests() == []


def test_a_preview_succeeds_without_a_cloud(standing: Metal) -> None:
    there = standing.stack.environment["DIGITALOCEAN_API_URL"]
    standing.stack.environment["DIGITALOCEAN_API_URL"] = f"http://127.0.0.1:{free_port()}"
    try:
        assert changes(standing.preview()) == {}
        assert "Droplet agent-z-1" in changes(standing.preview(change=another_agent))
    finally:
        standing.stack.environment["DIGITALOCEAN_API_URL"] = there


@pytest.mark.parametrize("arguments", [("--refresh",), ()], ids=["refresh", "plain"])
def test_the_next_generation_of_a_machine_that_was_cut_has_its_volume_and_its_address(
    standing: Metal, census: dict[str, list[str]], arguments: tuple[str, ...]
) -> None:
    lasting = {type_: standing.ids()[type_] for type_ in ("Volume", "ReservedIp", "LoadBalancer")}
    agent = standing.settings["seedbed:pools"]["agents"]["machines"]["agent-a"]
    now = agent.get("generation", 1)
    delete(standing, "droplets", f"agent-a-{now}")
    agent["generation"] = now + 1
    standing.settings["seedbed:retire"] = [f"agent-a-{now}"]
    assert changes(standing.up(*arguments))[f"Droplet agent-a-{now + 1}"] == ["create"]
    assert {type_: standing.ids()[type_] for type_ in lasting} == lasting
    whole(standing, census)


def test_what_is_gone_is_made_anew_by_a_refresh_and_all_that_names_it_follows(
    standing: Metal, census: dict[str, list[str]]
) -> None:
    delete(standing, "load_balancers", NAME)
    delete(standing, "droplets", "server-a-1")
    assert changes(standing.up()) == {}
    made = changes(standing.up("--refresh"))
    assert made[f"LoadBalancer {NAME}"] == made["Droplet server-a-1"] == ["create"]
    assert made[f"Firewall {NAME}-balancer"] == ["update"]
    whole(standing, census)


def test_a_bucket_that_is_gone_is_made_anew_and_its_key_stays(
    standing: Metal, spaces: Spaces, census: dict[str, list[str]]
) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=spaces.endpoint,
        region_name="us-east-1",
        aws_access_key_id=spaces.access_key,
        aws_secret_access_key=spaces.secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    s3.delete_bucket(Bucket=standing.bucket)
    assert changes(standing.up("--refresh")) == {BUCKET: ["create"]}
    assert len(s3.get_bucket_lifecycle_configuration(Bucket=standing.bucket)["Rules"]) == 1
    whole(standing, census)


def delete(stack: Metal, kind: str, name: str) -> None:
    """As soon as it is there, and not by the engine."""

    def found() -> list[int | str]:
        return [one["id"] for one in stack.listed(kind) if one["name"] == name]

    wait_until(lambda: bool(found()), name, seconds=60)
    stack.cloud.request("DELETE", f"/v2/{kind}/{found()[0]}")


def no_room(machine: int, volume: str, name: str) -> None:
    """What the hypervisor says in place of attaching a volume."""
    raise OutOfCapacityError


@contextmanager
def in_background(work: Callable[[], None]) -> Iterator[None]:
    """Does it beside the block, at whose end it has ended."""
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(work)
        yield
        future.result()
