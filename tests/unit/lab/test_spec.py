"""What cannot be a lab or a host is refused where it is written down."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import LabError
from lab.spec import HostSpec, LabSpec


def lab(name: str = "dev", subnet: str = "10.77.0.0/24") -> LabSpec:
    return LabSpec(name, Path("/labs/dev"), IPv4Network(subnet), "ssh-ed25519 AAAA", "secret")


@pytest.mark.parametrize("name", ["", "Dev", "9lives", "dev-lab", "muchtoolong", "dev\n"])
def test_a_lab_name_that_no_link_can_have_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="lab name"):
        lab(name)


def test_a_subnet_of_another_size_is_refused() -> None:
    with pytest.raises(LabError, match="not a /24"):
        lab(subnet="10.77.0.0/16")


@pytest.mark.parametrize("folder", ["a:b", "a,b", 'a"b', "a\\b"])
def test_a_folder_that_no_overlay_can_lie_in_is_refused_with_the_remedy(folder: str) -> None:
    with pytest.raises(LabError, match="SEEDBED_LAB_ROOT"):
        LabSpec("dev", Path("/labs") / folder, IPv4Network("10.77.0.0/24"), "ssh-ed25519 AAAA")


@pytest.mark.parametrize("name", ["", "-a", "a-", "A-1", "a.b", "a/../b", "x" * 64])
def test_a_host_name_that_is_no_label_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="host name"):
        HostSpec(name, "10.77.0.11", "key")


@pytest.mark.parametrize("address", ["10.77.0.1", "10.77.0.2", "10.77.0.9", "10.77.0.255", "10.77.1.11"])
def test_an_address_that_is_not_a_hosts_is_refused(address: str) -> None:
    with pytest.raises(LabError, match=r"outside 10\.77\.0\.10-10\.77\.0\.254"):
        lab().check_host(HostSpec("a-1", address, "key"))


def test_a_malformed_address_is_refused_with_the_hosts_name() -> None:
    with pytest.raises(LabError, match=r"host a-1: address '10\.77\.0'"):
        HostSpec("a-1", "10.77.0", "key")


def test_private_keys_do_not_show_when_a_spec_is_printed() -> None:
    assert "secret" not in repr(lab())
    assert "hostkey" not in repr(HostSpec("a-1", "10.77.0.11", "hostkey"))
