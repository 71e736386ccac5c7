"""Resources of the digitalocean package: outputs, defaults, names, what replaces them and what updates them.

All of them are in one stack, which is made once, previewed with what replaces, and updated with what updates: each rule
looks at a resource of its own. Sources: digitalocean/terraform-provider-digitalocean, `digitalocean/`, cited by file
name; pulumi-terraform-bridge `pkg/tfbridge`; the docstrings of the SDK 4.84.1.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_digitalocean as do
import pytest

from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.conftest import stack_and_cloud
from tests.engine.conformance.harness import Program, Result, Stack

pytestmark = pytest.mark.engine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6l0sLS0CsUQvkGtMSCtYLA3S7bV1ZJ9h5UwqB1K6xE"
RULE = {"entry_port": 6443, "entry_protocol": "tcp", "target_port": 6443, "target_protocol": "tcp"}
SSH = {"protocol": "tcp", "port_range": "22", "source_addresses": ["203.0.113.0/24"]}
PING = {"protocol": "icmp", "source_addresses": ["10.20.0.0/24"]}
CHECK = {"port": 6443, "protocol": "tcp"}
DROPLET: dict[str, Any] = {
    "name": "server-a-1",
    "image": "debian-12-x64",
    "size": "s-1vcpu-1gb",
    "region": "fra1",
    "tags": ["a"],
}
HIDDEN = "hidden-user-data"
CLOUD_CONFIG = "#cloud-config\n{}"

FROZEN: dict[str, dict[str, Any]] = {
    "image": {"image": "ubuntu-24-04-x64"},
    "region": {"region": "nyc3"},
    "userData": {"user_data": "#cloud-config\n{a: 1}"},
    "monitoring": {"monitoring": True},
    "dropletAgent": {"droplet_agent": True},
    "sshKeys[0]": {"ssh_keys": []},
    "publicNetworking": {"public_networking": True},
    "vpcUuid": {"vpc_uuid": "9325fe72-f6fa-42a0-b847-d3bb382adf97"},
}
"""What a droplet cannot change, and a change of it."""

REPLACED: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any]]] = {
    "vpc-r": (do.Vpc, {"region": "fra1", "ip_range": "10.20.0.0/24"}, {"region": "fra1", "ip_range": "10.21.0.0/24"}),
    "key-r": (do.SshKey, {"public_key": KEY.replace("6xE", "6xG")}, {"public_key": KEY.replace("6xE", "6xF")}),
    "tag-r": (do.Tag, {"name": "a-r"}, {"name": "b-r"}),
    "volume-r": (
        do.Volume,
        {"region": "fra1", "size": 10},
        {"region": "fra1", "size": 10, "initial_filesystem_type": "xfs"},
    ),
    "address-r": (do.ReservedIp, {"region": "fra1"}, {"region": "nyc3"}),
    "domain-r": (do.Domain, {"name": "example.org"}, {"name": "example.net"}),
}
"""By the name of a resource: what it is, its inputs, and others that it is replaced for."""

UPDATED: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, Any], str]] = {
    "vpc-u": (
        do.Vpc,
        {"region": "fra1", "name": "a-u"},
        {"region": "fra1", "name": "b-u", "description": "d"},
        "description",
    ),
    "key-u": (
        do.SshKey,
        {"public_key": KEY.replace("6xE", "6xH"), "name": "a"},
        {"public_key": KEY.replace("6xE", "6xH"), "name": "b"},
        "name",
    ),
    "project-u": (do.Project, {"name": "a"}, {"name": "a", "environment": "Production", "purpose": "Tests"}, "purpose"),
    "volume-u": (do.Volume, {"region": "fra1", "size": 10, "tags": ["a"]}, {"region": "fra1", "size": 20}, "size"),
    "spaces-u": (do.SpacesKey, {"grants": [{"bucket": "", "permission": "fullaccess"}]}, {"name": "key-b"}, "name"),
    "firewall-u": (do.Firewall, {"inbound_rules": [SSH]}, {"inbound_rules": [SSH, PING]}, "inboundRules"),
    "balancer-u": (
        do.LoadBalancer,
        {"region": "fra1", "forwarding_rules": [RULE], "healthcheck": CHECK},
        {"region": "fra1", "forwarding_rules": [RULE], "healthcheck": {**CHECK, "healthy_threshold": 2}},
        "healthcheck",
    ),
    "unnamed-u": (do.Vpc, {"region": "fra1"}, {"region": "fra1", "description": "d"}, "description"),
    "ipv6-u": (do.Droplet, DROPLET, {**DROPLET, "ipv6": True}, "ipv6"),
    "droplet-u": (
        do.Droplet,
        DROPLET,
        {**DROPLET, "name": "server-b-1", "size": "s-2vcpu-4gb", "backups": True, "tags": ["b", "c"]},
        "memory",
    ),
}
"""By the name of a resource: what it is, its inputs, others that it is updated to, and an output that shows it."""


def many(*, replaced: bool = False, updated: bool = False) -> Program:
    """All of these resources, as they are first or as they are changed, with droplets that stay as they are."""

    def program() -> None:
        key = do.SshKey("key", public_key=KEY)
        plain = {**DROPLET, "ssh_keys": [key.fingerprint], "user_data": CLOUD_CONFIG}
        do.Droplet("vm", **plain)
        do.Droplet("hidden", **{**plain, "user_data": pulumi.Output.secret(HIDDEN)})
        do.Droplet("ipv6-r", **plain, ipv6=not replaced)
        for name, frozen in FROZEN.items():
            do.Droplet(name, **{**plain, **(frozen if replaced else {})})
        for name, (make, before, after) in REPLACED.items():
            make(name, **(after if replaced else before))
        for name, (make, before, after, _) in UPDATED.items():
            make(name, **(after if updated else before))

    return program


@dataclass(frozen=True)
class Many:
    """The resources after one `up`, and their cloud."""

    stack: Stack
    cloud: PaperCloud
    made: dict[str, dict[str, Any]]

    def live(self, name: str) -> dict[str, Any]:
        """The droplet of this resource, as the API shows it."""
        found: dict[str, Any] = self.cloud.request("GET", f"/v2/droplets/{self.made[name]['id']}")["droplet"]
        return found


@pytest.fixture(scope="module")
def made(empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    """All of them, for the rules that look at what one `up` left, and for those of a change."""
    with stack_and_cloud(empty_stack, tmp_path_factory.mktemp("many")) as (stack, cloud):
        stack.up(many())
        yield Many(stack, cloud, stack.resources())


@pytest.fixture(scope="module")
def foreseen(made: Many) -> Result:
    """A preview of what replaces."""
    return made.stack.preview(many(replaced=True))


@dataclass(frozen=True)
class Updated:
    """An `up` of what updates, the resources after it, and what is left to do: at once, and after a refresh."""

    up: Result
    now: dict[str, dict[str, Any]]
    next: Result
    after_refresh: Result


@pytest.fixture(scope="module")
def updated(made: Many, foreseen: Result) -> Updated:
    """After the preview of what replaces, which is of the resources as they were first."""
    stack = made.stack
    up, now = stack.up(many(updated=True)), stack.resources()
    following = stack.preview(many(updated=True))
    stack.refresh()
    return Updated(up, now, following, stack.preview(many(updated=True)))


def test_a_droplet_has_the_official_outputs(made: Many) -> None:
    """droplet/resource_droplet.go, setDropletAttributes: types and names of the SDK's droplet.py."""
    state = made.made["vm"]
    outputs = state["outputs"]
    live = made.live("vm")
    assert state["id"] == str(live["id"])
    assert outputs["dropletUrn"] == f"do:droplet:{live['id']}"
    assert {outputs["ipv4Address"], outputs["ipv4AddressPrivate"]} == {
        address["ip_address"] for address in live["networks"]["v4"]
    }
    assert (outputs["priceMonthly"], outputs["memory"], outputs["vcpus"], outputs["disk"]) == (6, 1024, 1, 25)
    assert (outputs["status"], outputs["locked"], outputs["volumeIds"]) == ("active", False, [])
    assert outputs["vpcUuid"] == live["vpc_uuid"]
    assert outputs["createdAt"] == live["created_at"]
    assert outputs["resizeDisk"] is True
    assert outputs["gracefulShutdown"] is False


def test_user_data_is_in_the_outputs_as_its_sha1(made: Many) -> None:
    """droplet/resource_droplet.go: `StateFunc: util.HashStringStateFunc()`; the inputs have it as it was given."""
    state = made.made["vm"]
    assert state["outputs"]["userData"] == hashlib.sha1(CLOUD_CONFIG.encode()).hexdigest()
    assert state["inputs"]["userData"] == CLOUD_CONFIG
    assert made.cloud.paper.machines[int(state["id"])].user_data == CLOUD_CONFIG


def test_secret_user_data_is_secret_in_the_state(made: Many) -> None:
    """Of the engine: what comes secret stays so, its hash too."""
    state = made.made["hidden"]
    assert "ciphertext" in state["inputs"]["userData"]
    assert "ciphertext" in state["outputs"]["userData"]
    assert made.cloud.paper.machines[int(state["id"])].user_data == HIDDEN


def test_what_is_not_said_is_filled_in_and_noted(made: Many) -> None:
    """schema.go of the bridge: defaults are in the inputs, and their names in `__defaults`."""
    inputs = made.made["vm"]["inputs"]
    assert inputs["__defaults"] == ["backups", "gracefulShutdown", "ipv6", "monitoring", "resizeDisk"]
    assert inputs["resizeDisk"] is True
    assert inputs["backups"] is inputs["ipv6"] is inputs["monitoring"] is False


def test_without_a_name_it_is_the_logical_one_and_seven_hexadecimal_digits(made: Many, updated: Updated) -> None:
    """pulumi-digitalocean resources.go: `tfbridge.AutoName("name", 255)`; the name stays."""
    name = made.made["unnamed-u"]["outputs"]["name"]
    logical, _, digits = name.rpartition("-")
    assert logical == "unnamed-u"
    assert len(digits) == 7
    int(digits, 16)
    assert updated.now["unnamed-u"]["outputs"]["name"] == name


@pytest.mark.parametrize("property_", FROZEN)
def test_what_a_droplet_cannot_change_replaces_it_the_old_one_first(foreseen: Result, property_: str) -> None:
    """droplet/resource_droplet.go, ForceNew; bridge, nameRequiresDeleteBeforeReplace: its name is the program's."""
    assert foreseen.operations_of(property_) == ["delete-replaced", "replace", "create-replacement"]
    difference = foreseen.difference(property_)
    assert list(difference) == [property_]
    assert difference[property_].endswith("-replace")


def test_ipv6_can_be_switched_on_but_not_off(foreseen: Result, updated: Updated) -> None:
    """droplet/resource_droplet.go, CustomizeDiff: `ForceNewIfChange("ipv6", …)`."""
    assert updated.up.operations_of("ipv6-u") == ["update"]
    assert updated.now["ipv6-u"]["outputs"]["ipv6"] is True
    assert foreseen.difference("ipv6-r") == {"ipv6": "update-replace"}


def test_a_droplet_changes_in_place_what_it_can(made: Many, updated: Updated) -> None:
    """droplet/resource_droplet.go, Update: size with the power off, name, backups, tags."""
    live = made.live("droplet-u")
    assert (live["name"], live["size_slug"], sorted(live["tags"])) == ("server-b-1", "s-2vcpu-4gb", ["b", "c"])
    assert "backups" in live["features"]
    assert live["status"] == "active"
    assert updated.now["droplet-u"]["outputs"]["memory"] == 4096
    assert ("power_off", live["id"]) in made.cloud.paper.calls


@pytest.mark.parametrize("name", REPLACED)
def test_an_input_that_forces_a_new_resource_replaces_it(foreseen: Result, name: str) -> None:
    """ForceNew in vpc/, sshkey/, tag/, volume/, reservedip/ and domain/resource_*.go."""
    assert "replace" in foreseen.operations_of(name)


@pytest.mark.parametrize("name", UPDATED)
def test_an_input_that_can_change_updates_in_place(made: Many, updated: Updated, name: str) -> None:
    """Update in vpc/, sshkey/, project/, volume/, spaces/, firewall/, loadbalancer/ and droplet/resource_*.go."""
    old, new, shown = made.made[name], updated.now[name], UPDATED[name][3]
    assert updated.up.operations_of(name) == ["update"]
    assert new["id"] == old["id"]
    assert new["outputs"][shown] != old["outputs"].get(shown)
    assert updated.next.operations_of(name) == []
    assert updated.after_refresh.operations_of(name) == []


def test_what_did_not_change_is_left_alone(updated: Updated) -> None:
    """The diff of what was made with the same program; of all the others too."""
    assert updated.up.changed == sorted(UPDATED)
    assert updated.next.operations() == updated.after_refresh.operations() == []
