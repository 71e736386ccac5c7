"""Keys of the object storage: the secret once, and what the storage is told."""

import json

import pytest

from lab.cloud.paper import PaperHypervisor
from lab.cloud.store import Store
from tests.unit.lab.cloud.api_calls import Api

SNAPSHOTS = {"bucket": "snapshots", "permission": "readwrite"}


@pytest.fixture
def api():
    return Api()


def made(api, **fields):
    return api("POST /v2/spaces/keys", {"name": "k", "grants": [SNAPSHOTS], **fields})["key"]


def test_the_secret_is_shown_once(api):
    key = made(api)
    assert api.status == 201
    assert key["secret_key"]
    assert key["access_key"].startswith("DO")
    one = api(f"GET /v2/spaces/keys/{key['access_key']}")["key"]
    assert one == {name: value for name, value in key.items() if name != "secret_key"}
    assert api("GET /v2/spaces/keys")["keys"] == [one]
    assert key["secret_key"] not in json.dumps([one, api.answer])


def test_the_storage_is_told_of_new_changed_and_removed_keys(api):
    access_key = made(api)["access_key"]
    path = f"/v2/spaces/keys/{access_key}"
    assert api.paper.keys == {access_key: (("snapshots", "readwrite"),)}
    api(f"PUT {path}", {"name": "k", "grants": [{"bucket": "other", "permission": "read"}]})
    assert api.paper.keys == {access_key: (("other", "read"),)}
    api(f"DELETE {path}")
    assert api.status == 204
    assert api.paper.keys == {}
    assert api.refusal(f"GET {path}")[0] == api.refusal(f"DELETE {path}")[0] == 404


def test_full_access_goes_before_other_grants(api):
    key = made(api, grants=[SNAPSHOTS, {"bucket": "", "permission": "fullaccess"}])
    assert api.paper.keys == {key["access_key"]: (("", "fullaccess"),)}
    assert len(key["grants"]) == 2


def test_a_patch_changes_what_is_given_and_what_is_known_is_not_told_again(api):
    access_key = made(api)["access_key"]
    assert api(f"PATCH /v2/spaces/keys/{access_key}", {"name": "new"})["key"]["grants"] == [SNAPSHOTS]
    assert [name for name, _ in api.paper.calls].count("add_key") == 1
    api(f"PATCH /v2/spaces/keys/{access_key}", {"grants": []})
    assert api.paper.keys == {access_key: ()}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": ""}, "name is required"),
        ({"grants": "all"}, "list of objects"),
        ({"grants": [{"bucket": "b", "permission": "write"}]}, "permission must be one of"),
        ({"grants": [{"bucket": "b"}]}, "permission must be one of"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(api, fields, message):
    status, said = api.refusal("POST /v2/spaces/keys", {"name": "k", "grants": [SNAPSHOTS], **fields})
    assert status == 400
    assert message in said
    assert api("GET /v2/spaces/keys")["keys"] == []


def test_a_list_can_be_of_a_name_a_bucket_or_a_permission(api):
    made(api)
    made(api, name="other", grants=[{"bucket": "b", "permission": "read"}])
    for query in ({"name": "other"}, {"bucket": "b"}, {"permission": "read"}):
        assert [key["name"] for key in api("GET /v2/spaces/keys", **query)["keys"]] == ["other"]


def test_what_the_storage_did_not_take_is_told_after_a_restart(tmp_path):
    class Deaf(PaperHypervisor):
        def add_key(self, access_key, secret_key, grants):
            raise RuntimeError("the storage is not there")

    api = Api(Store(tmp_path / "state.json"), Deaf())
    api.cloud.log = lambda line: None
    api.cloud.reconcilers = ()
    key = made(api)
    again = Api(Store(tmp_path / "state.json"))
    again.settle()
    assert list(again.paper.keys) == [key["access_key"]]
