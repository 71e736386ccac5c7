"""What a droplet is told about itself, and by which paths."""

import json
from http import HTTPStatus

import pytest

from lab.cloud.metadata import Server, Subject, answer

SUBJECT = Subject(
    id=101,
    name="server-a-1",
    public="10.77.0.20",
    subnet="10.77.0.0/24",
    private="10.20.0.10/20",
    mac="02:00:00:00:00:01",
    nameserver="10.77.0.2",
    user_data="#cloud-config\n{}\n",
    ssh_keys=("ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"),
    reserved=None,
    region="fra1",
)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("id", "101"),
        ("hostname", "server-a-1"),
        ("region", "fra1"),
        ("user-data", "#cloud-config\n{}\n"),
        ("public-keys", "ssh-ed25519 AAAA a\nssh-ed25519 BBBB b"),
        ("interfaces/", "public/\nprivate/"),
        ("interfaces/public/0/ipv4/address", "10.77.0.20"),
        ("interfaces/public/0/ipv4/gateway", "10.77.0.1"),
        ("interfaces/private/0/ipv4/address", "10.20.0.10"),
        ("interfaces/private/0/ipv4/netmask", "255.255.240.0"),
        ("interfaces/private/0/mac", "02:00:00:00:00:01"),
        ("reserved_ip/ipv4/active", "false"),
    ],
)
def test_each_fact_has_a_path(path: str, text: str) -> None:
    told = answer(SUBJECT, f"/metadata/v1/{path}")
    assert (told.status, told.body) == (HTTPStatus.OK, text)


def test_the_index_names_what_there_is_with_a_slash_behind_folders() -> None:
    told = answer(SUBJECT, "/metadata/v1/").body.split("\n")
    assert told[:2] == ["id", "hostname"]
    assert "interfaces/" in told


@pytest.mark.parametrize("path", ["/metadata/v1", "/metadata/v1/interfaces", "/metadata/v1/interfaces/public/0"])
def test_an_index_without_its_slash_moves_there(path: str) -> None:
    told = answer(SUBJECT, path)
    assert (told.status, told.location) == (HTTPStatus.MOVED_PERMANENTLY, f"{path}/")


@pytest.mark.parametrize("path", ["/", "/metadata/v2/id", "/metadata/v1/nothing", "/metadata/v1/id/more"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    assert answer(SUBJECT, path).status is HTTPStatus.NOT_FOUND


def test_the_whole_is_one_document() -> None:
    told = json.loads(answer(SUBJECT, "/metadata/v1.json").body)
    assert (told["droplet_id"], told["hostname"], told["user_data"]) == (101, "server-a-1", SUBJECT.user_data)
    assert told["interfaces"]["private"][0]["ipv4"]["ip_address"] == "10.20.0.10"
    assert told["reserved_ip"] == {"ipv4": {"active": False}}


def test_a_machine_is_known_by_both_of_its_addresses_and_nobody_else_is() -> None:
    server = Server("127.0.0.1", 0)
    try:
        server.know([SUBJECT])
        assert server.subject("10.77.0.20") is SUBJECT
        assert server.subject("10.20.0.10") is SUBJECT
        assert answer(server.subject("10.77.0.1"), "/metadata/v1/id").status is HTTPStatus.NOT_FOUND
        server.know([])
        assert server.subject("10.77.0.20") is None
    finally:
        server.server_close()


def test_user_data_does_not_show_when_a_subject_is_printed() -> None:
    assert "cloud-config" not in repr(SUBJECT)
    assert Subject.from_json(json.loads(json.dumps(SUBJECT.to_json()))) == SUBJECT
