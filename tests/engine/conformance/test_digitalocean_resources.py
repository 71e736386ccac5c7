"""Resources of the digitalocean package: the whole of them, refresh, import, secrets, wrong inputs.

Sources: digitalocean/terraform-provider-digitalocean, `digitalocean/`, cited by file name; pulumi-terraform-bridge
`pkg/tfbridge`; the docstrings of the SDK 4.84.1.
"""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_digitalocean as do
import pytest
from pulumi import ResourceOptions

from tests.engine.conformance.cloud import PaperCloud
from tests.engine.conformance.conftest import stack_and_cloud
from tests.engine.conformance.harness import Program, Result, Stack

pytestmark = pytest.mark.engine

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6l0sLS0CsUQvkGtMSCtYLA3S7bV1ZJ9h5UwqB1K6xE"
RULE = {"entry_port": 6443, "entry_protocol": "tcp", "target_port": 6443, "target_protocol": "tcp"}
SSH = {"protocol": "tcp", "port_range": "22", "source_addresses": ["203.0.113.0/24"]}
DROPLET: dict[str, Any] = {
    "name": "server-a-1",
    "image": "debian-12-x64",
    "size": "s-1vcpu-1gb",
    "region": "fra1",
    "tags": ["a"],
}


def one(make: Callable[..., Any], **arguments: Any) -> Program:
    """One resource that is called `it`."""

    def program() -> None:
        make("it", **arguments)

    return program


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
    stack.up(one(do.Droplet, **DROPLET))
    id_ = cloud.only("droplets")["id"]
    cloud.request("POST", f"/v2/droplets/{id_}/actions", {"type": "rename", "name": "other"})
    stack.refresh()
    assert stack.outputs("it")["name"] in ("other", "server-a-1")
    stack.refresh()
    assert stack.outputs("it")["name"] == "other"
    assert stack.preview(one(do.Droplet, **DROPLET)).difference("it") == {"name": "update"}
    stack.up(one(do.Droplet, **DROPLET))
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


IMPORTED: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "vpc": (do.Vpc, {"region": "fra1", "name": "a", "ip_range": "10.20.0.0/24"}),
    "tag": (do.Tag, {"name": "a"}),
    "key": (do.SshKey, {"name": "a", "public_key": KEY}),
    "volume": (do.Volume, {"name": "a", "region": "fra1", "size": 10}),
    "address": (do.ReservedIp, {"region": "fra1"}),
}


@pytest.fixture(scope="module")
def imported(empty_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Result]:
    """An import of what a stack left behind, and a preview of the program after it."""

    def program(options: Callable[[str], ResourceOptions]) -> Program:
        def declare() -> None:
            for name, (make, arguments) in IMPORTED.items():
                make(name, **arguments, opts=options(name))

        return declare

    with stack_and_cloud(empty_stack, tmp_path_factory.mktemp("imported")) as (stack, _):
        stack.up(program(lambda name: ResourceOptions(retain_on_delete=True)))
        made = stack.resources()
        ids = {name: made[name]["id"] for name in IMPORTED}
        stack.destroy()
        up = stack.up(program(lambda name: ResourceOptions(import_=ids[name])))
        return up, stack.preview(program(lambda name: ResourceOptions()))


@pytest.mark.parametrize("name", IMPORTED)
def test_what_is_there_can_be_imported(imported: tuple[Result, Result], name: str) -> None:
    """Importer in the resources' files; the program then shows no change."""
    up, following = imported
    assert up.operations_of(name) == ["import"]
    assert following.operations_of(name) == []


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
