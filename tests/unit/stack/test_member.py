"""What remembers a machine: that it is there before the machine joins, keeps what it was, and cannot go but by the gate."""

import pytest

from components.pave.node import MEMBER
from components.retire.gate import HOOK

MACHINES = ["agent-a-1", "agent-b-1", "server-a-1", "server-b-1", "server-c-1"]


@pytest.fixture
def program(run):
    return run("existing")


def names(urns):
    return {urn.split("::")[-1] for urn in urns}


def test_every_machine_has_one_and_the_hook_of_the_gate_is_on_it_under_the_name_that_states_have(program):
    members = [r for r in program.resources if r.name.endswith(MEMBER)]
    assert [r.name for r in members] == [f"{machine}{MEMBER}" for machine in MACHINES]
    for member in members:
        assert member.type == "pulumi:index:Stash"
        assert list(member.request.hooks.before_delete) == ["retire"]
    # In the state of every stack that was ever made: under another name the engine deletes no machine any more.
    assert HOOK == "retire"


def test_it_keeps_what_the_machine_was_paved_with_whatever_the_settings_are_later(program):
    for machine in MACHINES:
        assert list(program.step(machine, "member").request.ignoreChanges) == ["input"]


def test_it_is_there_before_the_machine_joins_and_goes_after_nothing_of_it_but_the_join(program):
    for machine in MACHINES:
        assert f"{machine}{MEMBER}" in names(program.step(machine, "k3s").request.dependencies)
        dependents = {
            r.name
            for r in program.resources
            if f"{machine}{MEMBER}" in names(r.request.dependencies)
            if machine in r.name
        }
        assert dependents == {f"{machine}-k3s"}
        assert names(program.step(machine, "member").request.dependencies) == {f"{machine}-docker"}


def test_it_says_how_to_log_in_to_the_machine_and_what_it_was_paved_with(program, identity):
    member = program.step("server-b-1", "member").inputs["input"]
    assert member["login"] == {
        "address": "10.20.0.12",
        "port": 22,
        "user": "root",
        "hostKey": identity.host_key("server-b-1").public,
    }
    assert (member["machine"], member.get("mounts")) == ("server-b-1", None)
    assert member["paved"]["k3s.version"] == "v1.34.2+k3s1"
    assert member["paved"]["role"] == "server"
