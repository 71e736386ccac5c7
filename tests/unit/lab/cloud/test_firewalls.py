"""Firewalls: what may be asked for, what is let in, and that it follows droplets, tags and load balancers."""

from ipaddress import IPv4Network

import pytest

from lab.cloud.hypervisor import Rule
from tests.unit.lab.cloud.api_calls import Api

SSH = {"protocol": "tcp", "ports": "22", "sources": {"addresses": ["203.0.113.0/24"]}}
OUT = {"protocol": "tcp", "ports": "all", "destinations": {"addresses": ["0.0.0.0/0", "::/0"]}}


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def vpc(api):
    api("POST /v2/tags", {"name": "web"})
    return api.vpc()


def made(api, **fields):
    body = {"name": "fw", "inbound_rules": [SSH], **fields}
    return api("POST /v2/firewalls", body)["firewall"]


def nets(*texts):
    return tuple(map(IPv4Network, texts))


def test_a_new_firewall_waits_with_a_pending_change_for_each_droplet_and_then_has_succeeded(api, vpc):
    droplet = api.droplet("a", vpc)
    firewall = made(api, droplet_ids=[droplet])
    assert api.status == 202
    assert firewall["status"] == "waiting"
    assert firewall["pending_changes"] == [{"droplet_id": droplet, "removing": False, "status": "waiting"}]
    later = api(f"GET /v2/firewalls/{firewall['id']}")["firewall"]
    assert (later["status"], later["pending_changes"]) == ("succeeded", [])
    assert later["droplet_ids"] == [droplet]


def test_a_droplet_that_is_taken_out_is_a_change_that_removes(api, vpc):
    droplet = api.droplet("a", vpc)
    firewall = made(api, droplet_ids=[droplet])
    answer = api(f"PUT /v2/firewalls/{firewall['id']}", {"name": "fw", "inbound_rules": [SSH]})["firewall"]
    assert answer["pending_changes"] == [{"droplet_id": droplet, "removing": True, "status": "waiting"}]
    assert api.paper.rules[droplet] is None


@pytest.mark.parametrize(
    ("protocol", "ports", "shown", "told"),
    [
        ("tcp", "22", "22", (22, 22)),
        ("udp", "8000-9000", "8000-9000", (8000, 9000)),
        ("tcp", "all", "0", None),
        ("tcp", "0", "0", None),
        ("icmp", "", "0", None),
    ],
)
def test_ports_are_shown_as_the_api_does_and_told_as_numbers(api, vpc, protocol, ports, shown, told):
    droplet = api.droplet("a", vpc)
    rule = {"protocol": protocol, "ports": ports, "sources": {"addresses": ["192.0.2.7"]}}
    firewall = made(api, inbound_rules=[rule], droplet_ids=[droplet])
    assert firewall["inbound_rules"][0]["ports"] == shown
    assert api.paper.rules[droplet] == (Rule(protocol, told, nets("192.0.2.7/32")),)


def test_a_droplet_lets_in_what_one_of_its_firewalls_does(api, vpc):
    droplet = api.droplet("a", vpc, "web")
    made(api, name="one", droplet_ids=[droplet])
    ping = {"protocol": "icmp", "sources": {"addresses": ["0.0.0.0/0", "::/0"]}}
    made(api, name="two", inbound_rules=[ping, SSH], tags=["web"])
    assert api.paper.rules[droplet] == (
        Rule("tcp", (22, 22), nets("203.0.113.0/24")),
        Rule("icmp", None, nets("0.0.0.0/0")),
    )


def test_droplets_tags_and_load_balancers_as_sources_are_their_addresses(api, vpc):
    guarded, peer, tagged = api.droplet("a", vpc), api.droplet("b", vpc), api.droplet("c", vpc, "web")
    rules = [{"entry_protocol": "tcp", "entry_port": 80, "target_protocol": "tcp", "target_port": 80}]
    body = {"name": "lb", "region": "fra1", "vpc_uuid": vpc, "forwarding_rules": rules}
    balancer = api("POST /v2/load_balancers", body)["load_balancer"]["id"]
    sources = {"droplet_ids": [peer], "tags": ["web"], "load_balancer_uids": [balancer]}
    made(api, inbound_rules=[{"protocol": "tcp", "ports": "80", "sources": sources}], droplet_ids=[guarded])
    stored = api.cloud.store.get("load_balancers", balancer)
    expected = [*api.addresses(peer), *api.addresses(tagged), stored["_public"], stored["_private"]]
    assert api.paper.rules[guarded][0].sources == nets(*expected)


def test_rules_follow_tags_and_droplets(api, vpc):
    inside = {"protocol": "tcp", "ports": "all", "sources": {"tags": ["web"]}}
    made(api, inbound_rules=[inside], tags=["web"])
    first = api.droplet("a", vpc, "web")
    assert api.paper.rules[first] == (Rule("tcp", None, nets(*api.addresses(first))),)
    second = api.droplet("b", vpc)
    assert second not in api.paper.rules
    resource = {"resources": [{"resource_id": str(second), "resource_type": "droplet"}]}
    api("POST /v2/tags/web/resources", resource)
    both = Rule("tcp", None, nets(*api.addresses(first), *api.addresses(second)))
    assert api.paper.rules == {first: (both,), second: (both,)}
    api("DELETE /v2/tags/web/resources", resource)
    assert api.paper.rules[second] is None
    assert api.paper.rules[first] == (Rule("tcp", None, nets(*api.addresses(first))),)
    api(f"DELETE /v2/droplets/{second}")
    assert api("GET /v2/firewalls")["firewalls"][0]["status"] == "succeeded"


def test_a_rule_whose_sources_are_nobody_lets_nobody_in(api, vpc):
    droplet = api.droplet("a", vpc)
    inside = {"protocol": "tcp", "ports": "all", "sources": {"tags": ["web"]}}
    made(api, inbound_rules=[inside], droplet_ids=[droplet])
    assert api.paper.rules[droplet] == ()


def test_outbound_rules_alone_let_nothing_in_and_without_a_firewall_everything_is(api, vpc):
    droplet = api.droplet("a", vpc)
    firewall = made(api, inbound_rules=[], outbound_rules=[OUT], droplet_ids=[droplet])
    assert firewall["outbound_rules"][0]["ports"] == "0"
    assert api.paper.rules[droplet] == ()
    api(f"DELETE /v2/firewalls/{firewall['id']}")
    assert api.paper.rules[droplet] is None


def test_what_is_known_is_not_told_again(api, vpc):
    made(api, droplet_ids=[api.droplet("a", vpc)])
    before = api.paper.calls.count(("let_in", api.cloud.store.all("droplets")[0]["id"]))
    api("POST /v2/tags", {"name": "other"})
    after = api.paper.calls.count(("let_in", api.cloud.store.all("droplets")[0]["id"]))
    assert before == after == 1


def test_droplets_and_tags_that_are_gone_are_in_no_firewall(api, vpc):
    droplet = api.droplet("a", vpc)
    rule = {"protocol": "tcp", "ports": "1", "sources": {"droplet_ids": [droplet], "tags": ["web"]}}
    firewall = made(api, inbound_rules=[rule], droplet_ids=[droplet], tags=["web"])
    api(f"DELETE /v2/droplets/{droplet}")
    api("DELETE /v2/tags/web")
    left = api(f"GET /v2/firewalls/{firewall['id']}")["firewall"]
    assert (left["droplet_ids"], left["tags"]) == ([], [])
    assert left["inbound_rules"][0]["sources"] == {"droplet_ids": [], "tags": []}


def test_rules_droplets_and_tags_can_be_added_and_taken_one_by_one(api, vpc):
    droplet = api.droplet("a", vpc)
    path = f"/v2/firewalls/{made(api)['id']}"
    for name, body, field, value in (
        ("droplets", {"droplet_ids": [droplet]}, "droplet_ids", [droplet]),
        ("tags", {"tags": ["web"]}, "tags", ["web"]),
        ("rules", {"outbound_rules": [OUT]}, "outbound_rules", [{**OUT, "ports": "0"}]),
    ):
        api(f"POST {path}/{name}", body)
        api(f"POST {path}/{name}", body)  # a second time changes nothing
        assert api(f"GET {path}")["firewall"][field] == value
        api(f"DELETE {path}/{name}", body)
        assert api(f"GET {path}")["firewall"][field] == []
    assert api.refusal(f"DELETE {path}/rules", {"inbound_rules": [SSH]}) == (422, "must have at least one rule")


def test_the_firewalls_of_a_droplet_are_those_by_number_and_by_tag(api, vpc):
    droplet = api.droplet("a", vpc, "web")
    made(api, name="one", droplet_ids=[droplet])
    made(api, name="two", tags=["web"])
    made(api, name="three")
    found = api(f"GET /v2/droplets/{droplet}/firewalls")["firewalls"]
    assert [firewall["name"] for firewall in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"name": ""}, 422, "name"),
        ({"name": "-fw"}, 422, "name must begin"),
        ({"name": "taken"}, 409, "duplicate name"),
        ({"inbound_rules": []}, 422, "at least one rule"),
        ({"inbound_rules": [{**SSH, "protocol": "sctp"}]}, 422, "protocol"),
        ({"inbound_rules": [{**SSH, "ports": ""}]}, 422, "ports"),
        ({"inbound_rules": [{**SSH, "ports": "0-9"}]}, 422, "ports"),
        ({"inbound_rules": [{**SSH, "ports": "9-8"}]}, 422, "ports"),
        ({"inbound_rules": [{**SSH, "ports": "65536"}]}, 422, "ports"),
        ({"inbound_rules": [{**SSH, "action": "deny"}]}, 422, "deny"),
        ({"inbound_rules": [{**SSH, "sources": [{"addresses": ["10.0.0.0/8"]}]}]}, 422, "invalid type for one of the"),
        ({"inbound_rules": [{**SSH, "sources": {"addresses": ["web"]}}]}, 422, "invalid address"),
        ({"inbound_rules": [{**SSH, "sources": {}}]}, 422, "at least one of"),
        ({"inbound_rules": [{**SSH, "sources": {"tags": ["none"]}}]}, 422, "tag none does not exist"),
        ({"inbound_rules": [{**SSH, "sources": {"droplet_ids": [7]}}]}, 422, "droplet 7 not found"),
        ({"inbound_rules": [{**SSH, "sources": {"load_balancer_uids": ["x"]}}]}, 422, "load balancer x not found"),
        ({"inbound_rules": [SSH] * 51}, 422, "at most 50 rules"),
        ({"droplet_ids": [7]}, 422, "droplet 7 not found"),
        ({"droplet_ids": ["7"]}, 422, "list of integers"),
        ({"tags": ["none"]}, 422, "tag none does not exist"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, vpc, fields, status, message):
    made(api, name="taken")
    answer = api.refusal("POST /v2/firewalls", {"name": "fw", "inbound_rules": [SSH], **fields})
    assert answer[0] == status
    assert message in answer[1]
    assert [firewall["name"] for firewall in api("GET /v2/firewalls")["firewalls"]] == ["taken"]


def test_a_firewall_has_at_most_ten_droplets_of_its_own_and_five_tags(api, vpc):
    droplets = [api.droplet(f"d{number}", vpc) for number in range(11)]
    firewall = made(api, droplet_ids=droplets[:10])
    body = {"droplet_ids": droplets[10:]}
    assert "at most 10" in api.refusal(f"POST /v2/firewalls/{firewall['id']}/droplets", body)[1]
    tags = [f"t{number}" for number in range(6)]
    for tag in tags:
        api("POST /v2/tags", {"name": tag})
    answer = api.refusal("POST /v2/firewalls", {"name": "x", "inbound_rules": [SSH], "tags": tags})
    assert "at most 5" in answer[1]


def test_a_name_is_free_again_for_its_own_firewall_and_after_its_end(api, vpc):
    first = made(api)
    api(f"PUT /v2/firewalls/{first['id']}", {"name": "fw", "inbound_rules": [SSH]})
    api(f"DELETE /v2/firewalls/{first['id']}")
    assert api.refusal(f"GET /v2/firewalls/{first['id']}")[0] == 404
    assert made(api)["id"] != first["id"]
