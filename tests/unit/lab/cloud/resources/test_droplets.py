from typing import Any

import pytest

from lab.cloud.core import Account
from lab.cloud.paper import PaperHypervisor

from ..conftest import Api, Start, droplet

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43


def test_a_new_droplet_has_no_addresses_and_gets_them_when_it_boots(api: Api) -> None:
    answer = api.post("/v2/droplets", droplet(user_data="#cloud-config\n"))
    made = answer.ok()["droplet"]
    assert answer.status == 202
    assert (made["status"], made["locked"], made["networks"]) == ("new", True, {"v4": [], "v6": []})
    assert made["size"]["slug"] == made["size_slug"] == "s-2vcpu-4gb"
    assert (made["memory"], made["vcpus"], made["disk"]) == (4096, 2, 80)
    assert (made["region"]["slug"], made["image"]["slug"]) == ("fra1", "debian-12-x64")
    assert not [name for name in made if name.startswith("_")]
    api.settle()
    up = api.get(f"/v2/droplets/{made['id']}").ok()["droplet"]
    assert (up["status"], up["locked"]) == ("active", False)
    assert {(network["type"], network["ip_address"]) for network in up["networks"]["v4"]} == {
        ("public", "10.95.7.20"),
        ("private", "10.104.0.10"),
    }
    machine = api.paper.machines[made["id"]]
    assert (machine.name, machine.public, str(machine.private)) == ("web-1", "10.95.7.20", "10.104.0.10/20")
    assert machine.user_data == "#cloud-config\n"


def test_its_creation_is_an_action_that_completes(api: Api) -> None:
    made = api.post("/v2/droplets", droplet()).ok()
    (link,) = made["links"]["actions"]
    assert link["rel"] == "create"
    assert link["href"].endswith(f"/v2/actions/{link['id']}")
    api.settle()
    action = api.get(f"/v2/actions/{link['id']}").ok()["action"]
    assert (action["status"], action["type"], action["resource_type"]) == ("completed", "create", "droplet")
    assert action["resource_id"] == made["droplet"]["id"]
    assert action["completed_at"] >= action["started_at"]


def test_several_are_made_at_once_with_addresses_of_their_own(api: Api) -> None:
    body = droplet() | {"names": ["a", "b", "c"]}
    made = api.post("/v2/droplets", body).ok()
    api.settle()
    assert [one["name"] for one in made["droplets"]] == ["a", "b", "c"]
    assert len(made["links"]["actions"]) == 3
    assert {machine.public for machine in api.paper.machines.values()} == {f"10.95.7.{n}" for n in (20, 21, 22)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "under_score"}, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"),
        ({"name": ""}, "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)"),
        ({"region": "moon1"}, "You specified an invalid region for Droplet creation."),
        ({"size": "huge"}, "You specified an invalid size for Droplet creation."),
        ({"region": "ams3", "size": "c-2"}, "Size is not available in this region."),
        ({"image": "beos"}, "You specified an invalid image for Droplet creation."),
        ({"ssh_keys": [7, "aa:bb"]}, "7, aa:bb are invalid key identifiers for Droplet creation."),
        ({"user_data": "x" * 65537}, "user_data must be a text of at most 65536 bytes"),
        ({"volumes": ["nowhere"]}, "Invalid volume allocations"),
        ({"vpc_uuid": "nowhere"}, "vpc_uuid is invalid: there is no such VPC"),
        ({"tags": ["no spaces"]}, None),
        ({"names": []}, None),
        ({"backups": True, "backup_policy": {"plan": "hourly"}}, "backup_policy.plan must be weekly or daily"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    api: Api, change: dict[str, object], message: str | None
) -> None:
    status, id, said = api.post("/v2/droplets", droplet() | change).error()
    assert (status, id) == (422, "unprocessable_entity")
    assert message in (None, said)
    assert api.get("/lab/census").ok() == {}


def test_a_network_of_another_region_is_refused(api: Api) -> None:
    vpc = api.post("/v2/vpcs", {"name": "far", "region": "nyc3"}).ok()["vpc"]
    assert "nyc3" in api.post("/v2/droplets", droplet(vpc_uuid=vpc["id"])).error()[2]


def test_an_account_has_no_more_droplets_than_its_limit(start: Start) -> None:
    api = start(account=Account(droplet_limit=2))
    api.post("/v2/droplets", droplet("a")).ok()
    answer = api.post("/v2/droplets", droplet() | {"names": ["b", "c"]})
    assert answer.error()[2] == "creating this/these droplet(s) will exceed your droplet limit"
    assert api.post("/v2/droplets", droplet("b")).status == 202


def test_keys_reach_the_machine_by_number_and_by_fingerprint(api: Api) -> None:
    key = api.post("/v2/account/keys", {"name": "k", "public_key": KEY}).ok()["ssh_key"]
    made = api.droplet(ssh_keys=[key["id"], key["fingerprint"]])
    assert api.paper.machines[made["id"]].ssh_keys == (KEY, KEY)


def test_features_follow_what_was_asked_for(api: Api) -> None:
    made = api.droplet(ipv6=True, monitoring=True, backups=True, with_droplet_agent=False)
    assert sorted(made["features"]) == ["backups", "ipv6", "monitoring", "private_networking"]
    (v6,) = made["networks"]["v6"]
    assert (v6["type"], v6["netmask"]) == ("public", 64)
    policy = api.get(f"/v2/droplets/{made['id']}/backups/policy").ok()["policy"]
    assert (policy["backup_enabled"], policy["backup_policy"]["plan"]) == (True, "weekly")


def test_a_list_is_of_all_or_of_a_tag_or_of_a_name(api: Api) -> None:
    api.droplet("a", tags=["Web"])
    api.droplet("b", tags=["db"])

    def names(query: str) -> list[str]:
        return [one["name"] for one in api.get(f"/v2/droplets{query}").ok()["droplets"]]

    assert (names(""), names("?tag_name=web"), names("?name=b"), names("?tag_name=x")) == (["a", "b"], ["a"], ["b"], [])


def test_a_deleted_droplet_is_gone_at_once_and_its_machine_after_a_while(api: Api) -> None:
    made = api.droplet()
    assert api.delete(f"/v2/droplets/{made['id']}").status == 204
    assert api.get(f"/v2/droplets/{made['id']}").status == 404
    assert api.delete(f"/v2/droplets/{made['id']}").status == 404
    api.settle()
    assert api.paper.machines == {}
    assert api.cloud.store.all("dying_droplets") == []


def test_deleting_by_tag_ends_all_that_carry_it(api: Api) -> None:
    for name in ("a", "b", "c"):
        api.droplet(name, tags=["web"] if name != "c" else [])
    api.delete("/v2/droplets?tag_name=web").ok()
    assert [one["name"] for one in api.get("/v2/droplets").ok()["droplets"]] == ["c"]
    assert api.delete("/v2/droplets?tag_name=web").status == 404


def test_a_droplet_without_room_ends_with_its_action_in_error(start: Start) -> None:
    api = start(hypervisor=PaperHypervisor(capacity=0))
    made = api.post("/v2/droplets", droplet()).ok()
    api.settle()
    action = api.get(f"/v2/actions/{made['links']['actions'][0]['id']}").ok()["action"]
    assert action["status"] == "errored"
    assert api.get(f"/v2/droplets/{made['droplet']['id']}").status == 404


def test_an_address_is_used_again_only_when_its_machine_has_ended(api: Api) -> None:
    made = api.droplet("a")
    with api.cloud.machine(made["id"]):  # the hypervisor is busy with it
        api.delete(f"/v2/droplets/{made['id']}").ok()
        other = api.post("/v2/droplets", droplet("b")).ok()["droplet"]
    api.settle()
    assert api.paper.machines[other["id"]].public == "10.95.7.21"
    assert api.droplet("c")["networks"]["v4"][0]["ip_address"] == "10.95.7.20"


def test_a_namesake_boots_only_when_the_machine_before_it_has_ended(api: Api) -> None:
    made = api.droplet("a")
    api.delete(f"/v2/droplets/{made['id']}").ok()
    again = api.droplet("a")
    assert api.paper.calls.index(("destroy", made["id"])) < api.paper.calls.index(("create", again["id"]))


class TestActions:
    def test_power_is_switched_and_the_status_follows(self, api: Api) -> None:
        made = api.droplet()
        path = f"/v2/droplets/{made['id']}"

        def status() -> tuple[str, bool]:
            return api.get(path).ok()["droplet"]["status"], api.paper.is_on(made["id"])

        assert api.act(path, "power_off")["status"] == "completed"
        assert status() == ("off", False)
        api.act(path, "power_on")
        assert status() == ("active", True)
        api.act(path, "shutdown")
        assert status() == ("off", False)
        api.act(path, "power_cycle")
        assert status() == ("active", True)
        api.act(path, "reboot")
        assert ("reboot", made["id"]) in api.paper.calls

    def test_an_action_is_found_by_its_droplet_and_on_its_own(self, api: Api) -> None:
        made = api.droplet()
        path = f"/v2/droplets/{made['id']}"
        action = api.act(path, "reboot")
        assert api.get(f"{path}/actions/{action['id']}").ok()["action"] == action
        assert [one["type"] for one in api.get(f"{path}/actions").ok()["actions"]] == ["reboot", "create"]
        assert api.get(f"/v2/droplets/1/actions/{action['id']}").status == 404

    def test_a_size_is_changed_only_when_off_and_the_disk_only_when_asked(self, api: Api) -> None:
        made = api.droplet(size="s-1vcpu-2gb")
        path = f"/v2/droplets/{made['id']}"
        body = {"type": "resize", "size": "s-4vcpu-8gb"}
        assert api.post(f"{path}/actions", body).status == 422
        api.act(path, "power_off")
        api.act(path, "resize", size="s-4vcpu-8gb")
        resized = api.get(path).ok()["droplet"]
        assert (resized["size_slug"], resized["memory"], resized["disk"]) == ("s-4vcpu-8gb", 8192, 50)
        api.act(path, "resize", size="s-2vcpu-4gb", disk=True)
        assert api.get(path).ok()["droplet"]["disk"] == 80
        answer = api.post(f"{path}/actions", {"type": "resize", "size": "s-1vcpu-1gb"})
        assert answer.error()[2] == "Size can not decrease size of Droplet's disk image"

    def test_a_name_and_features_can_be_changed(self, api: Api) -> None:
        path = f"/v2/droplets/{api.droplet()['id']}"
        api.act(path, "rename", name="other")
        api.act(path, "enable_ipv6")
        api.act(path, "enable_backups", backup_policy={"plan": "daily", "hour": 4})
        changed = api.get(path).ok()["droplet"]
        assert changed["name"] == "other"
        assert {"ipv6", "backups"} <= set(changed["features"])
        assert len(changed["networks"]["v6"]) == 1
        assert api.get(f"{path}/backups/policy").ok()["policy"]["backup_policy"]["hour"] == 4
        api.act(path, "disable_backups")
        assert api.get(f"{path}/backups/policy").ok()["policy"]["backup_enabled"] is False
        assert api.post(f"{path}/actions", {"type": "change_backup_policy"}).status == 422

    def test_a_droplet_does_one_thing_at_a_time(self, api: Api) -> None:
        made = api.droplet()
        path = f"/v2/droplets/{made['id']}"
        with api.cloud.machine(made["id"]):
            api.post(f"{path}/actions", {"type": "power_off"}).ok()
            answer = api.post(f"{path}/actions", {"type": "power_on"})
        assert answer.error()[2] == "Droplet already has a pending event."
        api.settle()
        assert api.post(f"{path}/actions", {"type": "power_on"}).status == 201

    def test_what_is_unknown_is_refused(self, api: Api) -> None:
        path = f"/v2/droplets/{api.droplet()['id']}/actions"
        assert api.post(path, {"type": "explode"}).status == 422
        assert api.post("/v2/droplets/1/actions", {"type": "reboot"}).status == 404

    def test_all_of_a_tag_act_together(self, api: Api) -> None:
        made = [api.droplet(name, tags=["web"]) for name in ("a", "b")]
        actions: Any = api.post("/v2/droplets/actions?tag_name=web", {"type": "power_off"}).ok()["actions"]
        api.settle()
        assert {action["resource_id"] for action in actions} == {one["id"] for one in made}
        assert api.paper.on == set()

    def test_a_failure_of_the_hypervisor_is_the_actions(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(machine: int) -> None:
            raise RuntimeError("smoke")

        path = f"/v2/droplets/{api.droplet()['id']}"
        monkeypatch.setattr(api.paper, "reboot", fail)
        assert api.act(path, "reboot")["status"] == "errored"
        assert api.get(path).ok()["droplet"]["locked"] is False
