import pytest

from lab.cloud.core import Account

from ..conftest import Api, Start


def make(api: Api, name: str = "net", **more: object) -> dict[str, object]:
    vpc: dict[str, object] = api.post("/v2/vpcs", {"name": name, "region": "fra1", **more}).ok()["vpc"]
    return vpc


def test_a_network_has_the_range_that_was_asked_for_or_a_free_one(api: Api) -> None:
    asked, free = make(api, ip_range="10.20.0.0/24", description="mine"), make(api, "other")
    assert (asked["ip_range"], asked["description"], asked["default"]) == ("10.20.0.0/24", "mine", False)
    assert asked["urn"] == f"do:vpc:{asked['id']}"
    assert str(free["ip_range"]).endswith(".0.0/20")
    assert api.get(f"/v2/vpcs/{asked['id']}").ok()["vpc"] == asked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "net"}, "name must be unique: there is a VPC net already"),
        ({"name": "under_score"}, "name is invalid: alphanumeric characters, dashes and periods only"),
        ({"region": "moon1"}, None),
        ({"ip_range": "10.20.0.128/25"}, "This range/size overlaps with another VPC network in your account"),
        ({"ip_range": "8.8.8.0/24"}, "ip_range is invalid: it must be within the private ranges of RFC 1918"),
        ({"ip_range": "10.0.0.0/8"}, "ip_range is invalid: its prefix must be between /16 and /28"),
        ({"ip_range": "10.50.0.1/24"}, None),
        ({"description": "x" * 256}, "description must be a text of at most 255 characters"),
    ],
)
def test_what_cannot_be_made_is_refused(api: Api, change: dict[str, object], message: str | None) -> None:
    make(api, ip_range="10.20.0.0/24")
    status, id, said = api.post("/v2/vpcs", {"name": "new", "region": "fra1"} | change).error()
    assert (status, id) == (422, "unprocessable_entity")
    assert message in (None, said)


def test_the_first_network_of_an_unused_region_is_its_default_and_stays(start: Start) -> None:
    api = start(account=Account())
    first, second = make(api, "a"), make(api, "b")
    assert (first["default"], second["default"]) == (True, False)
    assert api.delete(f"/v2/vpcs/{first['id']}").error() == (403, "forbidden", "Can not delete default VPCs")
    answer = api.put(f"/v2/vpcs/{first['id']}", {"name": "a", "default": False})
    assert answer.error() == (403, "forbidden", "Can not unset default VPCs")
    api.put(f"/v2/vpcs/{second['id']}", {"name": "b", "default": True}).ok()
    assert api.delete(f"/v2/vpcs/{first['id']}").status == 204


def test_a_droplet_that_asks_for_none_lands_in_the_default_one(start: Start) -> None:
    api = start(account=Account())
    machine = api.droplet()
    assert api.get(f"/v2/vpcs/{machine['vpc_uuid']}").ok()["vpc"]["name"] == "default-fra1"


def test_a_network_with_members_is_not_deleted(api: Api) -> None:
    vpc = make(api, ip_range="10.20.0.0/24")
    machine = api.droplet(vpc_uuid=vpc["id"])
    members = api.get(f"/v2/vpcs/{vpc['id']}/members?resource_type=droplet").ok()["members"]
    assert [(member["urn"], member["name"]) for member in members] == [(f"do:droplet:{machine['id']}", "web-1")]
    assert api.get(f"/v2/vpcs/{vpc['id']}/members?resource_type=database").ok()["members"] == []
    assert api.delete(f"/v2/vpcs/{vpc['id']}").error() == (409, "conflict", "Can not delete VPC with members")
    with api.cloud.machine(machine["id"]):  # a machine that is being ended is a member still
        api.delete(f"/v2/droplets/{machine['id']}").ok()
        assert api.delete(f"/v2/vpcs/{vpc['id']}").status == 409
    api.settle()
    assert api.delete(f"/v2/vpcs/{vpc['id']}").status == 204
    assert api.get(f"/v2/vpcs/{vpc['id']}").status == 404


def test_private_addresses_begin_with_the_tenth_and_end_with_the_range(api: Api) -> None:
    vpc = make(api, ip_range="10.20.0.0/28")
    for number in range(5):
        machine = api.droplet(f"m{number}", vpc_uuid=vpc["id"])
        assert machine["networks"]["v4"][1]["ip_address"] == f"10.20.0.{10 + number}"
    body = {"name": "m5", "region": "fra1", "size": "s-2vcpu-4gb", "image": "debian-12-x64", "vpc_uuid": vpc["id"]}
    assert "no address is left" in api.post("/v2/droplets", body).error()[2]


def test_name_and_description_can_be_changed(api: Api) -> None:
    vpc = make(api)
    changed = api.put(f"/v2/vpcs/{vpc['id']}", {"name": "new", "description": "d"}).ok()["vpc"]
    assert (changed["name"], changed["description"], changed["ip_range"]) == ("new", "d", vpc["ip_range"])
    patched = api.request("PATCH", f"/v2/vpcs/{vpc['id']}", {"description": "e"}).ok()["vpc"]
    assert (patched["name"], patched["description"]) == ("new", "e")
