"""What the program asks the engine for: resources, order, options, and where secrets may be."""

import itertools

import pulumi
import pytest

from components.remote.script import bundle
from stacks.cluster import INIT
from stacks.config import ROOT
from tests.unit.stack.conftest import REMEMBERED, SECRET, SIGNATURE

STEPS = ("wait", "base", "docker", "k3s")


def secrets_of(identity):
    for name, text in identity.files.items():
        if name.endswith(".key"):
            yield name, text
    yield "operator key", identity.operator_key
    yield "operator key as the state has it", identity.operator_key_pkcs8
    yield "server token", identity.server_token
    yield "agent token", identity.agent_token
    yield "host key seed", identity.host_key_seed
    yield "admin key", identity.admin.key
    yield "sealing key", identity.sealing_keys[0].key


def in_clear(value) -> str:
    """Everything in an input that is not wrapped as a secret, as one text."""
    if isinstance(value, dict):
        if value.get(SIGNATURE) == SECRET:
            return ""
        return "".join(in_clear(v) for v in value.values())
    if isinstance(value, list):
        return "".join(in_clear(v) for v in value)
    return str(value)


def script(program, machine):
    """What the machine's k3s step reads on standard input, which is secret as a whole."""
    return program.step(machine, "k3s").inputs["stdin"]["value"]


def test_every_machine_is_a_host_and_a_node_with_the_four_steps(run):
    program = run("existing")
    machines = ["agent-a-1", "agent-b-1", "server-a-1", "server-b-1", "server-c-1"]
    assert [r.name for r in program.resources if r.type == "seedbed:metal:ExistingHost"] == machines
    assert [r.name for r in program.resources if r.type == "seedbed:pave:Node"] == machines
    assert sorted(r.name for r in program.commands) == sorted(f"{m}-{s}" for m in machines for s in STEPS)
    for command in program.commands:
        assert command.request.parent.split("::")[-1] == command.name.rpartition("-")[0]


def test_the_steps_of_a_machine_run_one_after_the_other(run):
    program = run("existing")
    for before, after in itertools.pairwise(("wait", "base", "docker", "member", "k3s")):
        for machine in ("server-b-1", "agent-a-1"):
            depends = [urn.split("::")[-1] for urn in program.step(machine, after).request.dependencies]
            assert f"{machine}-{before}" in depends


def test_servers_join_one_at_a_time_and_agents_all_at_once_after_the_last(run):
    program = run("existing")

    def waits_for(machine):
        depends = program.step(machine, "k3s").request.dependencies
        return [d.split("::")[-1] for d in depends if not d.split("::")[-1].startswith(machine)]

    assert waits_for("server-a-1") == []
    assert waits_for("server-b-1") == ["server-a-1-k3s"]
    assert waits_for("server-c-1") == ["server-b-1-k3s"]
    assert waits_for("agent-a-1") == waits_for("agent-b-1") == ["server-c-1-k3s"]


def test_the_init_server_initialises_and_every_other_server_joins(run):
    program = run("existing")
    create = {m: script(program, m) for m in ("server-a-1", "server-b-1", "server-c-1")}
    assert [m for m, text in create.items() if "cluster-init: true" in text] == ["server-a-1"]
    assert [m for m, text in create.items() if "MODE=join\n" in text] == ["server-b-1", "server-c-1"]


def test_a_later_generation_of_the_init_server_joins_whichever_other_one_answers(run):
    def bump(config):
        config["seedbed:machines"]["server-a"]["generation"] = 2
        config["seedbed:cluster"].pop("endpoint")

    program = run("existing", bump)
    assert "MODE=join\n" in script(program, "server-a-2")
    assert "PEERS='10.20.0.12 10.20.0.13'\n" in script(program, "server-a-2")
    assert "PEERS='10.20.0.11 10.20.0.12 10.20.0.13'\n" in script(program, "agent-a-1")


def test_a_server_that_shall_make_the_cluster_once_more_is_refused_whatever_else_is_replaced(run, monkeypatch):
    """What made it may be anywhere by now: that is what the state remembers it for."""

    def anew(config):
        config["seedbed:machines"]["server-a"]["generation"] = 2
        config["seedbed:cluster"]["init"] = "server-a-2"

    assert "MODE=init\n" in script(run("existing", anew), "server-a-2")
    monkeypatch.setitem(REMEMBERED, INIT, {"init": "server-a-1"})
    assert "MODE=init\n" in script(run("existing"), "server-a-1")
    with pytest.raises(pulumi.RunError) as refused:
        run("existing", anew)
    assert "seedbed:cluster.init: server-a-1 made this stack's cluster, and a cluster is made once" in str(
        refused.value
    )
    assert "`pulumi up --replace '**::cluster-init'`" in str(refused.value)
    asked = {request.name for request in run.requests}
    assert "server-a-2-docker" in asked
    assert "server-a-2-k3s" not in asked


def test_what_remembers_who_made_the_cluster_is_frozen(run):
    memory = run("existing").step("cluster", "init")
    assert memory.inputs == {"input": {"init": "server-a-1"}}
    assert memory.request.ignoreChanges == ["input"]


def test_the_endpoint_is_asked_before_the_servers_themselves(run):
    program = run("existing")
    assert "PEERS='k8s.example.org 10.20.0.12 10.20.0.13'\n" in script(program, "server-a-1")
    assert "PEERS='k8s.example.org 10.20.0.11 10.20.0.12 10.20.0.13'\n" in script(program, "agent-a-1")


def test_the_scripts_are_copied_before_a_machines_first_step_and_the_state_keeps_where_they_are_only(run):
    program = run("existing")
    for machine in ("server-a-1", "agent-b-1"):
        copy = program.step(machine, "scripts")
        assert copy.type == "command:remote:CopyToRemote"
        assert copy.request.parent.endswith(f"seedbed:pave:Node::{machine}")
        assert f"{machine}-scripts" in [
            urn.split("::")[-1] for urn in program.step(machine, "wait").request.dependencies
        ]
        source = copy.inputs["source"]
        assert source.pop("path") == ".tools/scripts.sh"
        assert source.keys() == {SIGNATURE}
        assert (ROOT / ".tools/scripts.sh").read_text() == bundle()


def test_a_copy_is_frozen_and_bounded_and_waits_as_long_for_the_machine_as_the_first_step(run):
    program = run("existing")
    for machine in ("server-a-1", "agent-b-1"):
        copy, wait = program.step(machine, "scripts"), program.step(machine, "wait")
        assert copy.request.ignoreChanges == ["*"]
        assert copy.inputs["connection"] == wait.inputs["connection"]
        assert copy.request.customTimeouts.create == "360s"


def test_every_command_is_frozen_bounded_and_quiet_about_secrets(run):
    for command in run("existing").commands:
        inputs, request = command.inputs, command.request
        assert inputs["update"] == "true"
        assert inputs["addPreviousOutputInEnv"] is False
        assert inputs["logging"] == "stderr"
        assert "environment" not in inputs
        assert "triggers" not in inputs
        assert "delete" not in inputs
        assert request.ignoreChanges == ["*"]
        assert {"stdout", "stderr"} <= set(request.additionalSecretOutputs)
        assert request.customTimeouts.create.endswith("s")
        assert "timeout --kill-after=10 " in inputs["create"]
        assert "flock --wait " in inputs["create"]


def test_every_connection_pins_the_host_key_that_is_derived_from_the_identity(run, identity):
    program = run("existing")
    for command in program.commands:
        machine = command.name.rpartition("-")[0]
        connection = command.inputs["connection"]["value"]
        assert connection["hostKey"] == identity.host_key(machine).public


def test_no_secret_is_in_clear_anywhere(run, identity):
    program = run("existing")
    clear = "".join(in_clear(r.inputs) for r in program.resources) + in_clear(program.outputs)
    for name, secret in secrets_of(identity):
        for line in secret.strip().splitlines():
            assert line.startswith("-----") or line not in clear, f"{name} is in clear"


def test_agents_get_the_agents_token_and_never_the_servers(run, identity):
    stdin = script(run("existing"), "agent-a-1").partition("\nmain; exit 0\n")[2]
    assert identity.agent_token in stdin
    assert identity.server_token not in stdin
    assert ".key" not in stdin


def test_adding_an_agent_changes_nothing_of_the_others(run):
    def add(config):
        config["seedbed:machines"]["agent-c"] = {"role": "agent", "address": "10.20.0.23"}

    def known(program):
        planting = program.seed["seed"]  # it waits for every node, and has run long since
        return {
            (r.type, r.name): (r.inputs, sorted(r.request.dependencies)) for r in program.resources if r != planting
        }

    before, after = known(run("existing")), known(run("existing", add))
    assert {key: after[key] for key in before} == before
    added = [name for _, name in sorted(after.keys() - before.keys())]
    steps = [f"agent-c-1-{name}" for name in ("base", "docker", "k3s", "wait")]
    assert added == [*steps, "agent-c-1-scripts", "agent-c-1-member", "agent-c-1", "agent-c-1"]


def test_the_program_is_a_pure_function_of_its_settings(run):
    def seen(program):
        return [(r.type, r.name, r.inputs) for r in program.resources], program.outputs

    assert seen(run("existing")) == seen(run("existing"))


def test_the_outputs_tell_where_the_api_is_and_keep_the_kubeconfig_secret(run):
    outputs = run("existing").outputs
    assert outputs["apiUrl"] == "https://k8s.example.org:6443"
    assert outputs["nodes"]["server-b-1"] == {"address": "10.20.0.12", "role": "server"}
    assert outputs["kubeconfig"][SIGNATURE] == SECRET


def test_the_dev_stack_is_one_server_and_one_agent(run):
    program = run("dev")
    assert [r.name for r in program.resources if r.type == "seedbed:pave:Node"] == ["agent-a-1", "server-a-1"]
    assert "PEERS=10.77.0.11\n" in script(program, "agent-a-1")


def test_bad_settings_and_a_missing_identity_are_told_together_and_nothing_is_registered(run):
    def spoil(config):
        del config["seedbed:identity"]
        config["seedbed:machines"]["server-a"]["rol"] = "x"

    with pytest.raises(pulumi.RunError) as caught:
        run("existing", spoil)
    assert "seedbed:machines.server-a.rol: unknown key" in str(caught.value)
    assert "seedbed init existing" in str(caught.value)


def test_a_damaged_identity_is_named_without_its_content(run, identity):
    def spoil(config):
        config["seedbed:identity"]["files"].pop("service.key")

    with pytest.raises(pulumi.RunError, match="lacks service\\.key") as caught:
        run("existing", spoil)
    assert identity.server_token not in str(caught.value)


@pytest.fixture
def warnings(run, monkeypatch):
    """`warnings(servers, retire)`: what is left to say when the engine has planned all of a change that nothing leaves in."""

    def of(servers, retire):
        def change(config):
            machines = config["seedbed:machines"]
            config["seedbed:machines"] = {
                name: machine for name, machine in machines.items() if machine["role"] == "agent" or name in servers
            }
            config["seedbed:retire"] = retire

        said = []
        monkeypatch.setattr("stacks.cluster.warn_when_done", said.append)
        monkeypatch.setattr("pulumi.runtime.is_dry_run", lambda: True)
        run("existing", change)
        return said[0]()

    return of


def test_an_even_number_of_servers_is_warned_of_when_no_server_leaves_whoever_is_on_the_list(warnings):
    unused, even = warnings(["server-a", "server-b"], ["oldagent-1"])
    assert unused == "seedbed:retire names oldagent-1, for which nothing is removed: take it out"
    assert even == (
        "2 servers (server-a, server-b), and none leaves in this change: etcd survives no more losses with them than with 1, "
        "so make their number odd"
    )


def test_an_odd_number_of_servers_is_not_warned_of(warnings):
    assert warnings(["server-a", "server-b", "server-c"], []) == []
