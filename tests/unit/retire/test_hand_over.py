"""When a volume may go from one machine to another, and who leaves for it."""

import asyncio
from types import SimpleNamespace

import pulumi
import pytest

from components.retire import Gate, RetireError

VOLUME = "seedbed-t-data"
SERVERS = ("server-a-2", "server-b-1")
DROPLETS = {500: "agent-a-2", 501: "server-b-1"}


def holder(machine, role="agent"):
    login = {"address": f"address of {machine}", "port": 22, "user": "root", "hostKey": "k"}
    return {"input": {"machine": machine, "login": login, "mounts": ["/data"], "paved": {"role": role, "size": "s"}}}


@pytest.fixture
def gate_of(monkeypatch):
    """`gate_of(retire, servers, dry_run)`: a gate of today's machines; those it has taken out are in `removed`, with by whom."""

    def make(retire=(), servers=SERVERS, *, dry_run=False):
        monkeypatch.setattr(pulumi, "ResourceHook", lambda _name, callback, _options: callback)
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: dry_run)
        monkeypatch.setattr(pulumi.log, "info", lambda _text: None)
        removed = []
        gate = Gate(
            retire=retire,
            machines=[*servers, "agent-a-2", "agent-b-1"],
            servers=servers,
            source="Pulumi.t.yaml",
            remove=lambda leaving, by, _say: removed.append((leaving, [login.machine for login in by])),
        )
        for name in servers:
            known = SimpleNamespace(apply=lambda tell, name=name: tell(f"address of {name}"))
            monkeypatch.setattr(pulumi.Output, "from_input", lambda _, known=known: known)
            gate.server(name, SimpleNamespace(address=name, user="root", port=22, host_key="k"))
        for id_, name in DROPLETS.items():
            gate.droplet(name, SimpleNamespace(apply=lambda tell, id_=id_: tell(str(id_))))
        return SimpleNamespace(gate=gate, removed=removed)

    return make


def move(made, old, new, role="agent"):
    args = SimpleNamespace(name=f"{VOLUME}-holder", old_inputs=holder(old, role), new_inputs=holder(new, role))
    asyncio.run(made.gate.hand_over(args))


def detach(made, droplet):
    asyncio.run(made.gate.keep(SimpleNamespace(name=VOLUME, old_outputs={"dropletId": droplet, "volumeId": "v"})))


def test_the_machine_that_has_the_volume_is_taken_out_as_the_state_remembers_it(gate_of):
    made = gate_of(["agent-a-1"])
    move(made, "agent-a-1", "agent-a-2")
    ((leaving, by),) = made.removed
    assert (leaving.login.machine, leaving.login.address) == ("agent-a-1", "address of agent-a-1")
    assert (leaving.mounts, leaving.server, leaving.made) == (["/data"], False, True)
    assert by == list(SERVERS)


def test_a_preview_asks_nothing_of_any_machine(gate_of):
    made = gate_of(["agent-a-1"], dry_run=True)
    move(made, "agent-a-1", "agent-a-2")
    assert made.removed == []


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("old", "retire", "why"),
    [
        ("agent-a-1", (), "and agent-a-1 is not on seedbed:retire in Pulumi.t.yaml: add it there"),
        ("agent-b-1", ("agent-b-1",), "and agent-b-1 stays: what is mounted is not taken from a machine that runs"),
    ],
    ids=["unlisted", "listed but in the settings"],
)
def test_a_volume_is_not_taken_from_a_machine_that_does_not_leave(gate_of, old, retire, why, dry_run):
    made = gate_of(retire, dry_run=dry_run)
    with pytest.raises(RetireError, match=f"volume {VOLUME} would move from {old} to agent-a-2, {why}"):
        move(made, old, "agent-a-2")
    assert made.removed == []
    assert made.gate.removes_nothing() == []


def test_whoever_only_changes_how_it_is_logged_in_to_keeps_its_volume(gate_of):
    made = gate_of()
    move(made, "agent-b-1", "agent-b-1")
    assert made.removed == []


def test_a_server_leaves_by_way_of_others_than_the_one_that_waits_for_its_volume(gate_of):
    made = gate_of(["server-a-1"])
    move(made, "server-a-1", "server-a-2", "server")
    ((leaving, by),) = made.removed
    assert leaving.server
    assert by == ["server-b-1"]


def test_the_only_server_cannot_leave_before_the_next_one_has_joined(gate_of):
    made = gate_of(["server-a-1"], servers=("server-a-2",), dry_run=True)
    with pytest.raises(RetireError, match=r"is in server-a-1, the only server: .* Add another server first"):
        move(made, "server-a-1", "server-a-2", "server")


def test_an_attachment_goes_where_its_machine_goes_and_not_before(gate_of):
    made = gate_of()
    detach(made, 499)
    with pytest.raises(RetireError, match=f"volume {VOLUME} would be detached from agent-a-2, which stays"):
        detach(made, 500)


def test_a_cluster_that_is_given_up_lets_go_of_its_volumes(gate_of):
    made = gate_of(SERVERS)
    move(made, "agent-b-1", "agent-a-2")
    detach(made, 500)
    assert made.removed == []
