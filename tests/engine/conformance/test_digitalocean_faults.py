"""The digitalocean plugin when the cloud has a bad day: nothing is lost, nothing is made twice, and it is said what to do.

Sources: go-retryablehttp's policy in godo (`WithRetryAndBackoffs`), which the official plugin uses for every request;
where these rules go beyond it, the marker says so. DigitalOcean's API reference: rate limits and errors.
"""

import re
import signal
import time
from collections.abc import Callable
from typing import Any

import pulumi_digitalocean as do
import pytest
from pulumi import CustomTimeouts, ResourceOptions

from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.harness import Program, Stack

pytestmark = pytest.mark.engine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6l0sLS0CsUQvkGtMSCtYLA3S7bV1ZJ9h5UwqB1K6xE"
DROPLET = {"name": "server-a-1", "image": "debian-12-x64", "size": "s-1vcpu-1gb", "region": "fra1", "tags": ["a"]}
RULE = {"entry_port": 6443, "entry_protocol": "tcp", "target_port": 6443, "target_protocol": "tcp"}
SSH = {"protocol": "tcp", "port_range": "22", "source_addresses": ["203.0.113.0/24"]}
TWICE = "it sends every request again, whatever the first one has done"

KINDS = [
    pytest.param(do.Vpc, {"name": "a", "region": "fra1"}, "/v2/vpcs", "vpcs", id="vpc"),
    pytest.param(do.Project, {"name": "a", "environment": "Staging"}, "/v2/projects", "projects", id="project"),
    pytest.param(do.Tag, {"name": "a"}, "/v2/tags", "tags", id="tag"),
    pytest.param(do.SshKey, {"name": "a", "public_key": KEY}, "/v2/account/keys", "ssh_keys", id="key"),
    pytest.param(do.Droplet, DROPLET, "/v2/droplets", "droplets", id="droplet"),
    pytest.param(do.Firewall, {"name": "a", "inbound_rules": [SSH]}, "/v2/firewalls", "firewalls", id="firewall"),
    pytest.param(
        do.LoadBalancer,
        {"name": "a", "region": "fra1", "forwarding_rules": [RULE]},
        "/v2/load_balancers",
        "load_balancers",
        id="balancer",
    ),
    pytest.param(do.ReservedIp, {"region": "fra1"}, "/v2/reserved_ips", "reserved_ips", id="address"),
    pytest.param(do.Volume, {"name": "a", "region": "fra1", "size": 10}, "/v2/volumes", "volumes", id="volume"),
    pytest.param(do.Domain, {"name": "example.org"}, "/v2/domains", "domains", id="domain"),
    pytest.param(
        do.SpacesKey,
        {"name": "a", "grants": [{"bucket": "", "permission": "fullaccess"}]},
        "/v2/spaces/keys",
        "spaces_keys",
        id="spaces key",
    ),
]


def one(make: Callable[..., Any], arguments: dict[str, Any], **options: Any) -> Program:
    """One resource that is called `it`."""

    def program() -> None:
        make("it", **arguments, opts=ResourceOptions(**options))

    return program


def count(cloud: PaperCloud, kind: str) -> int:
    """How many there are of a kind."""
    return len(cloud.census().get(kind, []))


@pytest.mark.official_breaks(TWICE)
@pytest.mark.parametrize(("make", "arguments", "path", "kind"), KINDS)
def test_a_create_whose_answer_is_lost_ends_well_and_makes_one(
    stack: Stack, cloud: PaperCloud, make: Callable[..., Any], arguments: dict[str, Any], path: str, kind: str
) -> None:
    """It is looked for, and adopted."""
    before = count(cloud, kind)
    cloud.fault("lost-answer", "POST", f"^{path}$")
    stack.up(one(make, arguments))
    assert count(cloud, kind) == before + 1
    assert stack.preview(one(make, arguments)).operations() == []
    stack.destroy()
    assert count(cloud, kind) == before


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


@pytest.mark.parametrize(("make", "arguments", "path", "kind"), KINDS)
@pytest.mark.parametrize("status", [500, 503])
def test_a_create_that_a_fault_of_the_cloud_refuses_is_tried_again(
    stack: Stack,
    cloud: PaperCloud,
    make: Callable[..., Any],
    arguments: dict[str, Any],
    path: str,
    kind: str,
    status: int,
) -> None:
    """Once it is known that the first try made nothing."""
    before = count(cloud, kind)
    cloud.fault("status", "POST", f"^{path}$", status=status)
    stack.up(one(make, arguments))
    assert count(cloud, kind) == before + 1


def test_a_droplet_whose_request_got_lost_is_not_made_blindly(stack: Stack, cloud: PaperCloud) -> None:
    """A reset without effect looks like one with: what is not to be seen is asked of the user, and made by the next up."""
    cloud.fault("reset", "POST", "^/v2/droplets$")
    text = stack.up(one(do.Droplet, DROPLET), succeeds=False).text("it")
    assert "create droplet server-a-1: the answer of the API was lost" in text
    assert "pulumi import" in text
    stack.up(one(do.Droplet, DROPLET))
    assert cloud.census()["droplets"] == ["server-a-1"]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_reads_and_deletions_are_sent_again(stack: Stack, cloud: PaperCloud, status: int) -> None:
    """go-retryablehttp, DefaultRetryPolicy: 429 and 5xx; with `Retry-After` where there is one."""
    cloud.fault("status", "GET", "^/v2/droplets/", status=status, seconds=1)
    stack.up(one(do.Droplet, DROPLET))
    cloud.fault("status", "DELETE", "^/v2/droplets/", status=status, seconds=1)
    stack.destroy()
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
