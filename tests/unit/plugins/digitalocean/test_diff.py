import hashlib
from typing import Any

import pytest

from lab.plugins.digitalocean.check import Naming, check
from lab.plugins.digitalocean.diff import diff
from lab.plugins.digitalocean.kinds import KINDS
from lab.plugins.digitalocean.outputs import foreseen, foreseen_after, importable, inputs_after_read, of_inputs
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import UNKNOWN, secret

DROPLET = {"name": "a", "image": "debian-12-x64", "size": "s-1vcpu-1gb", "region": "fra1", "userData": "text"}
RULES = [
    {"protocol": "tcp", "portRange": "22", "sourceAddresses": ["1.2.3.4", "5.6.7.8"]},
    {"protocol": "icmp", "sourceTags": ["a"]},
]


def changes(token: str, old: dict[str, Any], new: dict[str, Any], *ignored: str) -> dict[str, str]:
    """Path -> kind of change of inputs against the outputs of older ones."""
    kind = KINDS[f"digitalocean:index/{token}"]
    inputs = [check(kind, "it", {}, given, Naming(seed=b"s"))[0] for given in (old, new)]
    found = diff(kind, of_inputs(kind, inputs[0]), inputs[1], ignored)
    return {change.text: f"{change.kind}{'-replace' if change.replaces else ''}" for change in found.changes}


def test_the_same_inputs_are_no_change() -> None:
    assert changes("droplet:Droplet", DROPLET, DROPLET) == {}
    assert changes("droplet:Droplet", DROPLET, {**DROPLET, "size": "S-1vcpu-1GB", "region": "FRA1"}) == {}


def test_the_order_of_a_set_is_no_change_at_any_depth() -> None:
    turned = [RULES[1], {**RULES[0], "sourceAddresses": ["5.6.7.8", "1.2.3.4"]}]
    assert changes("firewall:Firewall", {"inboundRules": RULES}, {"inboundRules": turned}) == {}
    assert changes("droplet:Droplet", {**DROPLET, "tags": ["a", "b"]}, {**DROPLET, "tags": ["b", "a"]}) == {}


def test_a_changed_element_of_a_set_goes_and_comes() -> None:
    other = [RULES[1], {**RULES[0], "portRange": "23"}]
    found = changes("firewall:Firewall", {"inboundRules": RULES}, {"inboundRules": other})
    assert found == {"inboundRules[0]": "DELETE", "inboundRules[1]": "ADD"}


def test_user_data_is_compared_by_its_hash() -> None:
    kind = KINDS["digitalocean:index/droplet:Droplet"]
    inputs, _ = check(kind, "it", {}, DROPLET, Naming())
    state = of_inputs(kind, inputs)
    assert state["userData"] == hashlib.sha1(b"text", usedforsecurity=False).hexdigest()
    older = {**state, "userData": "text"}  # states of before the hash
    assert diff(kind, older, inputs, []).changes == []
    changed = diff(kind, state, {**inputs, "userData": secret("other")}, [])
    assert [change.text for change in changed.changes] == ["userData"]
    assert changed.deletes_first


def test_a_resource_that_the_engine_named_is_replaced_before_the_old_one_goes() -> None:
    kind = KINDS["digitalocean:index/volume:Volume"]
    given = {"region": "fra1", "size": 10.0}
    inputs, _ = check(kind, "it", {}, given, Naming())
    found = diff(kind, of_inputs(kind, inputs), {**inputs, "region": "nyc3"}, [])
    assert [change.replaces for change in found.changes] == [True]
    assert not found.deletes_first


def test_ignored_properties_are_not_compared() -> None:
    changed = {**DROPLET, "image": "other", "userData": "other", "size": "s-2vcpu-4gb"}
    assert changes("droplet:Droplet", DROPLET, changed, "image", "userData") == {"size": "UPDATE"}


def test_what_the_api_says_where_the_program_does_not_is_no_change_but_what_it_said_once_is() -> None:
    kind = KINDS["digitalocean:index/loadBalancer:LoadBalancer"]
    inputs, _ = check(kind, "it", {}, {"region": "fra1"}, Naming())
    state = {**of_inputs(kind, inputs), "vpcUuid": "v", "sizeUnit": 1, "healthcheck": {"port": 80, "protocol": "http"}}
    assert diff(kind, state, inputs, []).changes == []
    tagged = {**state, "dropletTag": "a"}
    assert [change.text for change in diff(kind, tagged, inputs, []).changes] == ["dropletTag"]


def test_a_value_that_is_not_known_yet_is_a_change_and_replaces_what_it_would() -> None:
    assert changes("droplet:Droplet", DROPLET, {**DROPLET, "vpcUuid": UNKNOWN}) == {"vpcUuid": "ADD-replace"}
    assert changes("droplet:Droplet", {**DROPLET, "tags": ["a"]}, {**DROPLET, "tags": ["a", UNKNOWN]}) == {
        "tags[1]": "ADD"
    }


@pytest.mark.parametrize(("before", "after", "said"), [(10.0, 9.0, True), (10.0, 11.0, False), (10.0, UNKNOWN, False)])
def test_a_volume_only_grows(before: float, after: Any, said: bool) -> None:
    old, new = ({"region": "fra1", "name": "a", "size": size} for size in (before, after))
    if said:
        with pytest.raises(PluginError, match="can only be expanded"):
            changes("volume:Volume", old, new)
    else:
        assert list(changes("volume:Volume", old, new)) == ["size"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"name": "k8s"}, {"name": "k8s.example.org."}),
        ({"name": "@"}, {"name": "example.org."}),
        ({"value": "www.example.org."}, {"value": "www"}),
    ],
)
def test_names_in_records_are_the_same_with_and_without_their_domain(old: dict[str, str], new: dict[str, str]) -> None:
    record = {"domain": "example.org", "type": "CNAME", "name": "k8s", "value": "v."}
    assert changes("dnsRecord:DnsRecord", {**record, **old}, {**record, **new}) == {}


def test_ids_that_the_store_gave_to_rules_are_no_change() -> None:
    kind = KINDS["digitalocean:index/spacesBucket:SpacesBucket"]
    rule = {"enabled": True, "expiration": {"days": 30.0}}
    inputs, _ = check(kind, "it", {}, {"name": "b", "lifecycleRules": [rule]}, Naming())
    state = of_inputs(kind, inputs)
    state["lifecycleRules"] = [{**state["lifecycleRules"][0], "id": "tf-s3-lifecycle-1"}]
    assert diff(kind, state, inputs, []).changes == []
    longer = {**inputs, "lifecycleRules": [{**rule, "expiration": {"days": 60.0}}]}
    assert [change.text for change in diff(kind, state, longer, []).changes] == ["lifecycleRules[0].expiration.days"]


def test_a_preview_of_a_creation_knows_the_inputs_and_nothing_else() -> None:
    kind = KINDS["digitalocean:index/droplet:Droplet"]
    inputs, _ = check(kind, "it", {}, {**DROPLET, "userData": secret("text")}, Naming())
    known = foreseen(kind, inputs)
    assert (known["region"], known["ipv4Address"], known["vpcUuid"]) == ("fra1", UNKNOWN, UNKNOWN)
    assert known["userData"] == secret(hashlib.sha1(b"text", usedforsecurity=False).hexdigest())


def test_a_preview_of_an_update_keeps_what_it_leaves_alone() -> None:
    kind = KINDS["digitalocean:index/droplet:Droplet"]
    inputs, _ = check(kind, "it", {}, {**DROPLET, "ipv6": True}, Naming())
    state = {**of_inputs(kind, inputs), "ipv6": False, "ipv6Address": "", "ipv4Address": "192.0.2.1", "tags": ["a"]}
    known = foreseen_after(kind, state, inputs)
    assert (known["ipv4Address"], known["ipv6Address"], known["ipv6"]) == ("192.0.2.1", UNKNOWN, True)
    assert "tags" not in known


def test_inputs_after_a_refresh_are_those_of_before_but_for_what_changed() -> None:
    kind = KINDS["digitalocean:index/droplet:Droplet"]
    given = {**DROPLET, "userData": secret("text"), "tags": ["b", "a"], "size": "S-1vcpu-1GB"}
    inputs, _ = check(kind, "it", {}, given, Naming())
    outputs = {**of_inputs(kind, inputs), "tags": ["a", "b"], "name": "other", "ipv4Address": "192.0.2.1"}
    assert inputs_after_read(kind, inputs, outputs) == {**inputs, "name": "other"}


def test_an_import_has_the_inputs_that_make_the_same_again() -> None:
    kind = KINDS["digitalocean:index/volume:Volume"]
    outputs = {"name": "a", "region": "fra1", "size": 10, "tags": [], "dropletIds": [1], "filesystemType": "ext4"}
    assert importable(kind, outputs) == {"__defaults": [], "name": "a", "region": "fra1", "size": 10}
