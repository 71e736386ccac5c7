"""The next step of a roll, from every place that a roll can be left at."""

import json
from types import SimpleNamespace

import pytest
import yaml

from components.versions import K3S_RELEASES
from seedbed import cli, rolling, stackfile
from seedbed.commands import roll
from stacks.generations import record
from stacks.settings import parse

OLD, NEW = "v1.33.6+k3s1", "v1.34.2+k3s1"
URN = "urn:pulumi:dev::seedbed::seedbed:stacks:Cluster${}::{}"

SETTINGS = """\
# A stack of machines that are there.
config:
  seedbed:cluster:
    init: server-a-1
  seedbed:network:
    machines: 10.0.0.0/24
  seedbed:k3s:
    version: v1.33.6+k3s1
    sha256: {amd64: "0000000000000000000000000000000000000000000000000000000000000000"}
  seedbed:machines:
    server-a: {role: server, address: 10.0.0.11}
    server-b: {role: server, address: 10.0.0.12}
    server-c: {role: server, address: 10.0.0.13}
    agent-a:
      role: agent
      address: 10.0.0.21
    agent-b:
      role: agent
      address: 10.0.0.22
"""


class World:
    """A stack's yaml, what its state says, and its cluster, all in step: `apply` does what an `up` does."""

    def __init__(self, file, fake):
        self.file, self.fake = file, fake
        self.file.write_text(SETTINGS)
        self.resources = []

    def settings(self):
        config = yaml.safe_load(self.file.read_text())["config"]
        own = {key.removeprefix("seedbed:"): value for key, value in config.items()}
        return parse(own, self.file.name, self.file.parent)

    def apply(self):
        settings = self.settings()
        today = {settings.full_name(name): name for name in settings.machines}
        leaving = set(self.machines()) - today.keys()
        assert leaving <= set(settings.retire), "the gate would refuse"
        assert len(leaving) <= 1, "more than one machine leaves at once"
        self.resources = [r for r in self.resources if r["machine"] not in leaving]
        for full_name in sorted(today.keys() - set(self.machines())):
            self.add(full_name, settings, today[full_name])
        self.fake.objects = {
            f"/api/v1/nodes/{full_name}": node(full_name, settings.machines[name].role == "server")
            for full_name, name in today.items()
        }

    def add(self, full_name, settings, name):
        paved = {"machine": full_name, "paved": record(settings, name)}
        for kind, suffix, outputs in (
            ("seedbed:metal:ExistingHost", "", {}),
            ("seedbed:pave:Node", "", {}),
            ("pulumi:index:Stash", "-member", {"output": paved}),
            ("command:remote:Command", "-k3s", {}),
        ):
            urn = URN.format(kind, f"{full_name}{suffix}")
            self.resources.append({"machine": full_name, "urn": urn, "type": kind, "outputs": outputs})

    def machines(self):
        return sorted({resource["machine"] for resource in self.resources})

    def exported(self, *_):
        stash = {"urn": URN.format("pulumi:index:Stash", "cluster-init"), "type": "pulumi:index:Stash", "outputs": {}}
        return {"deployment": {"resources": json.loads(json.dumps([stash, *self.resources]))}}

    def change(self, old, new):
        text = self.file.read_text()
        assert old in text
        self.file.write_text(text.replace(old, new))

    def upgrade(self):
        digests = K3S_RELEASES[NEW]
        self.change(f"version: {OLD}", f"version: {NEW}")
        self.change('{amd64: "' + "0" * 64 + '"}', json.dumps(digests))


def node(name, server, *, ready="True", voter="True"):
    conditions = [{"type": "Ready", "status": ready}]
    conditions += [{"type": "EtcdIsVoter", "status": voter}] if server else []
    return {"metadata": {"name": name}, "status": {"conditions": conditions}}


@pytest.fixture
def world(fake, identity, monkeypatch, tmp_path):
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    made = World(tmp_path / "Pulumi.dev.yaml", fake)
    monkeypatch.setattr(roll.stackfile, "load", lambda name: stackfile.committed(name, tmp_path))
    monkeypatch.setattr(roll.environment, "of", lambda *_: {})
    monkeypatch.setattr(roll.engine, "exported", made.exported)
    monkeypatch.setattr(roll.identities, "read", lambda *_: identity)
    monkeypatch.setattr(roll.cluster, "api_url", lambda *_: fake.url)
    made.apply()
    return made


@pytest.fixture
def rolled(capsys):
    """Runs `seedbed roll dev …`: the exit code, and what it said on both streams."""

    def rolled(*arguments):
        code = cli.main(["roll", "dev", *arguments])
        said = capsys.readouterr()
        return SimpleNamespace(code=code, out=said.out, err=said.err)

    return rolled


def refused(rolled, world, *arguments):
    before = world.file.read_text()
    found = rolled(*arguments)
    assert found.code == 1
    assert world.file.read_text() == before
    return found.err


def test_nothing_differs_nothing_is_proposed_and_the_way_to_replace_all_the_same_is_told(world, rolled):
    before = world.file.read_text()
    found = rolled()
    assert found.code == 0
    assert "Nothing left to replace" in found.out
    assert "seedbed roll dev --to 2" in found.out
    assert world.file.read_text() == before


def test_an_upgrade_replaces_every_server_then_every_agent_one_at_a_time_and_then_clears_the_list(world, rolled):
    world.upgrade()
    order = []
    for number in range(5):
        found = rolled("--address", f"10.0.0.{31 + number}")
        assert found.code == 0, found.err
        world.apply()
        order.append(world.settings().retire)
    assert order == [(f"{name}-1",) for name in ("server-a", "server-b", "server-c", "agent-a", "agent-b")]
    found = rolled()
    assert found.code == 0
    assert "-  seedbed:retire: [agent-b-1]" in found.out
    assert world.settings().retire == ()
    assert {
        resource["outputs"]["output"]["paved"]["k3s.version"] for resource in world.resources if resource["outputs"]
    } == {NEW}
    # Nothing but what the steps are about has changed, comments and order with it.
    last = SETTINGS.splitlines()
    assert [line for line in world.file.read_text().splitlines() if line in last][:4] == last[:4]
    assert rolled().out.startswith("Nothing left to replace")


def test_a_label_replaces_the_one_machine_that_it_is_of(world, rolled):
    world.change("address: 10.0.0.22", "address: 10.0.0.22\n      labels: {disk: fast}")
    found = rolled("--address", "10.0.0.32")
    assert "Next of 1 to replace in stack dev: agent-b-1 by agent-b-2" in found.out
    assert "labels.disk nothing → fast" in found.out
    assert "+      generation: 2" in found.out
    assert world.settings().machines["agent-b"].generation == 2


def test_all_machines_below_a_generation_are_replaced_whatever_they_were_paved_with(world, rolled):
    for number in range(5):
        assert rolled("--to", "3", "--address", f"10.0.0.{31 + number}").code == 0
        world.apply()
    assert {machine.generation for machine in world.settings().machines.values()} == {3}
    assert "every machine of stack dev is of generation 3 or later" in rolled("--to", "3").out


def test_one_machine_is_replaced_by_its_name_with_or_without_the_generation(world, rolled):
    assert "agent-b-1 by agent-b-2" in rolled("--machine", "agent-b", "--address", "10.0.0.32", "--dry-run").out
    assert "agent-b-1 by agent-b-2" in rolled("--machine", "agent-b-1", "--address", "10.0.0.32", "--dry-run").out
    assert "there are agent-a, agent-b, server-a" in refused(rolled, world, "--machine", "agent-x")


def test_a_dry_run_shows_the_edit_and_makes_none(world, rolled):
    before = world.file.read_text()
    found = rolled("--machine", "agent-a", "--address", "10.0.0.31", "--dry-run")
    assert "+      generation: 2" in found.out
    assert "Nothing is changed" in found.out
    assert world.file.read_text() == before


def test_a_step_that_is_not_applied_is_to_be_applied_first(world, rolled):
    rolled("--machine", "agent-a", "--address", "10.0.0.31")
    said = refused(rolled, world, "--machine", "agent-b", "--address", "10.0.0.32")
    assert "agent-a-2 is not made yet; agent-a-1 is still there" in said
    assert "seedbed review dev" in said


def test_a_machine_that_has_not_joined_or_that_is_left_over_holds_the_roll_up(world, rolled):
    settings = world.settings()
    world.resources = [r for r in world.resources if not r["urn"].endswith("agent-a-1-k3s")]
    assert "agent-a-1 has not joined yet" in refused(rolled, world)
    world.resources = [r for r in world.resources if r["machine"] != "agent-a-1"]
    world.add("agent-a-1", settings, "agent-a")
    world.resources.append(
        {"machine": "x", "urn": URN.format("seedbed:pave:Node", "agent-x-1"), "type": "x", "outputs": {}}
    )
    assert "agent-x-1 is still there, and is not on seedbed:retire" in refused(rolled, world)


def test_a_stack_without_machines_has_nothing_to_replace(world, rolled):
    world.resources = []
    assert "has no machine yet" in refused(rolled, world)


@pytest.mark.parametrize(
    ("name", "ill", "said"),
    [
        ("agent-b-1", node("agent-b-1", server=False, ready="False"), "agent-b-1 is not Ready"),
        ("server-b-1", node("server-b-1", server=True, voter="False"), "server-b-1 does not vote in etcd"),
        ("server-b-1", node("server-b-1", server=False), "(EtcdIsVoter is not set)"),
        (
            "server-x-1",
            node("server-x-1", server=True),
            "server-x-1 is a server of the cluster and not of the settings",
        ),
        ("agent-b-1", None, "agent-b-1 is not in the cluster"),
    ],
)
def test_no_machine_is_replaced_while_another_one_is_not_well(world, rolled, fake, name, ill, said):
    path = f"/api/v1/nodes/{name}"
    fake.objects.pop(path, None)
    if ill is not None:
        fake.objects[path] = ill
    assert said in refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31")


def test_the_one_that_is_not_well_can_be_replaced_and_is_named(world, rolled, fake):
    fake.objects["/api/v1/nodes/agent-b-1"] = node("agent-b-1", server=False, ready="Unknown")
    world.upgrade()
    assert "seedbed roll dev --machine agent-b" in refused(rolled, world, "--address", "10.0.0.31")
    world.change(f"version: {NEW}", f"version: {OLD}")
    world.change(json.dumps(K3S_RELEASES[NEW]), '{amd64: "' + "0" * 64 + '"}')
    assert rolled("--machine", "agent-b", "--address", "10.0.0.32").code == 0


@pytest.mark.parametrize("dead", [None, node("server-b-1", server=True, ready="Unknown", voter="False")])
def test_a_server_that_is_dead_leaves_before_another_one_comes(world, rolled, fake, dead):
    del fake.objects["/api/v1/nodes/server-b-1"]
    if dead is not None:
        fake.objects["/api/v1/nodes/server-b-1"] = dead
    said = refused(rolled, world, "--machine", "server-b", "--address", "10.0.0.31")
    assert "it leaves first: take server-b out of Pulumi.dev.yaml, put server-b-1 on seedbed:retire" in said


def test_an_api_that_does_not_answer_stops_the_roll(world, rolled, fake, monkeypatch):
    monkeypatch.setattr(roll.cluster, "api_url", lambda *_: "https://127.0.0.1:9")
    assert "does not answer" in refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31")


def test_a_machine_of_ones_own_needs_the_place_of_the_next_one(world, rolled):
    said = refused(rolled, world, "--machine", "agent-a")
    assert "seedbed roll dev --machine agent-a --address IP" in said
    assert "that is agent-a-1's" in refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.21")
    assert "10.0.0.22 is agent-a's already" in refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.22")
    assert "outside seedbed:network.machines" in refused(rolled, world, "--machine", "agent-a", "--address", "10.9.0.1")
    said = refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31", "--node-address", "10.0.0.41")
    assert "agent-a has no nodeAddress" in said
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICS8qBGfQGPCVBdrT19pMOtX8RyBpVLKkjxexymr4LAr"
    world.change("address: 10.0.0.21", f"address: 10.0.0.21\n      hostKey: {key}")
    assert "--host-key KEY" in refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31")
    assert rolled("--machine", "agent-a", "--address", "10.0.0.31", "--host-key", key.replace("LAr", "LAs")).code == 0
    assert world.settings().machines["agent-a"].host_key == key.replace("LAr", "LAs")


def test_an_agent_waits_for_the_servers_where_the_version_is_another(world, rolled):
    world.upgrade()
    said = refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31")
    assert "agent-a-2 would have v1.34.2+k3s1, and a kubelet must not be newer than a server" in said


def test_a_version_that_skips_one_names_the_one_between_and_an_older_one_is_none(world, rolled):
    world.change(f"version: {OLD}", "version: v1.35.1+k3s1")
    said = refused(rolled, world, "--address", "10.0.0.31")
    assert "Replace every server with a v1.34 first" in said
    world.change("version: v1.35.1+k3s1", "version: v1.33.1+k3s1")
    assert "Kubernetes does not go back" in refused(rolled, world, "--address", "10.0.0.31")


def test_the_only_server_has_nobody_to_join_and_the_way_round_is_told(world, rolled):
    world.change("    server-b: {role: server, address: 10.0.0.12}\n", "")
    world.change("    server-c: {role: server, address: 10.0.0.13}\n", "")
    world.resources = [r for r in world.resources if r["machine"] not in ("server-b-1", "server-c-1")]
    world.apply()
    assert "Have three servers" in refused(rolled, world, "--machine", "server-a", "--address", "10.0.0.31")
    assert rolled("--machine", "agent-a", "--address", "10.0.0.31").code == 0


def test_a_text_that_cannot_be_edited_is_left_with_the_edit_to_make(world, rolled):
    world.file.write_text(world.file.read_text() + "  seedbed:retire: [\n    agent-b-1,  # soon\n  ]\n")
    said = refused(rolled, world, "--machine", "agent-a", "--address", "10.0.0.31")
    assert "seedbed:retire has comments inside" in said
    assert "seedbed:retire: [agent-b-1, agent-a-1]" in said
    assert "agent-a: generation: 2" in said


def test_who_is_on_the_list_and_still_there_stays_on_it(world, rolled):
    world.file.write_text(world.file.read_text() + "  seedbed:retire: [agent-a-1, agent-c-1]\n")
    rolled("--machine", "agent-b", "--address", "10.0.0.32")
    assert world.settings().retire == ("agent-a-1", "agent-b-1")


def test_a_name_that_the_settings_cannot_do_without_stays_on_the_list(world, rolled):
    world.change("    server-c: {role: server, address: 10.0.0.13}\n", "")
    world.file.write_text(world.file.read_text() + "  seedbed:retire: [server-c-1]\n")
    world.apply()
    found = rolled()
    assert found.code == 0
    assert "server-c-1 stays on seedbed:retire" in found.out
    assert world.settings().retire == ("server-c-1",)


def test_of_two_agents_that_are_not_well_one_can_be_the_first(world, rolled, fake):
    for letter in "ab":
        fake.objects[f"/api/v1/nodes/agent-{letter}-1"] = node(f"agent-{letter}-1", server=False, ready="Unknown")
    assert rolled("--machine", "agent-a", "--address", "10.0.0.31", "--dry-run").code == 0
    assert "agent-a-1 is not Ready" in refused(rolled, world, "--machine", "server-a", "--address", "10.0.0.31")


def test_an_agent_is_replaced_while_a_dead_server_is_away_whose_name_the_list_needs(world, rolled):
    world.change("    server-c: {role: server, address: 10.0.0.13}\n", "")
    world.file.write_text(world.file.read_text() + "  seedbed:retire: [server-c-1]\n")
    world.apply()
    assert rolled("--machine", "agent-a", "--address", "10.0.0.31").code == 0
    assert world.settings().retire == ("server-c-1", "agent-a-1")


def test_the_only_servers_next_generation_may_not_skip_a_version_of_the_one_that_leaves(world, rolled):
    world.change("    server-b: {role: server, address: 10.0.0.12}\n", "")
    world.change("    server-c: {role: server, address: 10.0.0.13}\n", "")
    world.change("    init: server-a-1\n", "    init: server-a-1\n    endpoint: 10.0.0.11\n")
    world.resources = []
    world.apply()
    world.change(f"version: {OLD}", "version: v1.35.1+k3s1")
    said = refused(rolled, world, "--machine", "server-a", "--address", "10.0.0.31")
    assert "more than 1 minor version ahead of server-a-1 (v1.33.6+k3s1)" in said


def test_what_else_the_state_has_is_no_machine(world):
    state = rolling.read(world.exported())
    assert state.machines == {f"{name}-1" for name in ("server-a", "server-b", "server-c", "agent-a", "agent-b")}
    assert state.joined == state.machines
