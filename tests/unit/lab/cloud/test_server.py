import http.client
import json

import pytest

from lab.cloud.core import Delays
from lab.cloud.limits import Limits
from lab.cloud.paper import PaperHypervisor

from .conftest import Api, Start, droplet


def test_a_request_without_a_good_token_is_unauthorized(api: Api) -> None:
    assert api.request("GET", "/v2/account", token="wrong").error() == (
        401,
        "Unauthorized",
        "Unable to authenticate you",
    )
    assert api.request("GET", "/lab/census", token="").status == 401


def test_the_read_only_token_may_only_read(api: Api) -> None:
    only = api.token_read_only
    assert api.request("GET", "/v2/account", token=only).status == 200
    assert api.request("POST", "/v2/tags", {"name": "a"}, token=only).error()[:2] == (403, "forbidden")
    assert api.request("DELETE", "/v2/vpcs/x", token=only).status == 403
    assert api.get("/v2/tags").ok()["tags"] == []


def test_an_unknown_path_and_an_unknown_method_are_not_found(api: Api) -> None:
    assert api.get("/v2/nothing").error()[:2] == (404, "not_found")
    assert api.request("PATCH", "/v2/account").status == 404


def test_a_body_that_is_no_json_object_is_a_bad_request(api: Api) -> None:
    assert api.post("/v2/tags", ["name"]).error()[:2] == (400, "bad_request")


def test_every_answer_counts_against_the_limit_and_says_so(start: Start) -> None:
    api = start(limits=Limits(hour=10, minute=10))
    first, second = api.get("/v2/account"), api.get("/v2/nothing")
    assert (first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == ("10", "9")
    assert second.headers["ratelimit-remaining"] == "8"
    assert int(first.headers["ratelimit-reset"]) > 0


def test_one_request_too_many_is_told_when_to_come_again(start: Start) -> None:
    api = start(limits=Limits(hour=100, minute=2))
    api.get("/v2/account").ok()
    api.get("/v2/account").ok()
    answer = api.get("/v2/account")
    assert answer.error() == (429, "too_many_requests", "API Rate limit exceeded.")
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert api.get("/lab/census").status == 200


def test_a_list_is_cut_into_pages_that_link_to_each_other(api: Api) -> None:
    for number in range(5):
        api.post("/v2/tags", {"name": f"tag-{number}"}).ok()
    page = api.get("/v2/tags?page=2&per_page=2").ok()
    assert [tag["name"] for tag in page["tags"]] == ["tag-2", "tag-3"]
    assert page["meta"] == {"total": 5}
    assert {name: link.partition("?")[2] for name, link in page["links"]["pages"].items()} == {
        "first": "page=1&per_page=2",
        "prev": "page=1&per_page=2",
        "next": "page=3&per_page=2",
        "last": "page=3&per_page=2",
    }
    assert page["links"]["pages"]["next"].startswith(f"http://127.0.0.1:{api.server.server_address[1]}/v2/tags?")


def test_a_list_of_one_page_has_no_links_and_a_wrong_page_number_is_refused(api: Api) -> None:
    assert api.get("/v2/tags").ok()["links"] == {}
    assert api.get("/v2/tags?per_page=none").status == 400


def test_a_list_lacks_what_was_just_made_while_it_can_be_had_by_its_id(start: Start) -> None:
    api = start(delays=Delays(0, 0, settle=3600))
    api.post("/v2/tags", {"name": "new"}).ok()
    assert api.get("/v2/tags").ok()["tags"] == []
    assert api.get("/v2/tags/new").ok()["tag"]["name"] == "new"


def test_a_restarted_cloud_knows_everything_and_gives_no_number_twice(start: Start) -> None:
    first, hypervisor = start(), PaperHypervisor()
    made = first.droplet(tags=["web"])
    again = start(hypervisor=hypervisor)
    again.settle()
    assert again.get(f"/v2/droplets/{made['id']}").ok()["droplet"] == made
    assert "create" not in dict(hypervisor.calls)
    assert again.droplet("web-2")["id"] == made["id"] + 1


def test_a_restarted_cloud_goes_on_with_droplets_that_were_being_made(start: Start) -> None:
    first = start()
    first.post("/lab/faults", {"kind": "never-active", "path": "droplets"}).ok()
    made = first.droplet()
    first.cloud.store.get("droplets", made["id"])["_stuck"] = False  # as if the process had ended in between
    with first.cloud.changing():
        pass
    again = start()
    again.settle()
    assert again.get(f"/v2/droplets/{made['id']}").ok()["droplet"]["status"] == "active"
    assert {action["status"] for action in again.get("/v2/actions").ok()["actions"]} == {"completed", "errored"}


def test_the_census_names_what_somebody_made(api: Api) -> None:
    api.droplet("web-2", tags=["web"])
    api.droplet("web-1")
    assert api.get("/lab/census").ok() == {
        "droplets": {"count": 2, "names": ["web-1", "web-2"]},
        "tags": {"count": 1, "names": ["web"]},
    }


def test_requests_are_kept_until_they_are_forgotten(api: Api) -> None:
    api.get("/v2/account")
    api.post("/v2/tags", {})
    seen = api.get("/lab/requests").ok()["requests"]
    assert [(one["method"], one["path"], one["status"]) for one in seen] == [
        ("GET", "/v2/account", 200),
        ("POST", "/v2/tags", 422),
    ]
    api.delete("/lab/requests").ok()
    assert api.get("/lab/requests").ok()["requests"] == []


def test_a_connection_serves_several_requests(api: Api) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.server.server_address[1], timeout=10)
    headers = {"Authorization": f"Bearer {api.token}"}
    for _ in range(2):
        connection.request("POST", "/v2/tags", json.dumps({"name": "a"}), headers)
        assert connection.getresponse().read()
    connection.request("DELETE", "/v2/tags/a", headers=headers)
    assert connection.getresponse().read() == b""
    connection.request("GET", "/v2/tags", headers=headers)
    assert json.loads(connection.getresponse().read())["tags"] == []
    connection.close()


class TestFaults:
    def test_a_status_is_answered_as_often_as_asked_and_nothing_is_done(self, api: Api) -> None:
        fault = {"method": "POST", "path": "^/v2/tags$", "kind": "status", "status": 503, "times": 2}
        api.post("/lab/faults", fault).ok()
        assert api.get("/v2/tags").status == 200
        assert [api.post("/v2/tags", {"name": "a"}).status for _ in range(3)] == [503, 503, 201]

    def test_a_429_says_when_to_come_again(self, api: Api) -> None:
        api.post("/lab/faults", {"kind": "status", "status": 429, "seconds": 3}).ok()
        answer = api.get("/v2/account")
        assert (answer.status, answer.headers["retry-after"]) == (429, "3")

    def test_a_reset_gives_no_answer_and_does_nothing(self, api: Api) -> None:
        api.post("/lab/faults", {"method": "POST", "kind": "reset"}).ok()
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            api.post("/v2/tags", {"name": "a"})
        assert api.get("/v2/tags/a").status == 404

    def test_a_lost_answer_is_of_something_that_was_done(self, api: Api) -> None:
        api.post("/lab/faults", {"method": "POST", "kind": "lost-answer"}).ok()
        with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
            api.post("/v2/tags", {"name": "a"})
        assert api.get("/v2/tags/a").status == 200
        assert api.get("/lab/requests").ok()["requests"][0]["status"] == 0

    def test_a_slow_request_is_answered_all_the_same(self, api: Api) -> None:
        api.post("/lab/faults", {"kind": "slow", "seconds": 0.01}).ok()
        assert api.get("/v2/account").status == 200

    def test_a_droplet_that_never_comes_stays_new_until_it_is_deleted(self, api: Api) -> None:
        api.post("/lab/faults", {"path": "^/v2/droplets$", "kind": "never-active"}).ok()
        made = api.post("/v2/droplets", droplet()).ok()
        api.settle()
        path = f"/v2/droplets/{made['droplet']['id']}"
        assert api.get(path).ok()["droplet"]["status"] == "new"
        action = f"/v2/actions/{made['links']['actions'][0]['id']}"
        assert api.get(action).ok()["action"]["status"] == "in-progress"
        api.delete(path).ok()
        assert api.get(action).ok()["action"]["status"] == "errored"
        assert api.paper.machines == {}

    def test_a_region_without_room_refuses_droplets_in_the_apis_words(self, api: Api) -> None:
        api.post("/lab/faults", {"path": "^/v2/droplets$", "kind": "capacity"}).ok()
        assert api.post("/v2/droplets", droplet()).error() == (
            422,
            "unprocessable_entity",
            "Size is not available in this region.",
        )
        assert api.post("/v2/droplets", droplet()).status == 202

    def test_those_that_wait_can_be_seen_and_cleared(self, api: Api) -> None:
        api.post("/lab/faults", {"kind": "slow", "seconds": 60, "times": None}).ok()
        (fault,) = api.get("/lab/faults").ok()["faults"]
        assert (fault["kind"], fault["times"]) == ("slow", None)
        api.delete("/lab/faults").ok()
        assert api.get("/v2/account").status == 200

    @pytest.mark.parametrize(
        "body", [{}, {"kind": "flood"}, {"kind": "slow", "seconds": "x"}, {"kind": "reset", "path": "("}]
    )
    def test_one_that_cannot_be_is_refused(self, api: Api, body: dict[str, object]) -> None:
        assert api.post("/lab/faults", body).status == 422
