"""docs/reference/lab-cloud.md against the program."""

import re

from lab.cloud import server
from lab.cloud.core import Account, Delays
from lab.cloud.faults import Fault, Kind
from lab.cloud.limits import Limits
from lab.cloud.resources import droplets, firewalls, load_balancers, volumes
from stacks.config import ROOT

PAGE = (ROOT / "docs/reference/lab-cloud.md").read_text()


def cells(first: str, text: str = PAGE) -> str:
    """What the row that begins with this says."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", text, re.MULTILINE)
    return str(found)


def test_every_kind_of_fault_has_a_row() -> None:
    section = PAGE.partition("| kind | what happens |")[2]
    assert re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE) == list(Kind)


def test_the_defaults_of_a_fault_are_the_programs() -> None:
    told = Fault.parse({"kind": "status"}).shown()
    fields = PAGE.partition("| kind | what happens |")[0]
    for field in ("status", "seconds", "times"):
        assert float(cells(f"`{field}`", fields).partition(" |")[0]) == told[field]


def test_the_limits_are_the_programs() -> None:
    account, limits = Account(), Limits()
    assert cells("requests of one token").startswith(f"{limits.hour:,} an hour and {limits.minute} a minute")
    assert cells("droplets, volumes, reserved IPs of the account") == (
        f"{account.droplet_limit}, {account.volume_limit}, {account.reserved_ip_limit}"
    )
    assert cells("load balancers").startswith(f"{load_balancers.LAST - load_balancers.FIRST + 1},")
    counts = (firewalls.MAX_RULES, firewalls.MAX_DROPLETS, firewalls.MAX_TAGS)
    assert cells("rules, droplets, tags of one firewall").startswith(", ".join(map(str, counts)))
    assert cells("volumes at one droplet") == str(volumes.PER_DROPLET)
    assert cells("user data") == f"{droplets.USER_DATA_MAX // 1024} KiB"
    assert f"The last {server.REQUESTS_KEPT:,}" in PAGE


def test_the_times_are_the_programs() -> None:
    delays = Delays()
    assert cells("a load balancer is `active`") == f"after {delays.balancer} s"
    assert cells("an action ends") == f"after {delays.action} s"
    assert cells("a list has what was made").startswith(f"after {delays.settle} s")
