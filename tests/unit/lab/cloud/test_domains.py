"""Domains and records: fields by type, names of two kinds, and the zone file."""

import pytest

from tests.unit.lab.cloud.api_calls import Api

ZONE = "example.org"
RECORDS = f"/v2/domains/{ZONE}/records"


@pytest.fixture
def api():
    api = Api()
    api("POST /v2/domains", {"name": ZONE})
    return api


def record(api, **fields):
    return api(f"POST {RECORDS}", {"type": "A", "name": "www", "data": "192.0.2.1", **fields})["domain_record"]


def test_a_new_domain_has_its_own_records_and_one_for_its_address(api):
    assert api.answer == {"domain": {"name": ZONE, "ttl": 1800, "zone_file": None}}
    api("POST /v2/domains", {"name": "Other.example", "ip_address": "192.0.2.9"})
    items = api("GET /v2/domains/other.example/records")["domain_records"]
    assert [item["type"] for item in items] == ["SOA", "NS", "NS", "NS", "A"]
    assert items[-1].items() >= {"name": "@", "data": "192.0.2.9", "ttl": 1800, "priority": None}.items()
    assert [item["name"] for item in api("GET /v2/domains")["domains"]] == [ZONE, "other.example"]


@pytest.mark.parametrize("name", ["nodots", "-a.example", "a..example", "a.example.", f"{'x' * 64}.example"])
def test_a_domain_that_is_none_is_refused(api, name):
    assert "not a valid domain name" in api.refusal("POST /v2/domains", {"name": name})[1]


def test_a_domain_can_be_added_once(api):
    assert api.refusal("POST /v2/domains", {"name": ZONE.upper()})[0] == 422
    assert "already exists" in api.refusal("POST /v2/domains", {"name": ZONE})[1]


def test_a_record_has_a_number_and_a_ttl_of_half_an_hour(api):
    new = record(api, name="*.apps")
    assert api.status == 201
    assert new["id"] > 0
    assert new.items() >= {"type": "A", "name": "*.apps", "data": "192.0.2.1", "ttl": 1800}.items()
    assert api(f"GET {RECORDS}/{new['id']}")["domain_record"] == new


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({"type": "AAAA", "data": "2001:DB8::1"}, {"data": "2001:db8::1"}),
        ({"type": "CNAME", "data": "web.example.net."}, {"data": "web.example.net"}),
        ({"type": "CNAME", "data": "@"}, {"data": "@"}),
        ({"type": "MX", "data": "mx.example.net.", "priority": 10}, {"priority": 10, "port": None}),
        ({"type": "TXT", "data": "v=spf1 -all"}, {"data": "v=spf1 -all"}),
        (
            {"type": "SRV", "name": "_a._tcp", "data": "s.example.net.", "priority": 1, "port": 2, "weight": 0},
            {"priority": 1, "port": 2, "weight": 0},
        ),
        ({"type": "CAA", "data": "ca.example.", "flags": 0, "tag": "issue"}, {"flags": 0, "tag": "issue"}),
        ({"type": "A", "priority": 7}, {"priority": None}),
    ],
)
def test_each_type_keeps_its_own_fields(api, fields, kept):
    assert record(api, **fields).items() >= kept.items()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"type": "PTR"}, "Type must be one of"),
        ({"data": ""}, "Data can't be blank."),
        ({"name": ""}, "Name can't be blank."),
        ({"name": "a b"}, "is invalid"),
        ({"data": "web.example.net."}, "did not match IPv4 format"),
        ({"type": "AAAA"}, "did not match IPv6 format"),
        ({"type": "CNAME", "data": "web.example.net"}, "Data needs to end with a dot (.)"),
        ({"type": "CNAME", "name": "taken", "data": "@"}, "CNAME records cannot share"),
        ({"ttl": 29}, "at least 30"),
        ({"type": "MX", "data": "@", "priority": 65536}, "Priority must be between"),
        ({"type": "CAA", "data": "ca.example.", "tag": "any"}, "Tag must be one of"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, fields, message):
    record(api, name="taken")
    before = api(f"GET {RECORDS}")["domain_records"]
    status, said = api.refusal(f"POST {RECORDS}", {"type": "A", "name": "www", "data": "192.0.2.1", **fields})
    assert status == 422
    assert message in said
    assert api(f"GET {RECORDS}")["domain_records"] == before


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_an_edit_changes_what_is_given_but_not_the_type(api, method):
    path = f"{RECORDS}/{record(api)['id']}"
    edited = api(f"{method} {path}", {"type": "A", "data": "192.0.2.2", "ttl": 60})["domain_record"]
    assert edited.items() >= {"name": "www", "data": "192.0.2.2", "ttl": 60}.items()
    assert "cannot be changed" in api.refusal(f"{method} {path}", {"type": "TXT"})[1]
    assert "IPv4" in api.refusal(f"{method} {path}", {"data": "no"})[1]


def test_records_are_found_by_type_and_by_their_whole_name(api):
    record(api)
    record(api, name="@")
    record(api, type="TXT", data="hello")

    def found(**query):
        return [(item["type"], item["name"]) for item in api(f"GET {RECORDS}", **query)["domain_records"]]

    assert found(type="A") == [("A", "www"), ("A", "@")]
    assert found(name=f"www.{ZONE}") == [("A", "www"), ("TXT", "www")]
    assert found(name=f"www.{ZONE}", type="TXT") == [("TXT", "www")]
    assert found(name=ZONE, type="A") == [("A", "@")]
    assert found(name="www") == []


def test_the_zone_file_has_the_records(api):
    record(api, type="MX", name="@", data="mx.example.net.", priority=10)
    zone = api(f"GET /v2/domains/{ZONE}")["domain"]["zone_file"]
    assert zone.startswith(f"$ORIGIN {ZONE}.\n$TTL 1800\n{ZONE}. IN SOA ns1.digitalocean.com. ")
    assert f"\n{ZONE}. 1800 IN MX 10 mx.example.net.\n" in zone


def test_the_soa_stays_and_a_domain_goes_with_its_records(api):
    soa = api(f"GET {RECORDS}", type="SOA")["domain_records"][0]["id"]
    assert "SOA" in api.refusal(f"DELETE {RECORDS}/{soa}")[1]
    new = record(api)["id"]
    api(f"DELETE {RECORDS}/{new}")
    assert api.refusal(f"GET {RECORDS}/{new}")[0] == 404
    api(f"DELETE /v2/domains/{ZONE}")
    assert api.refusal(f"GET {RECORDS}")[0] == 404
    assert api.cloud.store.all("domain_records") == []


def test_a_record_is_not_found_in_another_domain(api):
    api("POST /v2/domains", {"name": "other.example"})
    new = record(api)["id"]
    assert api.refusal(f"GET /v2/domains/other.example/records/{new}")[0] == 404
