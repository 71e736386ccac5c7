"""What a new host is told, how its wires are named, and which frames a partition drops."""

import json
import os
from dataclasses import replace
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab import LabError, cloudinit, faults, hosts, network, ssh
from lab.lab import Lab
from lab.record import FIREWALL, Attached, Disk, Record
from lab.spec import HostSpec, Instance, LabSpec

KEY = Ed25519PrivateKey.generate()
PRIVATE = KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
PUBLIC = KEY.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
HOST = HostSpec("server-a-1", "10.77.0.11", PRIVATE)
GIVEN = "#cloud-config\n" + yaml.safe_dump({"ssh_keys": {"ed25519_private": PRIVATE, "ed25519_public": PUBLIC + " a"}})
INSTANCE = Instance("101", IPv4Interface("10.20.0.10/24"), GIVEN, ("ssh-ed25519 OF-THE-CLOUD",), "table inet x {}\n")
DROPLET = HostSpec("server-a-1", "10.77.0.20", "", instance=INSTANCE)


@pytest.fixture
def lab(tmp_path: Path) -> LabSpec:
    return LabSpec("dev", tmp_path, IPv4Network("10.77.0.0/24"), "ssh-ed25519 OPERATOR")


def test_cloud_init_is_given_the_host_key_and_the_operator(lab: LabSpec) -> None:
    header, _, text = cloudinit.user_data(lab, HOST).partition("\n")
    config = json.loads(text)
    assert header == "#cloud-config"
    assert config["ssh_keys"] == {"ed25519_private": PRIVATE, "ed25519_public": PUBLIC}
    assert config["users"] == [{"name": "root", "ssh_authorized_keys": ["ssh-ed25519 OPERATOR"]}]


def test_a_hosts_seed_is_readable_by_root_alone_and_its_name_server_is_the_labs(lab: LabSpec, tmp_path: Path) -> None:
    cloudinit.write(tmp_path / "upper", lab, HOST, "dev-1")
    seed = tmp_path / "upper" / cloudinit.SEED
    assert (seed / "user-data").stat().st_mode & 0o777 == 0o600
    assert json.loads((seed / "meta-data").read_text()) == {"instance-id": "dev-1", "local-hostname": "server-a-1"}
    assert (tmp_path / "upper/etc/resolv.conf").read_text() == "nameserver 10.77.0.2\n"
    wires = (tmp_path / "upper/etc/systemd/network/10-eth0.network").read_text()
    assert "Address=10.77.0.11/24\nGateway=10.77.0.1\n" in wires


def test_the_machine_of_a_cloud_is_told_its_user_data_word_for_word_and_the_labs_needs_beside_it(
    lab: LabSpec, tmp_path: Path
) -> None:
    cloudinit.write(tmp_path / "upper", lab, DROPLET, "dev-1")
    seed = tmp_path / "upper" / cloudinit.SEED
    assert (seed / "user-data").read_text() == GIVEN
    assert (seed / "user-data").stat().st_mode & 0o777 == 0o600
    meta = {"instance-id": "101", "local-hostname": "server-a-1", "public-keys": ["ssh-ed25519 OF-THE-CLOUD"]}
    assert json.loads((seed / "meta-data").read_text()) == meta
    vendor = yaml.safe_load((seed / "vendor-data").read_text())
    assert (vendor["disable_root"], vendor["users"]) == (False, [])
    assert "OPERATOR" not in "".join(path.read_text() for path in seed.iterdir())


def test_the_machine_of_a_cloud_has_a_private_address_and_the_way_to_the_metadata_service(lab: LabSpec) -> None:
    text = cloudinit.network_file(lab, DROPLET)
    assert "Address=10.77.0.20/24\nGateway=10.77.0.1\n" in text
    assert "\nAddress=10.20.0.10/24\n" in text
    assert "[Route]\nDestination=169.254.169.254/32\nScope=link\nPreferredSource=10.77.0.20\n" in text
    assert "169.254" not in cloudinit.network_file(lab, HOST)


@pytest.mark.parametrize(
    ("user_data", "key"),
    [
        (GIVEN, PUBLIC),
        ("", ""),
        ("#!/bin/sh\necho ssh_keys\n", ""),
        ("#cloud-config\n{}\n", ""),
        ("#cloud-config\nssh_keys: []\n", ""),
        ("#cloud-config\n- : [\n", ""),
    ],
    ids=["given", "none", "a script", "no keys", "keys that are a list", "no yaml"],
)
def test_a_host_key_is_pinned_where_the_user_data_gives_one(user_data: str, key: str) -> None:
    assert cloudinit.given_key(user_data) == key


def test_the_machine_of_a_cloud_has_its_firewall_before_its_first_boot(lab: LabSpec) -> None:
    hosts.create(lab, DROPLET, Path("/cache/base"))
    home = hosts.folder(lab, DROPLET.name)
    assert (home / FIREWALL).read_text() == INSTANCE.firewall
    assert (Record.read(home).host_key, Record.read(home).private) == (PUBLIC, "10.20.0.10/24")


def test_nothing_logs_in_to_a_host_that_made_its_own_key(lab: LabSpec) -> None:
    hosts.create(lab, replace(DROPLET, instance=replace(INSTANCE, user_data="")), Path("/cache/base"))
    lab.operator_key_file.write_text("key")
    ssh.write_known_hosts(lab)
    assert lab.known_hosts_file.read_text() == ""
    with pytest.raises(LabError, match="server-a-1 made its own host key"):
        Lab(lab).ssh_command("server-a-1")


def test_a_record_of_a_lab_that_knew_of_no_cloud_is_read(lab: LabSpec) -> None:
    hosts.create(lab, HOST, Path("/cache/base"))
    path = hosts.folder(lab, HOST.name) / "host.json"
    note = json.loads(path.read_text())
    del note["private"]
    path.write_text(json.dumps(note))
    assert Record.read(path.parent).private is None


def test_what_is_attached_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Attached.read(tmp_path) == Attached()
    attached = Attached(("10.77.0.200",), (Disk("data", "/lab/data.img"),))
    attached.write(tmp_path)
    assert Attached.read(tmp_path) == attached


def test_a_malformed_host_key_is_refused_without_being_shown(lab: LabSpec) -> None:
    with pytest.raises(LabError, match="server-a-1: its host key is not") as error:
        cloudinit.user_data(lab, replace(HOST, host_key_private="SECRET"))
    assert "SECRET" not in str(error.value)


def test_a_host_is_whole_only_when_all_of_its_files_are_there(
    lab: LabSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cloudinit, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            hosts.create(lab, HOST, tmp_path / "base")
    assert hosts.names(lab) == []
    hosts.create(lab, HOST, tmp_path / "base")
    assert hosts.names(lab) == ["server-a-1"]


def test_a_host_keeps_the_image_that_its_disk_lies_on_and_takes_new_limits(lab: LabSpec, tmp_path: Path) -> None:
    hosts.create(lab, HOST, Path("/cache/old"))
    hosts.create(lab, replace(HOST, cpus=2.0), Path("/cache/new"))
    record = Record.read(hosts.folder(lab, HOST.name))
    assert (record.base, record.cpus) == ("/cache/old", 2.0)


def test_a_hosts_folders_are_open_to_its_users_whatever_the_umask(lab: LabSpec) -> None:
    before = os.umask(0o077)
    try:
        hosts.create(lab, HOST, Path("/cache/base"))
    finally:
        os.umask(before)
    upper = hosts.folder(lab, HOST.name) / "upper"
    closed = [path for path in (upper, *upper.rglob("*")) if path.is_dir() and path.stat().st_mode & 0o777 != 0o755]
    assert closed == []
    assert (upper / "etc/resolv.conf").stat().st_mode & 0o777 == 0o644


def test_host_keys_are_pinned_under_name_and_address(lab: LabSpec) -> None:
    hosts.create(lab, HOST, Path("/cache/base"))
    ssh.write_known_hosts(lab)
    assert lab.known_hosts_file.read_text() == f"server-a-1,10.77.0.11 {PUBLIC}\n"


def test_ssh_takes_nothing_from_the_users_own_set_up(lab: LabSpec) -> None:
    hosts.create(lab, HOST, Path("/cache/base"))
    with pytest.raises(LabError, match="operator_key is missing"):
        Lab(lab).ssh_command("server-a-1")
    lab.operator_key_file.write_text("key")
    argv = Lab(lab).ssh_command("server-a-1", "uptime")
    assert argv[:5] == ["ssh", "-F", "none", "-i", str(lab.operator_key_file)]
    assert "StrictHostKeyChecking=yes" in argv
    assert argv[-2:] == ["root@10.77.0.11", "uptime"]


def test_link_names_fit_the_kernel_and_differ() -> None:
    names = {network.link_name(lab, host) for lab in ("dev", "t123456") for host in ("x" * 63, "y" * 63, "inet")}
    assert len(names) == 6
    assert all(len(name) <= 15 for name in names)


def test_a_partition_of_two_drops_both_directions_and_nothing_else() -> None:
    text = faults.rules("dev", [("a-1", "b-1")])
    a, b = network.link_name("dev", "a-1"), network.link_name("dev", "b-1")
    assert [line.strip() for line in text.splitlines() if "drop" in line] == [
        f"iifname {a} oifname {b} drop",
        f"iifname {b} oifname {a} drop",
    ]


def test_healing_the_last_partition_leaves_no_table() -> None:
    assert faults.rules("dev", []) == "table bridge seedbed_dev {}\ndelete table bridge seedbed_dev\n"


def test_only_what_leaves_the_labs_subnet_is_given_the_machines_address(lab: LabSpec) -> None:
    assert "ip saddr 10.77.0.0/24 ip daddr != 10.77.0.0/24 masquerade" in network.masquerade(lab)
