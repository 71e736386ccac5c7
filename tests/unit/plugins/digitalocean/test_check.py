from typing import Any

import pytest

from lab.plugins.digitalocean.check import Naming, check
from lab.plugins.digitalocean.kinds import KINDS, kind_of
from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import UNKNOWN, secret

DROPLET = KINDS["digitalocean:index/droplet:Droplet"]
GOOD = {"image": "debian-12-x64", "size": "s-1vcpu-1gb"}


def checked(new: dict[str, Any], old: dict[str, Any] | None = None, naming: Naming | None = None) -> dict[str, Any]:
    inputs, failures = check(DROPLET, "vm", old or {}, new, naming or Naming())
    assert failures == []
    return inputs


def wrong(new: dict[str, Any], token: str = "droplet:Droplet") -> list[str]:
    kind = KINDS[f"digitalocean:index/{token}"]
    return [failure.property for failure in check(kind, "it", {}, new, Naming())[1]]


def test_an_automatic_name_comes_of_the_engines_seed_and_stays() -> None:
    first = checked(GOOD, naming=Naming(seed=b"seed"))
    assert first["name"] == checked(GOOD, naming=Naming(seed=b"seed"))["name"]
    assert first["name"] != checked(GOOD, naming=Naming(seed=b"other"))["name"]
    assert first["name"].startswith("vm-")
    assert len(first["name"]) == len("vm-") + 7
    assert "name" in first["__defaults"]
    again = checked(GOOD, first, Naming(seed=b"other"))
    assert again["name"] == first["name"]
    assert "name" in again["__defaults"]


def test_a_name_that_the_program_gave_once_is_not_kept_when_it_gives_none() -> None:
    before = checked({**GOOD, "name": "mine"})
    assert before["name"] == "mine"
    assert checked(GOOD, before)["name"] != "mine"


def test_the_engines_proposal_is_the_name_and_without_autonaming_one_is_wanted() -> None:
    assert checked(GOOD, naming=Naming(proposed="proposed"))["name"] == "proposed"
    _, failures = check(DROPLET, "vm", {}, GOOD, Naming(disabled=True))
    assert [failure.property for failure in failures] == ["name"]


def test_a_domain_is_never_named_by_the_engine() -> None:
    assert wrong({}, "domain:Domain") == ["name"]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"sshKeys": [123.0, "f"]}, {"sshKeys": ["123", "f"]}),
        ({"image": 42.0}, {"image": "42"}),
        ({"backups": "true"}, {"backups": True}),
        ({"backupPolicy": {"hour": "4"}, "backups": True}, {"backupPolicy": {"hour": 4.0, "__defaults": []}}),
    ],
)
def test_numbers_strings_and_booleans_are_taken_for_one_another_as_the_bridge_does(
    given: dict[str, Any], stored: dict[str, Any]
) -> None:
    inputs = checked({**GOOD, **given})
    assert {key: inputs[key] for key in stored} == stored


def test_everything_wrong_is_told_at_once_without_the_values() -> None:
    given = {"tags": [["hidden"]], "backups": "hidden", "nope": "hidden", "region": {"a": "hidden"}}
    _, failures = check(DROPLET, "vm", {}, given, Naming())
    assert {failure.property for failure in failures} == {"tags[0]", "backups", "nope", "region", "image", "size"}
    assert not [failure for failure in failures if "hidden" in failure.reason]
    assert all("Examine values at 'vm." in failure.reason for failure in failures)


def test_what_is_not_known_yet_or_secret_passes_and_stays_so() -> None:
    inputs = checked({**GOOD, "region": UNKNOWN, "userData": secret("text"), "tags": UNKNOWN})
    assert inputs["region"] == UNKNOWN
    assert inputs["userData"] == secret("text")
    assert wrong({**GOOD, "userData": secret({"a": 1})}) == ["userData"]


def test_rules_of_several_inputs_wait_until_these_are_known() -> None:
    balancer = {"region": "fra1", "healthcheck": {"protocol": UNKNOWN, "port": 1.0, "path": "/"}}
    assert wrong(balancer, "loadBalancer:LoadBalancer") == []
    tcp = {"region": "fra1", "healthcheck": {"protocol": "tcp", "port": 1.0, "path": "/"}}
    assert wrong(tcp, "loadBalancer:LoadBalancer") == ["healthcheck.path"]
    assert wrong({"inboundRules": UNKNOWN}, "firewall:Firewall") == []


def test_an_official_input_that_the_drop_in_does_not_do_is_refused() -> None:
    _, failures = check(KINDS["digitalocean:index/loadBalancer:LoadBalancer"], "lb", {}, {"glbSettings": {}}, Naming())
    assert "is not known to this drop-in" in failures[0].reason


def test_an_unknown_type_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PluginError, match=r"digitalocean:index/app:App.*knows only.*Droplet.*official plugin"):
        kind_of("digitalocean:index/app:App", "4.84.1")
