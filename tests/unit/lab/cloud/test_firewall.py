"""What a firewall's rules are as nftables'. That they hold, tests/lab/test_cloud_hosts.py proves."""

from ipaddress import IPv4Network

import pytest

from lab.cloud.firewall import render
from lab.cloud.hypervisor import Rule

OFFICE, VPC = IPv4Network("203.0.113.0/24"), IPv4Network("10.20.0.0/24")


def body(text: str) -> list[str]:
    """The rules of the chain, one a line."""
    return [
        line.strip() for line in text.splitlines() if line.strip().endswith(("accept", "drop")) and "hook" not in line
    ]


def test_what_no_rule_lets_in_is_dropped_but_for_answers_and_what_does_not_come_by_the_wire() -> None:
    assert body(render([])) == ['iifname != "eth0" accept', "ct state established,related accept", "drop"]


def test_a_machine_without_a_firewall_tracks_its_connections_for_the_day_it_has_one() -> None:
    assert body(render(None)) == ['iifname != "eth0" accept', "ct state established,related accept"]


def test_new_rules_take_the_place_of_the_old_ones_in_one_transaction() -> None:
    first, second, *_ = render([]).splitlines()
    assert (first, second) == ("table inet seedbed_cloud {}", "delete table inet seedbed_cloud")


def test_packets_are_judged_after_connection_tracking_and_before_ports_are_published() -> None:
    assert "type filter hook prerouting priority -150;" in render([])


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (Rule("tcp", (22, 22), (OFFICE,)), "ip saddr { 203.0.113.0/24 } meta l4proto tcp tcp dport 22 accept"),
        (Rule("udp", (8000, 9000), (VPC,)), "ip saddr { 10.20.0.0/24 } meta l4proto udp udp dport 8000-9000 accept"),
        (Rule("tcp", None, (VPC,)), "ip saddr { 10.20.0.0/24 } meta l4proto tcp accept"),
        (Rule("icmp", None, (OFFICE, VPC)), "ip saddr { 10.20.0.0/24, 203.0.113.0/24 } meta l4proto icmp accept"),
    ],
)
def test_a_rule_names_sources_protocol_and_ports(rule: Rule, line: str) -> None:
    assert body(render([rule]))[2] == line


@pytest.mark.parametrize(("ports", "wrapped"), [((8472, 8472), True), ((1, 65535), True), ((53, 53), False)])
def test_who_may_send_vxlan_may_send_what_the_stand_in_for_k3s_does_not_wrap(
    ports: tuple[int, int], wrapped: bool
) -> None:
    line = "ip daddr 10.42.0.0/16 ip saddr { 10.20.0.0/24, 10.42.0.0/16 } accept"
    assert (line in body(render([Rule("udp", ports, (VPC,))]))) is wrapped
    assert line not in body(render([Rule("tcp", ports, (VPC,))]))


@pytest.mark.parametrize(("ports", "led"), [((6443, 6443), True), ((1, 65535), True), ((443, 443), False)])
def test_who_may_use_the_api_may_use_the_port_that_the_stand_ins_service_leads_to(
    ports: tuple[int, int], led: bool
) -> None:
    line = "ip saddr { 10.20.0.0/24 } meta l4proto tcp tcp dport 6444 accept"
    assert (line in body(render([Rule("tcp", ports, (VPC,))]))) is led


def test_sources_that_lie_in_one_another_are_named_once() -> None:
    inside = IPv4Network("10.20.0.7/32")
    assert "{ 10.20.0.0/24 }" in render([Rule("tcp", None, (inside, VPC, VPC))])


def test_a_rule_without_a_source_lets_nobody_in() -> None:
    assert render([Rule("tcp", (22, 22), ())]) == render([])


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(ValueError, match="'sctp' of a firewall rule; there are tcp, udp, icmp"):
        render([Rule("sctp", None, (VPC,))])
