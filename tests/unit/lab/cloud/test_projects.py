"""Projects: the default one has what no other one has."""

import pytest

from lab.cloud.store import Store
from tests.unit.lab.cloud.api_calls import REGION, Api


@pytest.fixture
def api():
    return Api()


def made(api, **fields):
    return api("POST /v2/projects", {"name": "p", "purpose": "Web Application", **fields})["project"]


def urns(api, project):
    return [item["urn"] for item in api(f"GET /v2/projects/{project}/resources")["resources"]]


def test_there_is_a_default_project_which_stays_the_same(tmp_path):
    store = tmp_path / "state.json"
    first = Api(Store(store))("GET /v2/projects/default")["project"]
    assert first["is_default"] is True
    assert Api(Store(store))("GET /v2/projects")["projects"] == [first]


def test_a_new_project_has_the_defaults(api):
    project = made(api)
    assert api.status == 201
    expected = {"name": "p", "purpose": "Web Application", "description": "", "environment": ""}
    assert expected.items() <= project.items()
    assert project["is_default"] is False


def test_a_purpose_that_is_none_of_the_known_is_another(api):
    project = made(api, purpose="a rehearsal")
    assert project["purpose"] == "Other: a rehearsal"
    patched = api(f"PATCH /v2/projects/{project['id']}", {"purpose": project["purpose"]})["project"]
    assert patched["purpose"] == "Other: a rehearsal"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"name": ""}, 422, "name"),
        ({"name": "x" * 176}, 422, "at most 175"),
        ({"name": "taken"}, 409, "already exists"),
        ({"purpose": ""}, 422, "purpose"),
        ({"description": "x" * 256}, 422, "at most 255"),
        ({"environment": "Testing"}, 422, "environment must be one of"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, fields, status, message):
    made(api, name="taken")
    answer = api.refusal("POST /v2/projects", {"name": "p", "purpose": "x", **fields})
    assert answer[0] == status
    assert message in answer[1]
    assert len(api("GET /v2/projects")["projects"]) == 2


def test_a_patch_changes_what_is_not_null_and_a_put_wants_everything(api):
    path = f"/v2/projects/{made(api)['id']}"
    patched = api(f"PATCH {path}", {"name": None, "environment": "Production", "is_default": None})["project"]
    assert (patched["name"], patched["environment"]) == ("p", "Production")
    assert "description is required" in api.refusal(f"PUT {path}", {"name": "q"})[1]
    whole = {"name": "q", "description": "", "purpose": "IoT", "environment": "Staging", "is_default": True}
    assert api(f"PUT {path}", whole)["project"]["is_default"] is True
    assert [item["is_default"] for item in api("GET /v2/projects")["projects"]] == [False, True]


def test_everything_is_in_the_default_project_until_it_is_moved(api):
    project, normal = made(api)["id"], api("GET /v2/projects/default")["project"]["id"]
    droplet = f"do:droplet:{api.droplet('a', api.vpc())}"
    address = api("POST /v2/reserved_ips", {"region": REGION})["reserved_ip"]["ip"]
    assert urns(api, normal) == [droplet, f"do:reservedip:{address}"]
    moved = api(f"POST /v2/projects/{project}/resources", {"resources": [droplet, f"do:floatingip:{address}"]})
    assert [item["status"] for item in moved["resources"]] == ["assigned", "assigned"]
    assert moved["resources"][0]["links"]["self"] == f"http://cloud.test/v2/droplets/{droplet.split(':')[2]}"
    assert (urns(api, normal), urns(api, project)) == ([], [droplet, f"do:reservedip:{address}"])
    again = api(f"POST /v2/projects/{project}/resources", {"resources": [droplet]})
    assert again["resources"][0]["status"] == "already_assigned"


def test_a_vpc_and_nonsense_cannot_be_in_a_project_nor_what_is_not_there(api):
    path = f"POST /v2/projects/{made(api)['id']}/resources"
    vpc = api.vpc()
    for urn in (f"do:vpc:{vpc}", "nonsense", "do:droplet:"):
        assert api.refusal(path, {"resources": [urn]})[0] == 400
    assert api.refusal(path, {"resources": ["do:droplet:7"]})[0] == 404


def test_a_bucket_can_be_in_a_project(api):
    project = made(api)["id"]
    api(f"POST /v2/projects/{project}/resources", {"resources": ["do:space:data"]})
    assert urns(api, project) == ["do:space:data"]


def test_only_an_empty_project_can_be_deleted_and_never_the_default_one(api):
    project = made(api)["id"]
    droplet = api.droplet("a", api.vpc())
    api(f"POST /v2/projects/{project}/resources", {"resources": [f"do:droplet:{droplet}"]})
    assert api.refusal(f"DELETE /v2/projects/{project}") == (412, "cannot delete a project with resources")
    api(f"DELETE /v2/droplets/{droplet}")
    api(f"DELETE /v2/projects/{project}")
    assert api.refusal(f"GET /v2/projects/{project}")[0] == 404
    assert api.refusal("DELETE /v2/projects/default")[0] == 403


def test_what_is_made_for_a_project_is_in_it(api):
    project = made(api)["id"]
    reserved = api("POST /v2/reserved_ips", {"region": REGION, "project_id": project})["reserved_ip"]
    assert reserved["project_id"] == project
    assert urns(api, project) == [f"do:reservedip:{reserved['ip']}"]


def test_an_address_that_is_given_out_again_is_in_the_default_project(api):
    project = made(api)["id"]
    address = api("POST /v2/reserved_ips", {"region": REGION, "project_id": project})["reserved_ip"]["ip"]
    api(f"DELETE /v2/reserved_ips/{address}")
    assert api("POST /v2/reserved_ips", {"region": REGION})["reserved_ip"]["ip"] == address
    assert urns(api, project) == []
