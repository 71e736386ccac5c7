"""The order in which a machine leaves, and when it does not, in a cluster that is only told of."""

import re
from dataclasses import dataclass, field

import pytest

from components.remote import session
from components.remote.session import Login, UnreachableError
from components.retire import Leaving, Removal, RetireError, removal


def login(machine):
    return Login(machine=machine, address=f"address of {machine}", port=22, user="root", host_key="k")


@dataclass
class World:
    """A cluster by what its scripts would print; `done` is what was run where, without the looks.

    `nodes` has (server, ready, votes) by name. `dark` are machines that do not let in, `silent` servers whose API does not
    answer. `after` is what happens when a step has been run on a machine.
    """

    nodes: dict = field(default_factory=dict)
    dark: set = field(default_factory=set)
    silent: set = field(default_factory=set)
    drained: str = "drained\n"
    keeps: bool = False
    after: dict = field(default_factory=dict)
    on_look: list = field(default_factory=list)
    done: list = field(default_factory=list)
    looks: int = 0
    said: list = field(default_factory=list)

    def run(self, at, _key, script, *, seconds, say, alone=False):
        step = re.search("^STEP=(.*)$", script, re.MULTILINE)[1]
        if at.machine in self.dark:
            raise UnreachableError(f"{at.machine} does not let in: no route")
        told = getattr(self, step)(at.machine)
        if step not in ("look", "greet"):
            self.done.append(f"{step} {at.machine}{' alone' if alone else ''}")
        self.after.pop(step, lambda: None)()
        return told

    def look(self, machine):
        self.looks += 1
        if self.on_look:
            self.on_look.pop(0)()
        return "silent its API does not answer\n" if machine in self.silent else f"{self._lines()}seen\n"

    def _lines(self):
        def line(name, server, ready, votes):
            # Nobody hears one that is dead; one that says so itself is False in so many letters.
            told = {True: "True", False: "Unknown"}.get(ready, ready)
            return f"node {name}|{'true' if server else ''}|{told}|{votes}\n"

        return "".join(line(name, *facts) for name, facts in self.nodes.items())

    def greet(self, _):
        return ""

    def drain(self, _):
        return self.drained

    def hold(self, _):
        return "held\n"

    def stop(self, _):
        return "stopped\n"

    def remove(self, _):
        if self.keeps:
            return "kept\n"
        self.nodes.pop(self.leaving, None)
        return f"{self._lines()}removed\n"

    def leave(self, name, *, mounts=(), made=False, successor=""):
        self.leaving = name
        leaving = Leaving(
            login=login(name), server=name.startswith("server"), mounts=mounts, made=made, successor=successor
        )
        servers = [login(server) for server in self.servers if server != name]
        Removal(private_key="k", drain_seconds=60)(leaving, servers, self.said.append)

    def refuses(self, name, **options):
        with pytest.raises(RetireError) as caught:
            self.leave(name, **options)
        assert "\n" not in str(caught.value)
        assert "then run `pulumi up` again" in str(caught.value)
        return str(caught.value)


@pytest.fixture
def world(monkeypatch):
    """Makes one with this many servers, all well, and one agent; time passes there without being waited for."""
    clock = [0.0]

    def sleep(seconds):
        clock[0] += seconds

    def monotonic():
        clock[0] += 0.001  # no two looks at a clock are the same
        return clock[0]

    monkeypatch.setattr(removal.time, "monotonic", monotonic)
    monkeypatch.setattr(removal.time, "sleep", sleep)

    def make(servers):
        made = World()
        made.servers = [f"server-{'abcde'[i]}-1" for i in range(servers)]
        made.nodes = dict.fromkeys(made.servers, (True, True, True)) | {"agent-a-1": (False, True, "")}
        monkeypatch.setattr(session, "run", made.run)
        return made

    return make


def test_an_agent_is_drained_then_ended_then_removed(world):
    one = world(1)
    one.leave("agent-a-1")
    assert one.done == ["drain server-a-1", "stop agent-a-1 alone", "remove server-a-1"]
    assert "agent-a-1" not in one.nodes
    assert one.said[-1] == "has left the cluster"


def test_a_server_ends_before_its_member_is_removed(world):
    three = world(3)
    three.leave("server-a-1")
    assert three.done == ["drain server-b-1", "stop server-a-1 alone", "remove server-b-1"]


def test_one_of_two_servers_votes_until_its_member_is_removed_but_does_not_begin_again(world):
    two = world(2)
    two.leave("server-a-1")
    assert two.done == ["drain server-b-1", "hold server-a-1 alone", "remove server-b-1", "stop server-a-1 alone"]


def test_the_others_are_looked_at_again_right_before_the_member_is_removed(world):
    three = world(3)

    def falls_ill():
        three.nodes["server-c-1"] = (True, False, False)

    three.after["stop"] = falls_ill
    assert "server-c-1 is not Ready and does not vote" in three.refuses("server-a-1")
    assert three.done == ["drain server-b-1", "stop server-a-1 alone"]


@pytest.mark.parametrize("dies", [True, False])
def test_a_server_keeps_its_vote_when_another_one_has_died_while_it_was_drained(world, dies):
    """Stopped it would take the majority with it."""
    three = world(3)
    if dies:
        three.after["drain"] = lambda: three.nodes.update({"server-c-1": (True, False, False)})
        assert "server-c-1 is not Ready and does not vote" in three.refuses("server-a-1")
        assert three.done == ["drain server-b-1"]
    else:
        three.leave("server-a-1")
        assert three.done == ["drain server-b-1", "stop server-a-1 alone", "remove server-b-1"]


@pytest.mark.parametrize("servers", [2, 4])
def test_a_server_that_is_not_ready_and_has_a_vote_that_is_needed_is_removed_before_it_ends(world, servers):
    there = world(servers)
    there.nodes["server-a-1"] = (True, "False", True)
    if servers == 4:
        there.nodes["server-d-1"] = (True, False, False)
    there.leave("server-a-1")
    assert there.done == ["hold server-a-1 alone", "remove server-b-1", "stop server-a-1 alone"]


def test_a_server_without_a_node_that_may_have_a_vote_is_held_removed_and_ended(world):
    one = world(1)
    one.leave("server-b-1")
    assert one.done == ["hold server-b-1 alone", "remove server-a-1", "stop server-b-1 alone"]


def test_a_machine_that_is_not_ready_for_a_moment_is_drained_all_the_same(world):
    one = world(1)
    one.nodes["agent-a-1"] = (False, "False", "")

    def gets_ready():
        one.nodes["agent-a-1"] = (False, True, "")

    one.on_look = [lambda: None, lambda: None, gets_ready]
    one.leave("agent-a-1")
    assert one.done == ["drain server-a-1", "stop agent-a-1 alone", "remove server-a-1"]
    assert any("is not Ready, and the cluster hears it" in line for line in one.said)


def test_a_machine_that_stays_not_ready_is_taken_for_dead_in_the_end(world):
    one = world(1)
    one.nodes["agent-a-1"] = (False, "False", "")
    one.leave("agent-a-1")
    assert one.done == ["stop agent-a-1 alone", "remove server-a-1"]


@pytest.mark.parametrize(("state", "said"), [(None, "is not in the cluster"), ((False, False, ""), "is not well")])
def test_a_machine_stays_until_the_one_that_takes_its_place_is_in_the_cluster(world, state, said):
    one = world(1)
    if state is not None:
        one.nodes["agent-a-2"] = state
    told = one.refuses("agent-a-1", successor="agent-a-2")
    assert told.startswith(f"agent-a-1 stays: agent-a-2, which takes its place, {said}")
    assert one.done == []
    one.nodes["agent-a-2"] = (False, True, "")
    one.leave("agent-a-1", successor="agent-a-2")
    assert one.done[0] == "drain server-a-1"


def test_a_server_that_is_alive_waits_for_others_that_are_not_well_and_leaves_then(world):
    three = world(3)
    three.nodes["server-b-1"] = (True, True, False)

    def gets_well():
        three.nodes["server-b-1"] = (True, True, True)

    three.on_look = [lambda: None, lambda: None, gets_well]
    three.leave("server-a-1")
    assert any("server-b-1 is Ready and does not vote" in line for line in three.said)
    assert three.done[0] == "drain server-b-1"


def test_with_the_quorum_degraded_already_no_live_server_leaves_and_nothing_is_touched(world):
    three = world(3)
    three.nodes["server-b-1"] = (True, False, False)
    said = three.refuses("server-a-1")
    assert said.startswith("server-a-1 must not leave now: another server is not well: server-b-1 is not Ready")
    assert three.done == []


def test_a_dead_server_goes_at_once_and_it_is_said_that_nobody_waited(world):
    three = world(3)
    three.nodes["server-a-1"] = (True, False, False)
    three.dark = {"server-a-1"}
    three.leave("server-a-1")
    assert three.done == ["remove server-b-1"]
    assert any("taken for dead" in line for line in three.said)
    assert any("must not come back as it is" in line for line in three.said)


def test_nobody_is_told_to_power_off_a_dead_machine_that_the_cloud_deletes(world):
    one = world(1)
    one.nodes["agent-a-1"] = (False, False, "")
    one.dark = {"agent-a-1"}
    one.leave("agent-a-1", made=True)
    assert "could not be reached" in one.said


def test_a_dead_server_stays_a_member_where_the_others_could_not_decide_without_it(world):
    three = world(3)
    three.nodes["server-a-1"] = three.nodes["server-b-1"] = (True, False, False)
    three.dark = {"server-a-1"}
    assert "no quorum of those that would remain: server-b-1" in three.refuses("server-a-1")
    assert three.done == []


def test_a_node_that_is_not_ready_on_a_machine_that_lets_in_is_ended_there_all_the_same(world):
    """Or its k3s would come back without a place in the cluster."""
    one = world(1)
    one.nodes["agent-a-1"] = (False, False, "")
    one.leave("agent-a-1")
    assert one.done == ["stop agent-a-1 alone", "remove server-a-1"]
    assert not any("must not come back" in line for line in one.said)


def test_an_agent_leaves_whatever_the_servers_votes_are(world):
    three = world(3)
    three.nodes["server-b-1"] = (True, False, False)
    three.leave("agent-a-1")
    assert three.done[-1] == "remove server-a-1"


def test_a_machine_that_dies_while_it_is_drained_goes_the_way_of_a_dead_one(world):
    one = world(1)
    one.drained = "dead\n"
    one.after["drain"] = lambda: one.dark.add("agent-a-1")
    one.leave("agent-a-1")
    assert one.done == ["drain server-a-1", "remove server-a-1"]
    assert "has died while it was drained" in one.said


def test_a_server_that_dies_before_it_is_ended_is_counted_as_dead(world):
    three = world(3)
    three.nodes["server-c-1"] = (True, True, True)

    def dies():
        three.dark.add("server-a-1")
        three.nodes["server-a-1"] = (True, False, False)

    three.after["drain"] = dies
    three.leave("server-a-1")
    assert three.done == ["drain server-b-1", "remove server-b-1"]


def test_a_machine_that_the_cluster_hears_and_that_does_not_let_in_stays(world):
    one = world(1)
    one.dark = {"agent-a-1"}
    said = one.refuses("agent-a-1")
    assert "the cluster hears it, but agent-a-1 does not let in: no route" in said
    assert "power it off" in said
    assert one.done == []


def test_a_machine_whose_death_nobody_has_noticed_yet_is_waited_for(world):
    one = world(1)
    one.dark = {"agent-a-1"}

    def noticed():
        one.nodes["agent-a-1"] = (False, False, "")

    one.on_look = [lambda: None, lambda: None, noticed]
    one.leave("agent-a-1")
    assert one.done == ["remove server-a-1"]


def test_a_machine_that_has_left_already_is_only_tidied_up_after(world):
    one = world(1)
    del one.nodes["agent-a-1"]
    one.leave("agent-a-1")
    assert one.done == ["stop agent-a-1 alone", "remove server-a-1"]


def test_a_machine_that_has_left_already_and_is_gone_is_no_obstacle(world):
    one = world(1)
    del one.nodes["agent-a-1"]
    one.dark = {"agent-a-1"}
    one.leave("agent-a-1")
    assert one.done == ["remove server-a-1"]


def test_the_first_server_whose_api_answers_helps(world):
    three = world(3)
    three.dark, three.silent = {"server-a-1"}, {"server-b-1"}
    three.leave("agent-a-1")
    assert three.done[-1] == "remove server-c-1"


def test_without_an_api_nothing_is_touched_and_each_server_is_named_with_what_failed(world):
    two = world(2)
    two.dark, two.silent = {"server-a-1"}, {"server-b-1"}
    said = two.refuses("agent-a-1")
    assert "server-a-1 does not let in: no route; server-b-1 lets in, but its API does not answer" in said
    assert "nothing was done" in said
    assert two.done == []


def test_pods_without_a_controller_are_named_and_nothing_is_touched(world):
    one = world(1)
    one.drained = "pods default/bare\nbare\n"
    said = one.refuses("agent-a-1")
    assert "nothing would make them again: default/bare." in said
    assert one.done == ["drain server-a-1"]


def test_a_drain_that_does_not_end_names_what_is_left_and_what_holds_it(world):
    one = world(1)
    one.drained = "pods default/web-1 default/web-2\nbudgets default/web\nbecause error: no\nstuck\n"
    said = one.refuses("agent-a-1")
    assert "not empty after 60 s: pods default/web-1 default/web-2" in said
    assert "disruption budgets that allow nothing now: default/web" in said
    assert "seedbed:timeouts.drain" in said
    assert one.done == ["drain server-a-1"]


def test_replicas_that_find_no_other_place_are_named(world):
    one = world(1)
    one.drained = "replicas pvc-1-r-2\nstuck\n"
    assert "Longhorn's replicas pvc-1-r-2" in one.refuses("agent-a-1")


def test_a_member_that_is_not_let_go_is_an_error_and_not_a_removal(world):
    three = world(3)
    three.keeps = True
    assert "etcd may still count it" in three.refuses("server-a-1")


def test_a_server_that_breaks_off_is_named_with_what_to_do(world):
    one = world(1)
    one.drained = None

    def breaks(_):
        raise UnreachableError("server-a-1 did not answer any more")

    one.drain = breaks
    said = one.refuses("agent-a-1")
    assert said.startswith("agent-a-1 has not left yet: server-a-1 did not answer any more. ")
