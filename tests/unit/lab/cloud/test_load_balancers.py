"""Load balancers: defaults, refusals, and what the hypervisor is told."""

from ipaddress import IPv4Interface

import pytest

from lab.cloud.hypervisor import Balancer, HealthCheck
from lab.cloud.store import Store
from tests.unit.lab.cloud.api_calls import REGION, Api

API_RULE = {"entry_protocol": "tcp", "entry_port": 6443, "target_protocol": "tcp", "target_port": 6443}
WEB_RULE = {"entry_protocol": "tcp", "entry_port": 80, "target_protocol": "tcp", "target_port": 30080}
SHOWN = {"certificate_id": "", "tls_passthrough": False}


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def vpc(api):
    api("POST /v2/tags", {"name": "web"})
    return api.vpc()


def asked(vpc, **fields):
    return {"name": "lb", "region": REGION, "vpc_uuid": vpc, "forwarding_rules": [API_RULE], **fields}


def made(api, vpc, **fields):
    return api("POST /v2/load_balancers", asked(vpc, **fields))["load_balancer"]


def test_a_new_load_balancer_has_the_defaults_and_no_address_until_it_is_active(api, vpc):
    new = made(api, vpc)
    assert api.status == 202
    assert (new["status"], new["ip"]) == ("new", "")
    expected = {
        "name": "lb",
        "size_unit": 1,
        "algorithm": "round_robin",
        "type": "REGIONAL",
        "network": "EXTERNAL",
        "network_stack": "IPV4",
        "tls_cipher_policy": "DEFAULT",
        "http_idle_timeout_seconds": 60,
        "sticky_sessions": {"type": "none"},
        "redirect_http_to_https": False,
        "enable_proxy_protocol": False,
        "enable_backend_keepalive": False,
        "disable_lets_encrypt_dns_records": False,
        "forwarding_rules": [API_RULE | SHOWN],
        "droplet_ids": [],
        "tag": "",
        "vpc_uuid": vpc,
        "health_check": {
            "protocol": "http",
            "port": 80,
            "path": "/",
            "check_interval_seconds": 10,
            "response_timeout_seconds": 5,
            "unhealthy_threshold": 5,
            "healthy_threshold": 3,
            "proxy_protocol": False,
        },
    }
    assert expected.items() <= new.items()
    assert new["region"]["slug"] == REGION
    assert not [name for name in new if name.startswith("_")]
    active = api(f"GET /v2/load_balancers/{new['id']}")["load_balancer"]
    assert (active["status"], active["ip"]) == ("active", "10.101.0.3")


def test_the_hypervisor_is_told_of_ports_checks_and_the_droplets_of_the_tag(api, vpc):
    check = {"protocol": "https", "port": 6443, "path": "/readyz", "check_interval_seconds": 3}
    check |= {"response_timeout_seconds": 3, "unhealthy_threshold": 2, "healthy_threshold": 4}
    balancer = made(api, vpc, tag="web", forwarding_rules=[API_RULE, WEB_RULE], health_check=check)
    tagged = api.droplet("a", vpc, "web")
    api.droplet("b", vpc)
    private = api.cloud.store.get("load_balancers", balancer["id"])["_private"]
    assert api.paper.balancers == (
        Balancer(
            balancer["id"],
            "10.101.0.3",
            IPv4Interface(f"{private}/24"),
            ((6443, 6443), (80, 30080)),
            HealthCheck("https", 6443, "/readyz", 3, 3, 2, 4),
            (api.addresses(tagged)[1],),
        ),
    )
    assert api(f"GET /v2/load_balancers/{balancer['id']}")["load_balancer"]["droplet_ids"] == [tagged]


def test_a_tcp_check_has_no_path(api, vpc):
    check = made(api, vpc, health_check={"protocol": "tcp", "port": 6443})["health_check"]
    assert "path" not in check
    assert api.paper.balancers[0].check == HealthCheck("tcp", 6443, "", 10, 5, 5, 3)


def test_backends_follow_tags_and_droplets_and_what_is_known_is_not_told_again(api, vpc):
    made(api, vpc, tag="web")
    first, second = api.droplet("a", vpc, "web"), api.droplet("b", vpc, "web")
    assert len(api.paper.balancers[0].backends) == 2
    count = [name for name, _ in api.paper.calls].count("balance")
    api("POST /v2/tags", {"name": "other"})
    assert [name for name, _ in api.paper.calls].count("balance") == count
    api(f"DELETE /v2/droplets/{first}")
    assert api.paper.balancers[0].backends == (api.addresses(second)[1],)
    api("DELETE /v2/tags/web")
    assert api.paper.balancers[0].backends == ()


def test_droplets_and_rules_can_be_added_and_taken(api, vpc):
    first, second = api.droplet("a", vpc), api.droplet("b", vpc)
    path = f"/v2/load_balancers/{made(api, vpc, droplet_ids=[first])['id']}"
    api(f"POST {path}/droplets", {"droplet_ids": [second, first]})
    assert api(f"GET {path}")["load_balancer"]["droplet_ids"] == [first, second]
    api(f"DELETE {path}/droplets", {"droplet_ids": [first]})
    assert api(f"GET {path}")["load_balancer"]["droplet_ids"] == [second]
    api(f"POST {path}/forwarding_rules", {"forwarding_rules": [WEB_RULE]})
    assert api.paper.balancers[0].ports == ((6443, 6443), (80, 30080))
    assert "same entry_port" in api.refusal(f"POST {path}/forwarding_rules", {"forwarding_rules": [WEB_RULE]})[1]
    api(f"DELETE {path}/forwarding_rules", {"forwarding_rules": [WEB_RULE]})
    assert api.paper.balancers[0].ports == ((6443, 6443),)
    assert "at least one" in api.refusal(f"DELETE {path}/forwarding_rules", {"forwarding_rules": [API_RULE]})[1]


def test_a_tag_chooses_droplets_alone(api, vpc):
    droplet = api.droplet("a", vpc)
    message = "need to provide either a tag or a list of droplets"
    body = asked(vpc, tag="web", droplet_ids=[droplet])
    assert api.refusal("POST /v2/load_balancers", body) == (422, message)
    path = f"/v2/load_balancers/{made(api, vpc, tag='web')['id']}"
    assert api.refusal(f"POST {path}/droplets", {"droplet_ids": [droplet]}) == (422, message)


def test_an_update_is_of_everything_but_region_and_vpc(api, vpc):
    balancer = made(api, vpc, tag="web", size_unit=2, health_check={"protocol": "tcp", "port": 22})
    path = f"/v2/load_balancers/{balancer['id']}"
    new = api(f"PUT {path}", asked(vpc, name="other"))["load_balancer"]
    assert (new["name"], new["tag"], new["health_check"]["protocol"]) == ("other", "", "http")
    assert new["size_unit"] == 2
    assert "cannot be changed" in api.refusal(f"PUT {path}", asked(vpc, region="ams3"))[1]
    assert "cannot be changed" in api.refusal(f"PUT {path}", asked(api.vpc("10.31.0.0/24", "net-2")))[1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "a b"}, "name must begin"),
        ({"name": "taken"}, "name is not unique"),
        ({"region": "nowhere1"}, "region"),
        ({"vpc_uuid": "none"}, "vpc none not found"),
        ({"forwarding_rules": []}, "at least one"),
        ({"forwarding_rules": [API_RULE, API_RULE]}, "same entry_port"),
        ({"forwarding_rules": [API_RULE | {"entry_port": 0}]}, "entry_port"),
        ({"forwarding_rules": [API_RULE | {"target_port": 65536}]}, "target_port"),
        ({"forwarding_rules": [API_RULE | {"entry_protocol": "udp", "target_protocol": "udp"}]}, "'udp'"),
        ({"forwarding_rules": [API_RULE | {"entry_protocol": "https", "target_protocol": "https"}]}, "tls_passthrough"),
        ({"health_check": {"protocol": "icmp"}}, "protocol"),
        ({"health_check": {"path": "ready"}}, "path must begin"),
        ({"health_check": {"check_interval_seconds": 2}}, "check_interval_seconds must be between 3 and 300"),
        ({"health_check": {"healthy_threshold": 11}}, "healthy_threshold must be between 2 and 10"),
        ({"size_unit": 0}, "size_unit"),
        ({"size": "lb-huge"}, "size must be one of"),
        ({"size": "lb-small", "size_unit": 1}, "exclude each other"),
        ({"droplet_ids": [7]}, "droplet 7 not found"),
        ({"tag": "none"}, "tag none does not exist"),
        ({"project_id": "none"}, "project none not found"),
        ({"type": "GLOBAL"}, "type must be one of"),
        ({"network": "INTERNAL"}, "network must be one of"),
        ({"enable_proxy_protocol": True}, "enable_proxy_protocol"),
        ({"firewall": {"deny": ["cidr:10.0.0.0/8"]}}, "firewall"),
        ({"sticky_sessions": {"type": "cookies"}}, "cookies"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, vpc, fields, message):
    made(api, vpc, name="taken")
    status, said = api.refusal("POST /v2/load_balancers", asked(vpc, **fields))
    assert status == 422
    assert message in said
    assert len(api("GET /v2/load_balancers")["load_balancers"]) == 1


def test_an_older_size_is_a_number_of_nodes(api, vpc):
    assert made(api, vpc, size="lb-medium")["size_unit"] == 3


def test_a_rule_of_https_passes_it_through(api, vpc):
    rule = {"entry_protocol": "https", "entry_port": 443, "target_protocol": "https", "target_port": 443}
    balancer = made(api, vpc, forwarding_rules=[rule | {"tls_passthrough": True}], firewall={"allow": [], "deny": []})
    assert balancer["forwarding_rules"] == [rule | {"tls_passthrough": True, "certificate_id": ""}]


def test_without_a_vpc_it_is_in_the_default_one_of_its_region(api):
    balancer = made(api, None)
    assert api(f"GET /v2/vpcs/{balancer['vpc_uuid']}")["vpc"]["default"] is True


def test_the_end_of_one_frees_its_address_and_its_name(api, vpc):
    first, second = made(api, vpc), made(api, vpc, name="second")
    api(f"DELETE /v2/load_balancers/{first['id']}")
    assert [balancer.id for balancer in api.paper.balancers] == [second["id"]]
    assert api.refusal(f"GET /v2/load_balancers/{first['id']}")[0] == 404
    third = made(api, vpc)
    assert api(f"GET /v2/load_balancers/{third['id']}")["load_balancer"]["ip"] == "10.101.0.3"


def test_there_are_as_many_as_addresses(api, vpc):
    for number in range(7):
        made(api, vpc, name=f"lb-{number}")
    assert "no address is left" in api.refusal("POST /v2/load_balancers", asked(vpc))[1]


def test_a_list_can_be_of_some_names_or_ids(api, vpc):
    first, second = made(api, vpc), made(api, vpc, name="second")
    for query in ({"names": "second"}, {"uuids": second["id"]}):
        assert [item["id"] for item in api("GET /v2/load_balancers", **query)["load_balancers"]] == [second["id"]]
    assert [item["id"] for item in api("GET /v2/load_balancers")["load_balancers"]] == [first["id"], second["id"]]


def test_one_that_is_to_stay_new_does_even_after_a_restart_and_one_that_was_interrupted_does_not(tmp_path):
    api = Api(Store(tmp_path / "state.json"))
    stuck = api("POST /v2/load_balancers", asked(None), fault="never-active")["load_balancer"]
    other = made(api, None, name="other")
    with api.cloud.changing():
        api.cloud.store.get("load_balancers", other["id"])["status"] = "new"
    api.settle()
    again = Api(Store(tmp_path / "state.json"))
    again.settle()
    states = {item["name"]: item["status"] for item in again("GET /v2/load_balancers")["load_balancers"]}
    assert states == {"lb": "new", "other": "active"}
    assert [balancer.id for balancer in again.paper.balancers] == [other["id"]]
    assert stuck["ip"] == ""
