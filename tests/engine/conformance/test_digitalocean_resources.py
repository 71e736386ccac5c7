"""Resources of the digitalocean package: outputs, defaults, names, replacement, refresh, import, secrets.

Sources: digitalocean/terraform-provider-digitalocean, `digitalocean/`, cited by file name; pulumi-terraform-bridge
`pkg/tfbridge`; the docstrings of the SDK 4.84.1.
"""

import hashlib
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_digitalocean as do
import pytest
from pulumi import ResourceOptions

from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.harness import Program, Stack

pytestmark = pytest.mark.engine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6l0sLS0CsUQvkGtMSCtYLA3S7bV1ZJ9h5UwqB1K6xE"
RULE = {"entry_port": 6443, "entry_protocol": "tcp", "target_port": 6443, "target_protocol": "tcp"}
SSH = {"protocol": "tcp", "port_range": "22", "source_addresses": ["203.0.113.0/24"]}
PING = {"protocol": "icmp", "source_addresses": ["10.20.0.0/24"]}
CHECK = {"port": 6443, "protocol": "tcp"}


def droplet(hidden: str = "", **changes: Any) -> Program:
    """One droplet, with its SSH key; `hidden` is its user data, as a secret."""

    def program() -> None:
        key = do.SshKey("key", public_key=KEY)
        values: dict[str, Any] = {
            "name": "server-a-1",
            "image": "debian-12-x64",
            "size": "s-1vcpu-1gb",
            "region": "fra1",
            "tags": ["a"],
            "ssh_keys": [key.fingerprint],
            "user_data": "#cloud-config\n{}",
        }
        if hidden:
            values["user_data"] = pulumi.Output.secret(hidden)
        do.Droplet("vm", **{**values, **changes})

    return program


def one(make: Callable[..., Any], **arguments: Any) -> Program:
    """One resource that is called `it`."""

    def program() -> None:
        make("it", **arguments)

    return program


def test_a_droplet_has_the_official_outputs(stack: Stack, cloud: PaperCloud) -> None:
    """droplet/resource_droplet.go, setDropletAttributes: types and names of the SDK's droplet.py."""
    stack.up(droplet())
    state = stack.resources()["vm"]
    outputs = state["outputs"]
    live = cloud.only("droplets")
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


def test_user_data_is_in_the_outputs_as_its_sha1(stack: Stack, cloud: PaperCloud) -> None:
    """droplet/resource_droplet.go: `StateFunc: util.HashStringStateFunc()`; the inputs have it as it was given."""
    text = "#cloud-config\n{}"
    stack.up(droplet(user_data=text))
    state = stack.resources()["vm"]
    assert state["outputs"]["userData"] == hashlib.sha1(text.encode()).hexdigest()
    assert state["inputs"]["userData"] == text
    (machine,) = cloud.paper.machines.values()
    assert machine.user_data == text


def test_secret_user_data_is_secret_in_the_state(stack: Stack, cloud: PaperCloud) -> None:
    """Of the engine: what comes secret stays so, its hash too."""
    stack.up(droplet(hidden="hidden-user-data"))
    state = stack.resources()["vm"]
    assert "ciphertext" in state["inputs"]["userData"]
    assert "ciphertext" in state["outputs"]["userData"]


def test_what_is_not_said_is_filled_in_and_noted(stack: Stack, cloud: PaperCloud) -> None:
    """schema.go of the bridge: defaults are in the inputs, and their names in `__defaults`."""
    stack.up(droplet())
    inputs = stack.resources()["vm"]["inputs"]
    assert inputs["__defaults"] == ["backups", "gracefulShutdown", "ipv6", "monitoring", "resizeDisk"]
    assert inputs["resizeDisk"] is True
    assert inputs["backups"] is inputs["ipv6"] is inputs["monitoring"] is False


def test_without_a_name_it_is_the_logical_one_and_seven_hexadecimal_digits(stack: Stack, cloud: PaperCloud) -> None:
    """pulumi-digitalocean resources.go: `tfbridge.AutoName("name", 255)`; the name stays."""
    stack.up(one(do.Vpc, region="fra1"))
    name = stack.outputs("it")["name"]
    logical, _, digits = name.rpartition("-")
    assert logical == "it"
    assert len(digits) == 7
    int(digits, 16)
    assert stack.up(one(do.Vpc, region="fra1", description="d")).operations() == [("update", "it")]
    assert stack.outputs("it")["name"] == name


@pytest.mark.parametrize(
    ("changes", "property_"),
    [
        ({"image": "ubuntu-24-04-x64"}, "image"),
        ({"region": "nyc3"}, "region"),
        ({"user_data": "#cloud-config\n{a: 1}"}, "userData"),
        ({"monitoring": True}, "monitoring"),
        ({"droplet_agent": True}, "dropletAgent"),
        ({"ssh_keys": []}, "sshKeys[0]"),
        ({"public_networking": True}, "publicNetworking"),
        ({"vpc_uuid": "9325fe72-f6fa-42a0-b847-d3bb382adf97"}, "vpcUuid"),
    ],
)
def test_what_a_droplet_cannot_change_replaces_it_the_old_one_first(
    stack: Stack, cloud: PaperCloud, changes: dict[str, Any], property_: str
) -> None:
    """droplet/resource_droplet.go, ForceNew; bridge, nameRequiresDeleteBeforeReplace: its name is the program's."""
    stack.up(droplet())
    foreseen = stack.preview(droplet(**changes))
    assert foreseen.operations_of("vm") == ["delete-replaced", "replace", "create-replacement"]
    difference = foreseen.difference("vm")
    assert list(difference) == [property_]
    assert difference[property_].endswith("-replace")


def test_ipv6_can_be_switched_on_but_not_off(stack: Stack, cloud: PaperCloud) -> None:
    """droplet/resource_droplet.go, CustomizeDiff: `ForceNewIfChange("ipv6", …)`."""
    stack.up(droplet())
    assert stack.up(droplet(ipv6=True)).operations() == [("update", "vm")]
    assert stack.outputs("vm")["ipv6"] is True
    assert stack.preview(droplet()).difference("vm") == {"ipv6": "update-replace"}


def test_a_droplet_changes_in_place_what_it_can(stack: Stack, cloud: PaperCloud) -> None:
    """droplet/resource_droplet.go, Update: size with the power off, name, backups, tags."""
    stack.up(droplet())
    before = stack.resources()["vm"]["id"]
    changes: dict[str, Any] = {"name": "server-b-1", "size": "s-2vcpu-4gb", "backups": True, "tags": ["b", "c"]}
    assert stack.up(droplet(**changes)).operations() == [("update", "vm")]
    live = cloud.only("droplets")
    assert str(live["id"]) == before
    assert (live["name"], live["size_slug"], sorted(live["tags"])) == ("server-b-1", "s-2vcpu-4gb", ["b", "c"])
    assert "backups" in live["features"]
    assert live["status"] == "active"
    assert stack.outputs("vm")["memory"] == 4096
    assert ("power_off", live["id"]) in cloud.paper.calls


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (do.Vpc, {"region": "fra1", "ip_range": "10.20.0.0/24"}, {"region": "fra1", "ip_range": "10.21.0.0/24"}),
        (do.SshKey, {"public_key": KEY}, {"public_key": KEY.replace("6xE", "6xF")}),
        (do.Tag, {"name": "a"}, {"name": "b"}),
        (do.Volume, {"region": "fra1", "size": 10}, {"region": "fra1", "size": 10, "initial_filesystem_type": "xfs"}),
        (do.ReservedIp, {"region": "fra1"}, {"region": "nyc3"}),
        (do.Domain, {"name": "example.org"}, {"name": "example.net"}),
    ],
)
def test_an_input_that_forces_a_new_resource_replaces_it(
    stack: Stack, cloud: PaperCloud, make: Callable[..., Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    """ForceNew in vpc/, sshkey/, tag/, volume/, reservedip/ and domain/resource_*.go."""
    stack.up(one(make, **before))
    assert "replace" in stack.preview(one(make, **after)).operations_of("it")


@pytest.mark.parametrize(
    ("make", "before", "after", "shown"),
    [
        (do.Vpc, {"region": "fra1", "name": "a"}, {"region": "fra1", "name": "b", "description": "d"}, "description"),
        (do.SshKey, {"public_key": KEY, "name": "a"}, {"public_key": KEY, "name": "b"}, "name"),
        (do.Project, {"name": "a"}, {"name": "a", "environment": "Production", "purpose": "Tests"}, "purpose"),
        (do.Volume, {"region": "fra1", "size": 10, "tags": ["a"]}, {"region": "fra1", "size": 20}, "size"),
        (do.SpacesKey, {"grants": [{"bucket": "", "permission": "fullaccess"}]}, {"name": "key-b"}, "name"),
        (do.Firewall, {"inbound_rules": [SSH]}, {"inbound_rules": [SSH, PING]}, "inboundRules"),
        (
            do.LoadBalancer,
            {"region": "fra1", "forwarding_rules": [RULE], "healthcheck": CHECK},
            {"region": "fra1", "forwarding_rules": [RULE], "healthcheck": {**CHECK, "healthy_threshold": 2}},
            "healthcheck",
        ),
    ],
)
def test_an_input_that_can_change_updates_in_place(
    stack: Stack, cloud: PaperCloud, make: Callable[..., Any], before: dict[str, Any], after: dict[str, Any], shown: str
) -> None:
    """Update in vpc/, sshkey/, project/, volume/, spaces/, firewall/ and loadbalancer/resource_*.go."""
    stack.up(one(make, **before))
    old = stack.resources()["it"]
    assert stack.up(one(make, **after)).operations() == [("update", "it")]
    new = stack.resources()["it"]
    assert new["id"] == old["id"]
    assert new["outputs"][shown] != old["outputs"].get(shown)
    assert stack.preview(one(make, **after)).operations() == []
    stack.refresh()
    assert stack.preview(one(make, **after)).operations() == []


def test_a_volume_does_not_shrink(stack: Stack, cloud: PaperCloud) -> None:
    """volume/resource_volume.go, CustomizeDiff."""
    stack.up(one(do.Volume, region="fra1", size=10))
    result = stack.preview(one(do.Volume, region="fra1", size=9), succeeds=False)
    assert "volumes `size` can only be expanded and not shrunk" in result.output


def whole() -> None:
    """One resource of every kind but buckets, connected."""
    vpc = do.Vpc("vpc", region="fra1", ip_range="10.20.0.0/24")
    tag = do.Tag("tag")
    key = do.SshKey("key", public_key=KEY)
    vm = do.Droplet(
        "vm",
        image="debian-12-x64",
        size="s-1vcpu-1gb",
        region="fra1",
        vpc_uuid=vpc.id,
        tags=[tag.name],
        ssh_keys=[key.id],
    )
    after = ResourceOptions(depends_on=[vm])
    do.Firewall("firewall", tags=[tag.name], inbound_rules=[SSH], outbound_rules=[], opts=after)
    balancer = do.LoadBalancer(
        "balancer", region="fra1", vpc_uuid=vpc.id, droplet_tag=tag.name, forwarding_rules=[RULE], opts=after
    )
    volume = do.Volume("volume", region="fra1", size=10, initial_filesystem_type="ext4")
    do.VolumeAttachment("attachment", droplet_id=vm.id.apply(int), volume_id=volume.id)
    address = do.ReservedIp("address", region="fra1")
    do.ReservedIpAssignment("assignment", ip_address=address.ip_address, droplet_id=vm.id.apply(int))
    domain = do.Domain("domain", name="example.org")
    do.DnsRecord("record", domain=domain.name, type="A", name="k8s", value=balancer.ip, ttl=300)
    do.Project("project", environment="Production", resources=[vm.droplet_urn, balancer.load_balancer_urn])
    do.SpacesKey("spaces", grants=[{"bucket": "", "permission": "fullaccess"}])


def test_all_of_them_are_made_shown_unchanged_and_removed(stack: Stack, cloud: PaperCloud) -> None:
    """A preview and a refresh of what was made change nothing; a removal leaves nothing."""
    before = cloud.census()
    stack.up(whole)
    assert stack.preview(whole).operations() == []
    inputs = {name: resource["inputs"] for name, resource in stack.resources().items() if "inputs" in resource}
    stack.refresh()
    refreshed = stack.resources()
    assert {name: refreshed[name]["inputs"] for name in inputs} == inputs
    assert stack.preview(whole).operations() == []
    stack.destroy()
    assert {kind: names for kind, names in cloud.census().items() if any(names)} == before


def test_a_preview_asks_the_api_for_nothing(stack: Stack, cloud: PaperCloud) -> None:
    """As the official plugin: a plan is made of the state."""
    stack.preview(whole)
    stack.up(whole)
    cloud.forget()
    stack.preview(whole)
    assert cloud.requests() == []


def test_outputs_that_only_the_cloud_knows_are_unknown_in_a_preview(stack: Stack, cloud: PaperCloud) -> None:
    """Planned computed attributes; what is derived of them is unknown too."""
    seen: list[object] = []

    def program() -> None:
        vm = do.Droplet("vm", image="debian-12-x64", size="s-1vcpu-1gb", region="fra1")
        pulumi.Output.all(vm.ipv4_address, vm.region).apply(seen.append)
        vm.region.apply(seen.append)

    stack.preview(program)
    assert seen == ["fra1"]


def test_what_others_changed_is_seen_by_a_refresh_and_put_back(stack: Stack, cloud: PaperCloud) -> None:
    """Read in droplet/resource_droplet.go: name and tags are the API's; the next update is to the program's."""
    stack.up(droplet())
    id_ = cloud.only("droplets")["id"]
    cloud.request("POST", f"/v2/droplets/{id_}/actions", {"type": "rename", "name": "other"})
    stack.refresh()
    assert stack.outputs("vm")["name"] in ("other", "server-a-1")
    stack.refresh()
    assert stack.outputs("vm")["name"] == "other"
    assert stack.preview(droplet()).difference("vm") == {"name": "update"}
    stack.up(droplet())
    assert cloud.only("droplets")["name"] == "server-a-1"


def test_what_others_deleted_is_made_again_after_a_refresh(stack: Stack, cloud: PaperCloud) -> None:
    """Read: `d.SetId("")` after a 404."""
    stack.up(one(do.Tag, name="a"))
    cloud.request("DELETE", "/v2/tags/a")
    stack.refresh()
    assert "it" not in stack.resources()
    assert stack.up(one(do.Tag, name="a")).operations() == [("create", "it")]


def test_what_others_deleted_can_be_destroyed(stack: Stack, cloud: PaperCloud) -> None:
    """Of this repository's own wish for every kind: gone is gone."""
    stack.up(whole)
    (droplet_,) = cloud.request("GET", "/v2/droplets")["droplets"]
    cloud.request("DELETE", f"/v2/droplets/{droplet_['id']}")
    for kind, path in (("reserved_ips", "reserved_ips"), ("volumes", "volumes"), ("firewalls", "firewalls")):
        for item in cloud.request("GET", f"/v2/{path}")[kind]:
            cloud.request("DELETE", f"/v2/{path}/{item.get('id') or item['ip']}")
    stack.destroy()


@pytest.mark.parametrize(
    ("make", "arguments", "id_"),
    [
        (do.Vpc, {"region": "fra1", "name": "a", "ip_range": "10.20.0.0/24"}, "{id}"),
        (do.Tag, {"name": "a"}, "a"),
        (do.SshKey, {"name": "a", "public_key": KEY}, "{id}"),
        (do.Volume, {"name": "a", "region": "fra1", "size": 10}, "{id}"),
        (do.ReservedIp, {"region": "fra1"}, "{id}"),
    ],
)
def test_what_is_there_can_be_imported(
    stack: Stack, cloud: PaperCloud, make: Callable[..., Any], arguments: dict[str, Any], id_: str
) -> None:
    """Importer in the resources' files; the program then shows no change."""
    stack.up(one(make, **arguments, opts=ResourceOptions(retain_on_delete=True)))
    found = id_.format(id=stack.resources()["it"]["id"])
    stack.destroy()
    result = stack.up(one(make, **arguments, opts=ResourceOptions(import_=found)))
    assert result.operations() == [("import", "it")]
    assert stack.preview(one(make, **arguments)).operations() == []


def test_a_record_is_imported_by_its_domain_and_number(stack: Stack, cloud: PaperCloud) -> None:
    """domain/resource_record.go, resourceDigitalOceanRecordImport: `DOMAIN,ID`."""
    cloud.request("POST", "/v2/domains", {"name": "example.org"})
    record = {"type": "A", "name": "k8s", "data": "192.0.2.1", "ttl": 300}
    made = cloud.request("POST", "/v2/domains/example.org/records", record)["domain_record"]
    arguments = {"domain": "example.org", "type": "A", "name": "k8s", "value": "192.0.2.1", "ttl": 300}
    result = stack.up(one(do.DnsRecord, **arguments, opts=ResourceOptions(import_=f"example.org,{made['id']}")))
    assert result.operations() == [("import", "it")]
    assert stack.outputs("it")["fqdn"] == "k8s.example.org"


def test_the_secret_of_a_spaces_key_is_secret_and_kept(stack: Stack, cloud: PaperCloud) -> None:
    """spaces/resource_spaces_key.go: the API shows it once; spaces_key.py of the SDK: an additional secret output."""
    program = one(do.SpacesKey, name="a", grants=[{"bucket": "", "permission": "fullaccess"}])
    stack.up(program)
    state = stack.resources()["it"]
    assert "ciphertext" in state["outputs"]["secretKey"]
    assert state["id"] == state["outputs"]["accessKey"]
    stack.refresh()
    assert "ciphertext" in stack.outputs("it")["secretKey"]


def test_ids_of_droplets_are_taken_as_strings_too(stack: Stack, cloud: PaperCloud) -> None:
    """The bridge converts; the SDK's examples pass `droplet.id`, which is a string."""

    def program() -> None:
        vm = do.Droplet("vm", image="debian-12-x64", size="s-1vcpu-1gb", region="fra1")
        volume = do.Volume("volume", region="fra1", size=10)
        do.VolumeAttachment("it", droplet_id=vm.id, volume_id=volume.id)

    stack.up(program)
    assert stack.outputs("it")["dropletId"] == cloud.only("droplets")["id"]
    assert cloud.only("volumes")["droplet_ids"] == [cloud.only("droplets")["id"]]


@pytest.mark.parametrize(
    ("make", "arguments", "said"),
    [
        (do.Droplet, {"image": "debian-12-x64"}, ["'size'", "it.size"]),
        (do.Droplet, {"image": "i", "size": "s", "tags": "a"}, ["it.tags", "expected a set, got a string"]),
        (do.Droplet, {"image": "i", "size": "s", "tags": ["a b"]}, ["it.tags[0]", "255 characters per tag"]),
        (do.Volume, {"region": "fra1", "size": 0}, ["it.size", "at least 1"]),
        (do.Firewall, {"name": "a"}, ["At least one rule must be specified"]),
        (do.Firewall, {"inbound_rules": [{"protocol": "tcp"}]}, ["inboundRules[0].portRange", "`port_range`"]),
        (do.LoadBalancer, {"region": "fra1", "healthcheck": {"port": 1, "protocol": "http"}}, ["health check `path`"]),
        (do.LoadBalancer, {"region": "fra1", "forwarding_rules": [{**RULE, "entry_port": 0}]}, ["entryPort", "1"]),
        (do.DnsRecord, {"domain": "d", "type": "MX", "value": "v"}, ["`priority` is required for when type is `MX`"]),
    ],
)
def test_wrong_inputs_are_named_before_anything_is_made(
    stack: Stack, cloud: PaperCloud, make: Callable[..., Any], arguments: dict[str, Any], said: list[str]
) -> None:
    """Validation and CustomizeDiff in the resources' files; the bridge says `Examine values at`."""

    def program() -> None:
        try:
            make("it", **arguments)
        except TypeError:
            # The SDK itself wants what is required; the engine may get it from elsewhere.
            pulumi.CustomResource("digitalocean:index/droplet:Droplet", "it", arguments)

    output = stack.preview(program, succeeds=False).output
    for text in said:
        assert text in output
    assert cloud.requests() == []
