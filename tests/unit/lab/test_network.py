"""The way out of a lab beside what else the machine does with its network."""

import subprocess
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import network, shell
from lab.spec import LabSpec

DEV = LabSpec("dev", Path("/labs/dev"), IPv4Network("10.77.0.0/24"), "ssh-ed25519 AAAA")


class Iptables:
    """As much of iptables as the lab uses: the FORWARD chain, its policy and its rules."""

    def __init__(self, policy: str) -> None:
        self.policy = policy
        self.rules: list[list[str]] = []

    def __call__(self, *argv: str, **_: object) -> subprocess.CompletedProcess[str]:
        assert argv[:2] == ("iptables", "-w")
        what, chain, *rule = argv[2:]
        assert chain == "FORWARD"
        output, code = "", 0
        if what == "-S":
            quoted = [" ".join(f'"{word}"' if ":" in word else word for word in r) for r in self.rules]
            output = "\n".join([f"-P FORWARD {self.policy}", *(f"-A FORWARD {line}" for line in quoted)])
        elif what == "-C":
            code = 0 if rule in self.rules else 1
        elif what == "-I":
            self.rules.insert(0, rule)
        elif what == "-D":
            self.rules.remove(rule)
        return subprocess.CompletedProcess(argv, code, output, "")


@pytest.fixture
def iptables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iptables:
    fake = Iptables(request.param)
    monkeypatch.setattr(shell, "attempt", fake)
    monkeypatch.setattr(shell, "run", lambda *argv, **more: fake(*argv, **more).stdout)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/sbin/{name}")
    return fake


@pytest.mark.parametrize("iptables", ["DROP"], indirect=True)
def test_beside_docker_the_labs_frames_pass_until_it_is_down(iptables: Iptables) -> None:
    iptables.rules = [["-j", "DOCKER-USER"]]
    network._let_forward(DEV)
    network._let_forward(DEV)
    assert [rule[:2] for rule in iptables.rules] == [["-o", "sb-dev"], ["-i", "sb-dev"], ["-j", "DOCKER-USER"]]
    network._let_forward_no_more("dev")
    assert iptables.rules == [["-j", "DOCKER-USER"]]


@pytest.mark.parametrize("iptables", ["DROP"], indirect=True)
def test_another_labs_rules_are_left(iptables: Iptables) -> None:
    network._let_forward(DEV)
    before = list(iptables.rules)
    network._let_forward_no_more("de")
    assert iptables.rules == before


@pytest.mark.parametrize("iptables", ["ACCEPT"], indirect=True)
def test_a_machine_that_forwards_anyway_gets_no_rule(iptables: Iptables) -> None:
    network._let_forward(DEV)
    assert iptables.rules == []


def test_what_is_for_pods_and_services_does_not_leave_the_lab_and_passes_inside_of_it() -> None:
    rule = next(line.strip() for line in network.masquerade(DEV).splitlines() if line.endswith(" drop"))
    assert rule.startswith(f'iifname "{DEV.bridge}" oifname != "{DEV.bridge}" ip daddr ')
    assert "10.42.0.0/16" in rule
    assert "10.43.0.0/16" in rule


def test_link_local_addresses_do_not_leave_the_lab_and_what_stays_on_the_bridge_keeps_its_address() -> None:
    lines = [line.strip() for line in network.masquerade(DEV).splitlines()]
    assert any("169.254.0.0/16" in line and line.endswith(" drop") for line in lines)
    assert next(line for line in lines if line.endswith(" masquerade")).startswith(f'oifname != "{DEV.bridge}"')


def test_an_announcement_asks_everybody_for_the_address_that_it_is_from() -> None:
    frame = network._gratuitous_arp(bytes.fromhex("020000000001"), bytes([10, 77, 0, 20]))
    assert frame.hex(" ") == (
        "ff ff ff ff ff ff 02 00 00 00 00 01 08 06 "
        "00 01 08 00 06 04 00 01 02 00 00 00 00 01 0a 4d 00 14 00 00 00 00 00 00 0a 4d 00 14"
    )
