"""What is read out of an exported state: machines with what they were paved as, and what the cloud has made."""

import json
from typing import Any

import pytest

from seedbed import UserError
from seedbed.drift.state import decrypter, read
from seedbed.passphrase import Crypter

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
LOGIN = {"address": "203.0.113.7", "port": 22, "user": "root", "hostKey": "ssh-ed25519 AAAA"}


@pytest.fixture(scope="module")
def crypter() -> Crypter:
    return Crypter.new("a passphrase")


def resource(type_: str, name: str, **values: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:dev::seedbed::{type_}::{name}", "type": type_, **values}


def member(machine: str, **values: Any) -> dict[str, Any]:
    output = {"machine": machine, "login": LOGIN, "mounts": [], "paved": {"role": "agent", "labels": {"disk": "fast"}}}
    return resource("pulumi:index:Stash", f"{machine}-member", outputs={"output": output}, **values)


def step(crypter: Crypter, machine: str, name: str, **told: str) -> dict[str, Any]:
    printed = json.dumps({"machine": machine, "step": name, "result": "paved", **told})
    stdout = {SIGNATURE: SECRET, "ciphertext": crypter.encrypt(json.dumps(printed))}
    return resource("command:remote:Command", f"{machine}-{name}", outputs={"stdout": stdout})


def exported(crypter: Crypter, *resources: dict[str, Any]) -> dict[str, Any]:
    provider = {"type": "passphrase", "state": {"salt": crypter.salt}}
    return {"version": 3, "deployment": {"secrets_providers": provider, "resources": list(resources)}}


def test_a_machine_is_what_its_member_and_its_steps_have_left(crypter: Crypter) -> None:
    stack = resource(
        "pulumi:pulumi:Stack", "seedbed-dev", outputs={"nodes": {"agent-a-1": {"address": "10.0.0.9", "role": "agent"}}}
    )
    given = exported(
        crypter,
        stack,
        member("agent-a-1"),
        step(crypter, "agent-a-1", "wait"),
        step(crypter, "agent-a-1", "base", installed="aa"),
        step(crypter, "agent-a-1", "k3s", installed="bb"),
    )
    found = read(given, decrypter(given, {"PULUMI_CONFIG_PASSPHRASE": "a passphrase"}))
    paved = found.machines["agent-a-1"]
    assert (paved.login.machine, paved.login.address, paved.login.host_key) == (
        "agent-a-1",
        "203.0.113.7",
        LOGIN["hostKey"],
    )
    assert paved.record["labels"] == {"disk": "fast"}
    assert paved.lists == {"wait": None, "base": "aa", "k3s": "bb"}
    assert (paved.joined, paved.address) == (True, "10.0.0.9")


def test_a_machine_whose_last_step_is_not_in_the_state_has_not_joined(crypter: Crypter) -> None:
    given = exported(crypter, member("agent-a-1"), step(crypter, "agent-a-1", "base", installed="aa"))
    assert not read(given, crypter.decrypt).machines["agent-a-1"].joined


def test_steps_of_other_kinds_and_of_older_times_are_no_lists(crypter: Crypter) -> None:
    older = resource(
        "command:remote:Command", "agent-a-1-k3s", outputs={"stdout": '{"machine":"agent-a-1","step":"k3s"}'}
    )
    other = resource("command:remote:Command", "seed-1", outputs={"stdout": "planted"})
    given = exported(crypter, member("agent-a-1"), older, other)
    assert read(given, crypter.decrypt).machines["agent-a-1"].lists == {"k3s": None}


def test_what_is_only_waiting_to_be_deleted_is_not_compared(crypter: Crypter) -> None:
    droplet = resource("digitalocean:index/droplet:Droplet", "agent-a-1", id="7", outputs={"size": "x"})
    given = exported(crypter, member("agent-a-1", delete=True), droplet, droplet | {"delete": True})
    found = read(given, crypter.decrypt)
    assert found.machines == {}
    assert [(made.name, made.id) for made in found.made] == [("agent-a-1", "7")]


def test_no_other_secret_is_opened_than_what_the_steps_have_told(crypter: Crypter) -> None:
    opened: list[str] = []

    def decrypt(text: str) -> str:
        opened.append(crypter.decrypt(text))
        return opened[-1]

    key = {SIGNATURE: SECRET, "ciphertext": crypter.encrypt('"a private key"')}
    first = step(crypter, "agent-a-1", "k3s", installed="bb")
    first["inputs"] = {"connection": key}
    first["outputs"]["stderr"] = key
    read(exported(crypter, member("agent-a-1"), first), decrypt)
    assert len(opened) == 1
    assert "a private key" not in opened[0]


def test_a_state_that_another_provider_has_encrypted_is_refused(crypter: Crypter) -> None:
    given = exported(crypter)
    given["deployment"]["secrets_providers"]["type"] = "cloud"
    with pytest.raises(UserError, match="seedbed keeps them with a passphrase"):
        decrypter(given, {})
