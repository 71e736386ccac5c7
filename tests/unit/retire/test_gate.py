"""Whom the gate lets go, by what is on the list and what the state remembers; and that it takes out one at a time."""

import asyncio
import threading
from dataclasses import dataclass, field
from types import SimpleNamespace

import pulumi
import pytest

from components.retire import Gate, Leaving, RetireError
from components.retire.gate import DROPLET

SERVERS = ("server-a-1", "server-b-1")


@dataclass
class Run:
    """One run of a program whose gate has this list; `removed` is who was taken out by way of whom."""

    gate: Gate
    removed: list = field(default_factory=list)
    said: list = field(default_factory=list)

    def passes(self, *machines, role="agent"):
        """The engine deletes the members of these machines, all at once."""

        async def at_once():
            return await asyncio.gather(
                *(self.gate.hook(member(name, role)) for name in machines), return_exceptions=True
            )

        return [str(error) for error in asyncio.run(at_once()) if error is not None]


def member(name, role="agent"):
    login = {"address": f"address of {name}", "port": 22, "user": "root", "hostKey": "k"}
    output = {"machine": name, "login": login, "mounts": ["/data"], "paved": {"role": role}}
    return SimpleNamespace(name=f"{name}-member", type="pulumi:index:Stash", old_outputs={"output": output})


@pytest.fixture
def run(monkeypatch):
    """`run([names], dry_run=False)`."""

    def make(retire, *, dry_run=False, remove=None, follows=lambda _machine, _paved: ()):
        made = Run(gate=None)
        monkeypatch.setattr(pulumi, "ResourceHook", lambda _name, callback, _options: callback)
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: dry_run)
        monkeypatch.setattr(pulumi.log, "info", made.said.append)
        monkeypatch.setattr(pulumi.log, "warn", made.said.append)

        def note(leaving: Leaving, servers, say):
            made.removed.append((leaving.login.machine, [server.machine for server in servers]))
            if remove:
                remove(leaving, servers, say)

        made.gate = Gate(
            retire=retire,
            machines=[*SERVERS, "agent-a-2"],
            servers=SERVERS,
            source="Pulumi.t.yaml",
            remove=note,
            follows=follows,
        )
        for name in SERVERS:
            known = SimpleNamespace(apply=lambda tell, name=name: tell(f"address of {name}"))
            monkeypatch.setattr(pulumi.Output, "from_input", lambda _, known=known: known)
            made.gate.server(name, SimpleNamespace(address=name, user="root", port=22, host_key="k"))
        return made

    return make


@pytest.mark.parametrize("dry_run", [True, False])
def test_who_is_not_on_the_list_stays_and_the_line_says_where_the_list_is(run, dry_run):
    refused = run(["agent-a-2"], dry_run=dry_run)
    assert refused.passes("agent-a-1") == [
        "agent-a-1 would be removed, and is not on seedbed:retire in Pulumi.t.yaml: add it there if it shall leave the "
        "cluster, or put it back into the settings"
    ]
    assert refused.removed == []


def test_a_preview_asks_nothing_of_any_machine(run):
    previewed = run(["agent-a-1"], dry_run=True)
    assert previewed.passes("agent-a-1") == []
    assert previewed.removed == []


def test_a_machine_on_the_list_is_taken_out_by_way_of_the_servers_that_stay(run):
    done = run(["agent-a-1", "server-a-1"])
    assert done.passes("agent-a-1") == []
    assert done.passes("server-a-1", role="server") == []
    assert done.removed == [("agent-a-1", ["server-a-1", "server-b-1"]), ("server-a-1", ["server-b-1"])]


def test_machines_leave_one_at_a_time_whatever_the_engine_does_at_once(run):
    inside, most = [], []
    ready = threading.Event()

    def remove(leaving, _servers, _say):
        inside.append(leaving.login.machine)
        most.append(len(inside))
        ready.wait(0.05)
        inside.remove(leaving.login.machine)

    done = run(["agent-a-1", "agent-b-1", "agent-c-1"], remove=remove)
    assert done.passes("agent-a-1", "agent-b-1", "agent-c-1") == []
    assert most == [1, 1, 1]


def test_one_that_could_not_leave_does_not_keep_the_next_from_it(run):
    def remove(leaving, _servers, _say):
        if leaving.login.machine == "agent-a-1":
            raise RetireError("not empty")

    done = run(["agent-a-1", "agent-b-1"], remove=remove)
    assert done.passes("agent-a-1", "agent-b-1") == ["not empty"]
    assert [name for name, _ in done.removed] == ["agent-a-1", "agent-b-1"]


def test_what_happens_is_said_with_the_machines_name(run):
    done = run(["agent-a-1"], remove=lambda _leaving, _servers, say: say("is drained"))
    done.passes("agent-a-1")
    assert done.said == ["agent-a-1: is drained"]


def test_a_cluster_whose_every_server_is_on_the_list_is_given_up_and_nothing_is_asked_of_it(run):
    done = run(["agent-a-1", *SERVERS])
    assert done.passes("agent-a-1", "server-a-1", "server-b-1") == []
    assert done.removed == []
    assert all("the cluster is given up" in line for line in done.said)


def test_a_droplet_goes_behind_its_member_and_is_on_the_same_list(run):
    done = run(["agent-a-1"])
    for name, refusal in (("agent-a-1", None), ("agent-b-1", "agent-b-1 would be removed")):
        droplet = SimpleNamespace(name=name, type=DROPLET, old_outputs={"ipv4Address": "203.0.113.20"})
        if refusal is None:
            asyncio.run(done.gate.hook(droplet))
        else:
            with pytest.raises(RetireError, match=refusal):
                asyncio.run(done.gate.hook(droplet))
    assert done.removed == []


def test_a_droplet_that_never_got_an_address_may_be_replaced_by_its_own_name(run):
    done = run([])
    asyncio.run(done.gate.hook(SimpleNamespace(name="agent-a-2", type=DROPLET, old_outputs={"name": "agent-a-2"})))
    assert done.removed == []


def test_names_for_which_nothing_was_removed_are_known_unless_something_was_refused(run):
    done = run(["agent-a-1", "agent-b-1"], dry_run=True)
    done.passes("agent-a-1")
    assert done.gate.removes_nothing() == ["agent-b-1"]
    done.passes("agent-c-1")
    assert done.gate.removes_nothing() == []


@pytest.mark.parametrize(
    ("machine", "role", "kept"),
    [
        ("server-c-1", "server", False),
        ("agent-b-1", "agent", True),
        # Its next generation is one of today's servers.
        ("server-a-0", "server", True),
    ],
)
def test_whether_the_servers_get_fewer_is_known_in_the_preview_by_the_role_of_who_leaves(run, machine, role, kept):
    previewed = run([machine], dry_run=True)
    assert previewed.gate.keeps_servers()
    assert previewed.passes(machine, role=role) == []
    assert previewed.gate.keeps_servers() is kept


def test_nothing_is_made_of_the_servers_number_where_the_cluster_is_given_up_or_who_leaves_is_not_settled(run):
    assert not run(SERVERS, dry_run=True).gate.keeps_servers()
    refused = run([], dry_run=True)
    refused.passes("server-c-1", role="server")
    assert not refused.gate.keeps_servers()


def test_what_the_state_remembers_of_a_machine_is_what_is_taken_out(run):
    seen = []
    done = run(["server-z-1"], remove=lambda leaving, _servers, _say: seen.append(leaving))
    done.passes("server-z-1", role="server")
    assert (seen[0].server, seen[0].mounts, seen[0].made) == (True, ["/data"], False)
    assert seen[0].login.address == "address of server-z-1"


def test_a_preview_refuses_a_generation_whose_version_must_not_follow_the_one_that_leaves(run):
    asked = []

    def follows(machine, paved):
        asked.append((machine, paved["role"]))
        return ["v1 is older than agent-a-1 (v2)"]

    assert run(["agent-a-1"], dry_run=True, follows=follows).passes("agent-a-1") == ["v1 is older than agent-a-1 (v2)"]
    assert asked == [("agent-a-1", "agent")]
    # In an `up` it has joined by then, and holding the old one back mends nothing.
    assert run(["agent-a-1"], follows=follows).passes("agent-a-1") == []


def test_whoever_leaves_waits_for_the_generation_that_takes_its_place(run):
    seen = {}
    done = run(
        ["agent-a-1", "agent-b-1"], remove=lambda leaving, *_: seen.update({leaving.login.machine: leaving.successor})
    )
    done.passes("agent-a-1", "agent-b-1")
    assert seen == {"agent-a-1": "agent-a-2", "agent-b-1": ""}


def test_a_preview_says_that_a_list_with_every_server_has_another_machine_leave_without_a_drain(run):
    previewed = run(["agent-b-1", *SERVERS], dry_run=True)
    previewed.passes("agent-b-1", "agent-a-2")
    [line] = [line for line in previewed.said if "agent-b-1" in line]
    assert line.startswith(
        "agent-b-1 would not be drained, nor taken out of the cluster: every server is on seedbed:retire"
    )
    # Of today's machines that go it is what giving up means.
    assert not any("agent-a-2" in line for line in previewed.said)
