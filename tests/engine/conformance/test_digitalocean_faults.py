"""The digitalocean plugin when the cloud has a bad day: nothing is lost, nothing is made twice, and it is said what to do.

Sources: go-retryablehttp's policy in godo (`WithRetryAndBackoffs`), which the official plugin uses for every request;
where these rules go beyond it, the marker says so. DigitalOcean's API reference: rate limits and errors.
"""

import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pulumi_digitalocean as do
import pytest
from pulumi import CustomTimeouts, ResourceOptions

from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.conftest import stack_and_cloud
from tests.engine.conformance.harness import Program, Result, Stack

pytestmark = pytest.mark.engine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6l0sLS0CsUQvkGtMSCtYLA3S7bV1ZJ9h5UwqB1K6xE"
DROPLET = {"name": "server-a-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb", "region": "fra1", "tags": ["a"]}
RULE = {"entry_port": 6443, "entry_protocol": "tcp", "target_port": 6443, "target_protocol": "tcp"}
SSH = {"protocol": "tcp", "port_range": "22", "source_addresses": ["203.0.113.0/24"]}
TWICE = "it sends every request again, whatever the first one has done"

KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any], str]] = {
    "vpcs": (do.Vpc, {"name": "a", "region": "fra1"}, "/v2/vpcs"),
    "projects": (do.Project, {"name": "a", "environment": "Staging"}, "/v2/projects"),
    "tags": (do.Tag, {"name": "b"}, "/v2/tags"),
    "ssh_keys": (do.SshKey, {"name": "a", "public_key": KEY}, "/v2/account/keys"),
    "droplets": (do.Droplet, DROPLET, "/v2/droplets"),
    "firewalls": (do.Firewall, {"name": "a", "inbound_rules": [SSH]}, "/v2/firewalls"),
    "load_balancers": (
        do.LoadBalancer,
        {"name": "a", "region": "fra1", "forwarding_rules": [RULE]},
        "/v2/load_balancers",
    ),
    "reserved_ips": (do.ReservedIp, {"region": "fra1"}, "/v2/reserved_ips"),
    "volumes": (do.Volume, {"name": "a", "region": "fra1", "size": 10}, "/v2/volumes"),
    "domains": (do.Domain, {"name": "example.org"}, "/v2/domains"),
    "spaces_keys": (
        do.SpacesKey,
        {"name": "a", "grants": [{"bucket": "", "permission": "fullaccess"}]},
        "/v2/spaces/keys",
    ),
}
"""By the kind that the census counts: a resource of each, and the path of the request that makes it."""


def one_of_each() -> None:
    """A program with a resource of every kind, which is called after it."""
    for kind, (make, arguments, _) in KINDS.items():
        make(kind, **arguments)


def names_of_what_there_is(cloud: PaperCloud, kind: str) -> list[str]:
    """All names of a kind, but the tag that a droplet brings."""
    return sorted(name for name in cloud.census().get(kind, []) if (kind, name) != ("tags", "a"))


def one(make: Callable[..., Any], arguments: dict[str, Any], **options: Any) -> Program:
    """One resource that is called `it`."""

    def program() -> None:
        make("it", **arguments, opts=ResourceOptions(**options))

    return program


def count(cloud: PaperCloud, kind: str) -> int:
    """How many there are of a kind."""
    return len(cloud.census().get(kind, []))


@dataclass(frozen=True)
class Lost:
    """What there is by kind before, after and in the end of a stack whose every creation lost its answer; what is left to do."""

    before: dict[str, list[str]]
    after: dict[str, list[str]]
    end: dict[str, list[str]]
    up: Result
    next: Result


@pytest.fixture(scope="module")
def lost(empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Lost:
    """One of each kind is made, previewed and removed; the answer to each creation is lost once."""
    with stack_and_cloud(empty_stack, tmp_path_factory.mktemp("lost")) as (stack, cloud):

        def census() -> dict[str, list[str]]:
            return {kind: names_of_what_there_is(cloud, kind) for kind in KINDS}

        before = census()
        for _, _, path in KINDS.values():
            cloud.fault("lost-answer", "POST", f"^{path}$")
        up = stack.up(one_of_each, succeeds=None)
        assert cloud.request("GET", "/lab/faults") == {"faults": []}
        after = census()
        following = stack.preview(one_of_each)
        stack.destroy()
        return Lost(before, after, census(), up, following)


@pytest.mark.official_breaks(TWICE)
@pytest.mark.parametrize("kind", KINDS)
def test_a_create_whose_answer_is_lost_ends_well_and_makes_one(lost: Lost, kind: str) -> None:
    """It is looked for, and adopted."""
    assert lost.up.operations_of(kind) == ["create"]
    assert len(lost.after[kind]) == len(lost.before[kind]) + 1
    assert lost.next.operations_of(kind) == []
    assert lost.end[kind] == lost.before[kind]


@pytest.mark.official_breaks(TWICE)
def test_an_up_in_which_every_answer_to_a_creation_is_lost_once_ends_well(lost: Lost) -> None:
    """None of them holds it up."""
    assert lost.up.code == 0, lost.up.output
    assert lost.next.operations() == []


@pytest.mark.official_breaks(TWICE)
def test_a_key_whose_every_answer_is_lost_leaves_none(stack: Stack, cloud: PaperCloud) -> None:
    """Its secret is in the answer only, so what is there cannot be adopted."""
    key = one(do.SpacesKey, {"name": "a", "grants": [{"bucket": "", "permission": "fullaccess"}]})
    cloud.fault("lost-answer", "POST", "^/v2/spaces/keys$", times=None)
    assert "run it again" in stack.up(key, succeeds=False).text("it")
    assert count(cloud, "spaces_keys") == 0
    cloud.request("DELETE", "/lab/faults")
    stack.up(key)
    assert count(cloud, "spaces_keys") == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_create_that_a_fault_of_the_cloud_refuses_is_tried_again(
    stack: Stack, cloud: PaperCloud, status: int
) -> None:
    """Once it is known that the first try made nothing; of every kind."""
    before = {kind: len(names_of_what_there_is(cloud, kind)) for kind in KINDS}
    for _, _, path in KINDS.values():
        cloud.fault("status", "POST", f"^{path}$", status=status)
    stack.up(one_of_each)
    refused = [path for method, path, answer in cloud.requests() if (method, answer) == ("POST", status)]
    assert sorted(refused) == sorted(path for _, _, path in KINDS.values())
    assert {kind: len(names_of_what_there_is(cloud, kind)) - 1 for kind in KINDS} == before


def test_a_droplet_whose_request_got_lost_is_not_made_blindly(stack: Stack, cloud: PaperCloud) -> None:
    """A reset without effect looks like one with: what is not to be seen is asked of the user, and made by the next up."""
    cloud.fault("reset", "POST", "^/v2/droplets$")
    text = stack.up(one(do.Droplet, DROPLET), succeeds=False).text("it")
    assert "create droplet server-a-1: the answer of the API was lost" in text
    assert "pulumi import" in text
    stack.up(one(do.Droplet, DROPLET))
    assert cloud.census()["droplets"] == ["server-a-1"]


def test_reads_and_deletions_are_sent_again(stack: Stack, cloud: PaperCloud) -> None:
    """go-retryablehttp, DefaultRetryPolicy: 429 and 5xx; with `Retry-After` where there is one."""
    statuses = [429, 500, 502, 503]

    def program() -> None:
        for number in range(len(statuses)):
            do.Droplet(f"vm-{number}", **{**DROPLET, "name": f"vm-{number}"})

    def refused(method: str) -> list[int]:
        return sorted(status for asked, _, status in cloud.requests() if asked == method and status in statuses)

    for method, act in (("GET", lambda: stack.up(program)), ("DELETE", stack.destroy)):
        for status in statuses:
            cloud.fault("status", method, "^/v2/droplets/", status=status, seconds=1)
        act()
        assert refused(method) == statuses
    assert count(cloud, "droplets") == 0


@pytest.mark.parametrize("kind", ["reset", "lost-answer"])
def test_connections_that_break_are_made_again_where_that_does_no_harm(
    stack: Stack, cloud: PaperCloud, kind: str
) -> None:
    """GET, PUT, DELETE: the second one finds what the first one did."""
    stack.up(one(do.Vpc, {"name": "a", "region": "fra1"}))
    cloud.fault(kind, "PUT", "^/v2/vpcs/")
    stack.up(one(do.Vpc, {"name": "a", "region": "fra1", "description": "d"}))
    cloud.fault(kind, "GET", "^/v2/vpcs/")
    stack.refresh()
    cloud.fault(kind, "DELETE", "^/v2/vpcs/")
    stack.destroy()
    assert "vpcs" not in cloud.census()


def test_the_limit_of_requests_is_waited_for_as_the_api_says(stack: Stack, cloud: PaperCloud) -> None:
    """API reference, Rate Limit: `Retry-After`; a create is sent again too, as it was not looked at."""
    cloud.fault("status", "POST", "^/v2/droplets$", status=429, seconds=1, times=2)
    result = stack.up(one(do.Droplet, DROPLET))
    assert "asking again in 1 s" in result.text("it")
    assert [one for one in cloud.requests() if one[0] == "POST"] == [
        ("POST", "/v2/droplets", 429),
        ("POST", "/v2/droplets", 429),
        ("POST", "/v2/droplets", 202),
    ]


def test_a_limit_that_lasts_too_long_is_an_error_that_says_until_when(stack: Stack, cloud: PaperCloud) -> None:
    """Nobody waits an hour for a prompt."""
    cloud.fault("status", "POST", "^/v2/droplets$", status=429, seconds=3000)
    text = stack.up(one(do.Droplet, DROPLET), succeeds=False).text("it")
    assert re.search(r"used up until \d\d:\d\d UTC", text)


def test_a_droplet_that_never_gets_active_is_kept_and_waited_for_by_the_next_up(
    stack: Stack, cloud: PaperCloud
) -> None:
    """ErrorResourceInitFailed: it is in the state with its ID; there is one, whatever is run how often."""
    limits = CustomTimeouts(create="2s", update="2s")
    cloud.fault("never-active", "POST", "^/v2/droplets$")
    result = stack.up(one(do.Droplet, DROPLET, custom_timeouts=limits), succeeds=False)
    id_ = cloud.only("droplets")["id"]
    assert f"droplet server-a-1 ({id_}) was created, and is not ready" in result.text("it")
    assert re.search(r"is still new( and locked)? after \d s", result.text("it"))
    assert f"droplet server-a-1 ({id_}) is new and locked, for" in result.text("it")
    state = stack.resources()["it"]
    assert state["id"] == str(id_)
    assert state["outputs"]["status"] == "new"
    result = stack.up(one(do.Droplet, DROPLET, custom_timeouts=limits), succeeds=False)
    assert result.operations() == [("update", "it")]
    assert re.search(r"is still new( and locked)? after \d s", result.text("it"))
    assert cloud.census()["droplets"] == ["server-a-1"]
    stack.destroy()
    assert "droplets" not in cloud.census()


def test_no_capacity_is_said_with_the_way_out(stack: Stack, cloud: PaperCloud) -> None:
    """A refusal: the message of the API, its number, and what to do."""
    cloud.fault("capacity", "POST", "^/v2/droplets$")
    text = stack.up(one(do.Droplet, DROPLET), succeeds=False).text("it")
    assert "create droplet server-a-1: " in text
    assert "(422 unprocessable_entity, request " in text
    assert "Choose another size or region" in text
    stack.up(one(do.Droplet, DROPLET))
    assert cloud.census()["droplets"] == ["server-a-1"]


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "there is no token"), ("wrong", "set DIGITALOCEAN_TOKEN to one that is valid"), ("read", "whose scopes")],
)
def test_a_token_that_will_not_do_is_named_and_not_shown(
    stack: Stack, cloud: PaperCloud, token: str, said: str
) -> None:
    """401 and 403: which variable, and what it must be."""
    stack.environment["DIGITALOCEAN_TOKEN"] = cloud.token_read_only if token == "read" else token
    result = stack.up(one(do.Tag, {"name": "a"}), succeeds=False)
    assert "create tag a: " in result.text("it")
    assert said in result.text("it")
    assert cloud.token_read_only not in result.output


def test_an_api_that_is_not_there_is_named(stack: Stack, cloud: PaperCloud) -> None:
    """After the tries that do no harm; nothing was sent."""
    stack.environment["DIGITALOCEAN_API_URL"] = "http://127.0.0.1:9"
    stack.environment["DIGITALOCEAN_HTTP_RETRY_MAX"] = "1"
    text = stack.up(one(do.Droplet, DROPLET), succeeds=False).text("it")
    assert "the API cannot be reached: connection refused" in text


def test_an_update_that_fails_in_part_is_stored_as_it_is(stack: Stack, cloud: PaperCloud) -> None:
    """The state has what the API shows, and the next update does the rest."""
    stack.up(one(do.Droplet, DROPLET))
    cloud.fault("status", "POST", "^/v2/tags/b/resources$", status=422)
    changed = {**DROPLET, "name": "server-b-1", "tags": ["b"]}
    text = stack.up(one(do.Droplet, changed), succeeds=False).text("it")
    assert "update droplet server-b-1" in text
    assert stack.outputs("it")["name"] == "server-b-1"
    assert stack.outputs("it")["tags"] == []
    assert stack.up(one(do.Droplet, changed)).operations() == [("update", "it")]
    assert cloud.only("droplets")["tags"] == ["b"]


def test_what_is_being_made_when_the_user_cancels_is_in_the_state(stack: Stack, cloud: PaperCloud) -> None:
    """Of the engine: Cancel ends operations; what was created must be known to the next one."""
    cloud.fault("never-active", "POST", "^/v2/droplets$")
    with stack.started(one(do.Droplet, DROPLET)) as process:
        deadline = time.monotonic() + 30
        while not count(cloud, "droplets"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert stack.resources()["it"]["id"] == str(cloud.only("droplets")["id"])


def test_requests_for_many_are_few(stack: Stack, cloud: PaperCloud) -> None:
    """A creation costs the request and a look; a droplet one look more. A refresh costs one look."""

    def program() -> None:
        for number in range(10):
            do.Tag(f"tag-{number}")
            do.Droplet(f"vm-{number}", **{**DROPLET, "name": f"vm-{number}"})

    stack.up(program)
    assert len(cloud.requests()) <= 10 * 2 + 10 * 5
    cloud.forget()
    stack.refresh()
    assert len(cloud.requests()) == 20
