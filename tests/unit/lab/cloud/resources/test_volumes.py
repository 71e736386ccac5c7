from typing import Any

import pytest

from ..conftest import Api, droplet


def make(api: Api, name: str = "data", **more: object) -> Any:
    made = api.post("/v2/volumes", {"name": name, "region": "fra1", "size_gigabytes": 10, **more}).ok()["volume"]
    api.settle()
    return made


def test_a_volume_is_made_as_asked_for(api: Api) -> None:
    made = make(api, filesystem_type="ext4", description="all", tags=["db"])
    disk = api.paper.volumes[made["id"]]
    assert (disk.name, disk.gib, disk.filesystem, disk.machine) == ("data", 10, "ext4", None)
    assert (made["droplet_ids"], made["tags"], made["region"]["slug"]) == ([], ["db"], "fra1")
    assert api.get(f"/v2/volumes/{made['id']}").ok()["volume"] == made


def test_a_list_is_of_all_or_of_a_name_and_a_region(api: Api) -> None:
    make(api, "a")
    make(api, "b")
    make(api, "a", region="nyc3")

    def found(query: str) -> list[tuple[str, str]]:
        volumes = api.get(f"/v2/volumes{query}").ok()["volumes"]
        return [(volume["name"], volume["region"]["slug"]) for volume in volumes]

    assert found("") == [("a", "fra1"), ("b", "fra1"), ("a", "nyc3")]
    assert found("?name=a") == [("a", "fra1"), ("a", "nyc3")]
    assert found("?name=a&region=nyc3") == [("a", "nyc3")]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Upper"},
        {"name": "1st"},
        {"region": "moon1"},
        {"size_gigabytes": 0},
        {"size_gigabytes": 16385},
        {"size_gigabytes": "ten"},
        {"filesystem_type": "ntfs"},
        {"snapshot_id": "1"},
    ],
)
def test_what_cannot_be_made_is_refused(api: Api, change: dict[str, object]) -> None:
    body = {"name": "data", "region": "fra1", "size_gigabytes": 10} | change
    assert api.post("/v2/volumes", body).error()[:2] == (422, "unprocessable_entity")


def test_a_name_is_there_once_in_a_region(api: Api) -> None:
    make(api)
    again = api.post("/v2/volumes", {"name": "data", "region": "fra1", "size_gigabytes": 1})
    assert again.error() == (409, "conflict", "already exists")


def test_a_volume_is_attached_and_detached_and_both_ends_show_it(api: Api) -> None:
    volume, machine = make(api), api.droplet()
    path = f"/v2/volumes/{volume['id']}"

    def ends() -> tuple[list[int], list[str], int | None]:
        shown = api.get(f"/v2/droplets/{machine['id']}").ok()["droplet"]
        return api.get(path).ok()["volume"]["droplet_ids"], shown["volume_ids"], api.paper.volumes[volume["id"]].machine

    action = api.act(path, "attach", droplet_id=machine["id"])
    assert (action["type"], action["status"], action["resource_id"]) == ("attach_volume", "completed", None)
    assert ends() == ([machine["id"]], [volume["id"]], machine["id"])
    assert api.get(f"{path}/actions/{action['id']}").ok()["action"] == action
    api.act(path, "detach", droplet_id=machine["id"])
    assert ends() == ([], [], None)
    assert [one["type"] for one in api.get(f"{path}/actions").ok()["actions"]] == ["detach_volume", "attach_volume"]


def test_an_attached_volume_cannot_be_deleted(api: Api) -> None:
    volume, machine = make(api), api.droplet()
    path = f"/v2/volumes/{volume['id']}"
    api.act(path, "attach", droplet_id=machine["id"])
    assert api.delete(path).error() == (409, "conflict", "attached volume cannot be deleted")
    api.act(path, "detach", droplet_id=machine["id"])
    assert api.delete(path).status == 204
    assert api.get(path).status == 404
    api.settle()
    assert api.paper.volumes == {}


def test_a_volume_of_another_region_or_droplet_is_not_attached(api: Api) -> None:
    far, volume, first = make(api, region="nyc3"), make(api), api.droplet("a")
    second = api.droplet("b")

    def refused(id: str, type: str, machine: int) -> str:
        return api.post(f"/v2/volumes/{id}/actions", {"type": type, "droplet_id": machine}).error()[2]

    assert refused(far["id"], "attach", first["id"]) == "the volume is in nyc3 and the Droplet in fra1"
    api.act(f"/v2/volumes/{volume['id']}", "attach", droplet_id=first["id"])
    assert refused(volume["id"], "attach", second["id"]) == "the volume is already attached to a Droplet"
    assert refused(volume["id"], "detach", second["id"]) == "Attachment not found"


def test_a_droplet_takes_one_volume_at_a_time(api: Api) -> None:
    first, second, machine = make(api, "a"), make(api, "b"), api.droplet()
    body = {"type": "attach", "droplet_id": machine["id"]}
    with api.cloud.machine(machine["id"]):
        api.post(f"/v2/volumes/{first['id']}/actions", body).ok()
        assert api.post(f"/v2/volumes/{second['id']}/actions", body).error()[2] == (
            "Droplet already has a pending event."
        )
    api.settle()


def test_a_volume_grows_and_never_shrinks(api: Api) -> None:
    volume = make(api)
    path = f"/v2/volumes/{volume['id']}"
    api.act(path, "resize", size_gigabytes=20, region="fra1")
    assert (api.get(path).ok()["volume"]["size_gigabytes"], api.paper.volumes[volume["id"]].gib) == (20, 20)
    assert api.post(f"{path}/actions", {"type": "resize", "size_gigabytes": 20}).status == 422
    assert api.post(f"{path}/actions", {"type": "resize", "size_gigabytes": 30, "region": "nyc3"}).status == 422


def test_a_new_droplet_has_its_volumes_from_the_start(api: Api) -> None:
    volume = make(api)
    machine = api.droplet(volumes=[volume["id"]])
    assert machine["volume_ids"] == [volume["id"]]
    assert api.paper.volumes[volume["id"]].machine == machine["id"]
    assert api.post("/v2/droplets", droplet("b", volumes=[volume["id"]])).error()[2] == "Invalid volume allocations"


def test_a_volume_outlives_its_droplet_and_can_go_to_another(api: Api) -> None:
    volume, first = make(api), api.droplet("a")
    path = f"/v2/volumes/{volume['id']}"
    api.act(path, "attach", droplet_id=first["id"])
    second = api.droplet("b")
    with api.cloud.machine(first["id"]):  # its end takes a while
        api.delete(f"/v2/droplets/{first['id']}").ok()
        assert api.get(path).ok()["volume"]["droplet_ids"] == []
        api.post(f"{path}/actions", {"type": "attach", "droplet_id": second["id"]}).ok()
    api.settle()
    assert api.paper.volumes[volume["id"]].machine == second["id"]
    calls = api.paper.calls
    assert calls.index(("destroy", first["id"])) < len(calls) - 1 - calls[::-1].index(("attach", volume["id"]))


def test_names_do_in_place_of_ids(api: Api) -> None:
    make(api)
    machine = api.droplet()
    body = {"type": "attach", "volume_name": "data", "droplet_id": machine["id"], "region": "fra1"}
    assert api.post("/v2/volumes/actions", body).status == 202
    api.settle()
    assert api.post("/v2/volumes/actions", body | {"type": "detach"}).status == 202
    api.settle()
    assert api.delete("/v2/volumes?name=data&region=fra1").status == 204
    assert api.delete("/v2/volumes?name=data&region=fra1").status == 404
