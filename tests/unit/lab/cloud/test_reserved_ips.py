"""Reserved IPs: where they lead, one thing after another, and what becomes of them without their droplet."""

import threading

import pytest

from lab.cloud.paper import PaperHypervisor
from tests.unit.lab.cloud.api_calls import REGION, Api

FIRST = "10.101.0.200"


@pytest.fixture
def api():
    return Api()


@pytest.fixture
def droplet(api):
    return api.droplet("a", api.vpc())


def reserved(api, address=FIRST):
    return api(f"GET /v2/reserved_ips/{address}")["reserved_ip"]


def test_one_for_a_region_leads_nowhere(api):
    new = api("POST /v2/reserved_ips", {"region": REGION})["reserved_ip"]
    assert api.status == 202
    assert (new["ip"], new["droplet"], new["locked"]) == (FIRST, None, False)
    assert new["region"]["slug"] == REGION
    assert new["project_id"] == api("GET /v2/projects/default")["project"]["id"]
    assert api("GET /v2/reserved_ips")["reserved_ips"] == [new]


def test_one_for_a_droplet_is_assigned_by_an_action(api, droplet):
    answer = api("POST /v2/reserved_ips", {"droplet_id": droplet})
    (link,) = answer["links"]["actions"]
    assert link["rel"] == "assign_ip"
    action = api(f"GET /v2/reserved_ips/{FIRST}/actions/{link['id']}")["action"]
    # The number of an action's address is the address itself (digitalocean/doctl#493).
    assert (action["status"], action["resource_type"]) == ("completed", "reserved_ip")
    assert action["resource_id"] == (10 << 24) + (101 << 16) + 200
    assert reserved(api)["droplet"]["id"] == droplet
    assert api.paper.reserved == {FIRST: droplet}


def test_it_is_assigned_moved_and_unassigned(api, droplet):
    other = api.droplet("b", api.vpc("10.31.0.0/24", "net-2"))
    api("POST /v2/reserved_ips", {"region": REGION})
    path = f"/v2/reserved_ips/{FIRST}/actions"
    assert api(f"POST {path}", {"type": "assign", "droplet_id": droplet})["action"]["type"] == "assign_ip"
    assert api.status == 201
    api(f"POST {path}", {"type": "assign", "droplet_id": other})
    assert reserved(api)["droplet"]["id"] == api.paper.reserved[FIRST] == other
    api(f"POST {path}", {"type": "unassign"})
    assert (reserved(api)["droplet"], api.paper.reserved[FIRST]) == (None, None)
    kinds = [action["type"] for action in api(f"GET {path}")["actions"]]
    assert kinds == ["unassign_ip", "assign_ip", "assign_ip"]


def test_while_an_action_is_under_way_it_is_locked_and_takes_no_other():
    class Slow(PaperHypervisor):
        def reserve(self, address, machine):
            assert go_on.wait(10)
            super().reserve(address, machine)

    go_on = threading.Event()
    api = Api(paper=Slow())
    droplet = api.droplet("a", api.vpc())
    settle, api.settle = api.settle, lambda: None
    api("POST /v2/reserved_ips", {"droplet_id": droplet})
    assert reserved(api)["locked"] is True
    pending = (422, "The reserved IP already has a pending event.")
    assert api.refusal(f"POST /v2/reserved_ips/{FIRST}/actions", {"type": "unassign"}) == pending
    assert api.refusal(f"DELETE /v2/reserved_ips/{FIRST}") == pending
    taken = (422, "The Droplet already has a reserved IP.")
    assert api.refusal("POST /v2/reserved_ips", {"droplet_id": droplet}) == taken
    go_on.set()
    settle()
    assert reserved(api)["locked"] is False


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "either droplet_id or region"),
        ({"region": "nowhere1"}, "region"),
        ({"droplet_id": 7}, "could not be found"),
        ({"region": REGION, "project_id": "none"}, "project none not found"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, body, message):
    status, said = api.refusal("POST /v2/reserved_ips", body)
    assert status == 422
    assert message in said
    assert api("GET /v2/reserved_ips")["reserved_ips"] == []


def test_an_account_has_a_few_of_them(api):
    for _ in range(5):
        api("POST /v2/reserved_ips", {"region": REGION})
    assert "exceed your reserved IP limit" in api.refusal("POST /v2/reserved_ips", {"region": REGION})[1]


def test_actions_that_cannot_be_are_refused(api, droplet):
    api("POST /v2/reserved_ips", {"region": REGION})
    path = f"POST /v2/reserved_ips/{FIRST}/actions"
    assert "not assigned" in api.refusal(path, {"type": "unassign"})[1]
    assert "type must be" in api.refusal(path, {"type": "dance"})[1]
    assert "could not be found" in api.refusal(path, {"type": "assign", "droplet_id": 7})[1]
    elsewhere = {"name": "far", "region": "nyc3", "size": "s-2vcpu-4gb", "image": "debian-12-x64"}
    far = api("POST /v2/droplets", elsewhere)["droplet"]["id"]
    assert "not in the region" in api.refusal(path, {"type": "assign", "droplet_id": far})[1]
    assert api.refusal(f"GET /v2/reserved_ips/{FIRST}/actions/1")[0] == 404


def test_it_outlives_its_droplet(api, droplet):
    api("POST /v2/reserved_ips", {"droplet_id": droplet})
    api(f"DELETE /v2/droplets/{droplet}")
    assert (reserved(api)["droplet"], api.paper.reserved[FIRST]) == (None, None)


def test_its_end_unassigns_it_and_frees_the_address(api, droplet):
    api("POST /v2/reserved_ips", {"droplet_id": droplet})
    api(f"DELETE /v2/reserved_ips/{FIRST}")
    assert api.status == 204
    assert api.paper.reserved[FIRST] is None
    assert api.refusal(f"GET /v2/reserved_ips/{FIRST}")[0] == 404
    assert api("POST /v2/reserved_ips", {"droplet_id": droplet})["reserved_ip"]["ip"] == FIRST
