import base64
import secrets

import pytest

from ..conftest import Api


def public_key(comment: str = "somebody") -> str:
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4) + kind + (32).to_bytes(4) + secrets.token_bytes(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}"


class TestKeys:
    def test_a_key_is_found_by_its_number_and_by_its_fingerprint(self, api: Api) -> None:
        made = api.post("/v2/account/keys", {"name": "a", "public_key": public_key()}).ok()["ssh_key"]
        assert len(made["fingerprint"]) == 47
        for id in (made["id"], made["fingerprint"]):
            assert api.get(f"/v2/account/keys/{id}").ok()["ssh_key"] == made
        assert api.get("/v2/account/keys").ok()["ssh_keys"] == [made]

    def test_its_fingerprint_is_what_ssh_keygen_says(self, api: Api) -> None:
        text = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
        made = api.post("/v2/account/keys", {"name": "a", "public_key": text}).ok()["ssh_key"]
        assert made["fingerprint"] == "3d:52:38:ce:ff:94:f5:d7:81:a4:a4:f9:2b:4f:fe:a0"

    def test_the_same_key_is_refused_though_its_comment_differs(self, api: Api) -> None:
        key = public_key()
        api.post("/v2/account/keys", {"name": "a", "public_key": key}).ok()
        again = {"name": "b", "public_key": key.removesuffix("somebody")}
        assert api.post("/v2/account/keys", again).error() == (
            422,
            "unprocessable_entity",
            "SSH Key is already in use on your account",
        )

    @pytest.mark.parametrize(
        "text", ["", "ssh-ed25519", "ssh-ed25519 notbase64!", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA=="]
    )
    def test_what_is_no_key_is_refused(self, api: Api, text: str) -> None:
        assert api.post("/v2/account/keys", {"name": "a", "public_key": text}).status == 422

    def test_it_can_be_renamed_and_deleted_by_either(self, api: Api) -> None:
        made = api.post("/v2/account/keys", {"name": "a", "public_key": public_key()}).ok()["ssh_key"]
        renamed = api.put(f"/v2/account/keys/{made['id']}", {"name": "b"}).ok()["ssh_key"]
        assert renamed == made | {"name": "b"}
        assert api.delete(f"/v2/account/keys/{made['fingerprint']}").status == 204
        assert api.get(f"/v2/account/keys/{made['id']}").status == 404


class TestTags:
    def test_a_tag_counts_what_carries_it(self, api: Api) -> None:
        machine = api.droplet(tags=["web"])
        tag = api.get("/v2/tags/web").ok()["tag"]
        assert (tag["name"], tag["resources"]["count"], tag["resources"]["droplets"]["count"]) == ("web", 1, 1)
        assert tag["resources"]["last_tagged_uri"].endswith(f"/v2/droplets/{machine['id']}")

    def test_capitals_do_not_make_another_tag(self, api: Api) -> None:
        api.post("/v2/tags", {"name": "Web"}).ok()
        assert api.droplet(tags=["web"])["tags"] == ["Web"]
        assert [tag["name"] for tag in api.get("/v2/tags").ok()["tags"]] == ["Web"]

    @pytest.mark.parametrize("name", ["", "a b", "ä", "x" * 256])
    def test_a_name_of_other_characters_is_refused(self, api: Api, name: str) -> None:
        assert api.post("/v2/tags", {"name": name}).status == 422

    def test_things_can_be_tagged_and_untagged_later(self, api: Api) -> None:
        machine = api.droplet()
        api.post("/v2/tags", {"name": "k8s:node"}).ok()
        body = {"resources": [{"resource_id": str(machine["id"]), "resource_type": "droplet"}]}
        for _ in range(2):
            assert api.post("/v2/tags/k8s%3Anode/resources", body).status == 204
        assert api.get(f"/v2/droplets/{machine['id']}").ok()["droplet"]["tags"] == ["k8s:node"]
        for _ in range(2):
            assert api.delete("/v2/tags/k8s:node/resources", body).status == 204
        assert api.get(f"/v2/droplets/{machine['id']}").ok()["droplet"]["tags"] == []
        assert api.post("/v2/tags/other/resources", body).status == 404

    def test_a_deleted_tag_is_off_everything(self, api: Api) -> None:
        machine = api.droplet(tags=["web", "db"])
        assert api.delete("/v2/tags/web").status == 204
        assert api.get("/v2/tags/web").status == 404
        assert api.get(f"/v2/droplets/{machine['id']}").ok()["droplet"]["tags"] == ["db"]


class TestCatalogue:
    def test_regions_sizes_and_images_name_each_other(self, api: Api) -> None:
        regions = {region["slug"]: region for region in api.get("/v2/regions?per_page=200").ok()["regions"]}
        sizes = {size["slug"]: size for size in api.get("/v2/sizes?per_page=200").ok()["sizes"]}
        assert "s-2vcpu-4gb" in regions["fra1"]["sizes"]
        assert "fra1" in sizes["s-2vcpu-4gb"]["regions"]
        assert all(slug in regions for size in sizes.values() for slug in size["regions"])

    def test_an_image_is_found_by_its_slug_and_by_its_number(self, api: Api) -> None:
        images = api.get("/v2/images?type=distribution").ok()["images"]
        assert "debian-12-x64" in [image["slug"] for image in images]
        for image in images:
            assert api.get(f"/v2/images/{image['id']}").ok() == api.get(f"/v2/images/{image['slug']}").ok()
        assert api.get("/v2/images/beos").status == 404
        assert api.get("/v2/images?private=true").ok()["images"] == []

    def test_the_account_tells_its_limits(self, api: Api) -> None:
        account = api.get("/v2/account").ok()["account"]
        assert (account["status"], account["droplet_limit"]) == ("active", 25)
