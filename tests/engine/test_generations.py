"""Replacing machines by generation, on the real engine: what a preview says, what an `up` does, and what both refuse."""

import re

import pytest

from tests.engine.paved import STEPS, Paved, operations, paved, steps_of

SERVERS = ["server-a-1", "server-b-1", "server-c-1"]
ALL = sorted([*SERVERS, "agent-a-1"])
OTHER_DIGEST = {"amd64": "0" * 64}


@pytest.fixture(scope="module")
def stack(tmp_path_factory, toolchain):
    """Three servers and an agent, paved once for all tests."""
    with paved(tmp_path_factory.mktemp("paved"), toolchain) as made:
        yield made


@pytest.fixture
def cluster(stack) -> Paved:
    """As it was after its first `up`."""
    stack.restore()
    return stack


def version(cluster, wanted):
    cluster.change(lambda config: config.update(k3s={"version": wanted, "sha256": OTHER_DIGEST}))


def refused(cluster, *arguments):
    """What a command that must not end well says, without a traceback."""
    outcome = cluster.engine.run(*arguments, check=False)
    assert outcome.code != 0, outcome.text
    assert "Traceback" not in outcome.text, outcome.text
    return outcome.text


def test_a_machine_keeps_the_role_that_it_was_paved_in_until_its_next_generation(cluster):
    def swap(config):
        config["machines"]["server-b"]["role"] = "agent"
        config["machines"]["agent-a"]["role"] = "server"

    cluster.change(swap)
    said = refused(cluster, "preview")
    for name, role in (("agent-a", "an agent"), ("server-b", "a server")):
        assert (
            f"seedbed:machines.{name}: {name}-1 was paved as {role}, and stays one: put it back, or replace it" in said
        )
    # Without a preview as soon as one of them is known.
    assert "and stays one: put it back" in refused(cluster, "up", "--yes", "--skip-preview")
    assert cluster.removals() == []


@pytest.mark.parametrize(("name", "address"), [("agent-a", "127.66.0.22"), ("server-a", "127.66.0.14")])
def test_a_bump_previews_as_the_new_machines_resources_made_and_the_old_ones_removed_and_nothing_else(
    cluster, name, address
):
    cluster.replace(name, address)
    outcome = cluster.engine.preview()
    expected = [("create", part) for part in steps_of(f"{name}-2")]
    expected += [("delete", part) for part in steps_of(f"{name}-1")]
    assert operations(outcome) == sorted(expected)
    assert outcome.messages == []


def test_an_up_has_the_new_machine_join_before_the_old_one_leaves_and_the_next_preview_is_empty(cluster):
    cluster.replace("agent-a", "127.66.0.22")
    steps = [(step.op, step.name) for step in cluster.engine.up().steps]
    assert steps.index(("create", "agent-a-2-k3s")) < steps.index(("delete", "agent-a-1-member"))
    assert cluster.removals() == ["agent agent-a-1 127.66.0.21 by server-a-1 server-b-1 server-c-1"]
    outcome = cluster.engine.preview()
    assert operations(outcome) == []
    assert [line for line in outcome.messages if "retire" in line] == [
        "warning: seedbed:retire names agent-a-1, for which nothing is removed: take it out"
    ]


def test_the_server_that_made_the_cluster_leaves_by_way_of_the_others_like_any_server(cluster):
    cluster.replace("server-a", "127.66.0.14")
    cluster.engine.up()
    (line,) = cluster.removals()
    assert line.startswith("server server-a-1 127.66.0.11 by ")
    assert {"server-b-1", "server-c-1", "server-a-2"} <= set(line.split())
    assert cluster.machines() == {"server-a-2", "server-b-1", "server-c-1", "agent-a-1"}


def test_what_is_not_on_the_list_stays_in_the_preview_and_in_an_up_without_one(cluster):
    cluster.change(lambda config: config["machines"].pop("agent-a"))
    line = "agent-a-1 would be removed, and is not on seedbed:retire in Pulumi.dev.yaml: add it there if it shall leave"
    for command in (["preview"], ["up", "--yes", "--skip-preview"]):
        said = refused(cluster, *command)
        assert len([found for found in said.splitlines() if found.strip().startswith("error:") and line in found]) == 1
    assert "agent-a-1" in cluster.machines()
    assert cluster.removals() == []


def test_a_machine_that_stays_because_it_cannot_leave_is_asked_again_by_the_next_up(cluster):
    cluster.replace("agent-a", "127.66.0.22")
    refusal = cluster.repository.root / "refuse"
    refusal.write_text("a pod cannot go elsewhere")
    assert "agent-a-1 stays: a pod cannot go elsewhere" in refused(cluster, "up", "--yes", "--skip-preview")
    assert cluster.machines() >= {"agent-a-1", "agent-a-2"}
    refusal.unlink()
    made = [name for op, name in operations(cluster.engine.up()) if op == "create"]
    assert made == []
    assert cluster.machines() == {*SERVERS, "agent-a-2"}


@pytest.mark.parametrize("step", ["wait", "k3s"])
def test_a_new_machine_that_fails_leaves_the_old_one_as_it_is_and_the_next_up_goes_on(cluster, step):
    cluster.replace("agent-a", "127.66.0.22")
    cluster.failing.add(("127.66.0.22", step))
    assert "this machine fails" in refused(cluster, "up", "--yes", "--skip-preview")
    assert cluster.removals() == []
    names = cluster.names()
    assert set(steps_of("agent-a-1")) <= names
    assert f"agent-a-2-{step}" not in names
    cluster.failing.clear()
    made = [name for op, name in operations(cluster.engine.up()) if op == "create"]
    assert made == sorted(f"agent-a-2-{other}" for other in STEPS[STEPS.index(step) :])
    assert cluster.machines() == {*SERVERS, "agent-a-2"}


def test_a_destroy_is_refused_without_the_program_and_with_it_without_the_list(cluster):
    said = refused(cluster, "destroy", "--yes", "--skip-preview")
    assert "--run-program" in said
    said = refused(cluster, "destroy", "--yes", "--skip-preview", "--run-program")
    for machine in ALL:
        assert f"{machine} would be removed, and is not on seedbed:retire" in said
    assert cluster.machines() == set(ALL)
    assert cluster.removals() == []


def test_a_destroy_of_what_is_given_up_removes_all_and_asks_nothing_of_the_cluster(cluster):
    cluster.change(lambda config: config.update(retire=ALL))
    cluster.engine.destroy("--run-program")
    assert cluster.names() == set()
    assert cluster.removals() == []


def test_a_machine_that_was_paved_with_other_settings_is_told_in_one_line_and_what_to_do(cluster):
    def change(config):
        config["machines"]["agent-a"]["labels"] = {"disk": "fast"}

    cluster.change(change)
    outcome = cluster.engine.preview()
    assert operations(outcome) == []
    assert outcome.messages == [
        "warning: agent-a-1 was paved with other settings: labels.disk nothing → fast. To adopt today's, replace it: "
        "generation 2 for agent-a, and agent-a-1 on seedbed:retire"
    ]
    version(cluster, "v1.35.0+k3s1")
    told = [line for line in cluster.engine.preview().messages if "was paved" in line]
    assert [line.split()[1] for line in told] == ALL
    assert all("k3s.version v1.34.2+k3s1 → v1.35.0+k3s1" in line for line in told)


@pytest.mark.parametrize(
    ("wanted", "bumped", "said"),
    [
        ("v1.33.1+k3s1", None, "v1.33.1+k3s1 is older than agent-a-1 (v1.34.2+k3s1), server-a-1"),
        ("v1.36.0+k3s1", None, "more than 1 minor version ahead of server-a-1 (v1.34.2+k3s1)"),
        ("v1.35.0+k3s1", "agent-a", "agent-a-2 would have v1.35.0+k3s1, and a kubelet must not be newer than a server"),
    ],
)
def test_a_version_that_the_others_forbid_is_refused_in_the_preview(cluster, wanted, bumped, said):
    version(cluster, wanted)
    if bumped:
        cluster.replace(bumped, "127.66.0.22")
    text = refused(cluster, "preview")
    assert "Pulumi.dev.yaml cannot be used, 1 problem:" in text
    assert f"seedbed:k3s.version: {said}" in re.sub(
        r"seedbed:k3s.version: (v\S+ is )(?=more)", "seedbed:k3s.version: ", text
    )


@pytest.mark.parametrize(("name", "wanted"), [("agent-a", "v1.35.0+k3s1"), ("server-a", "v1.33.1+k3s1")])
def test_an_up_without_a_preview_lets_no_machine_join_that_the_others_forbid(cluster, name, wanted):
    version(cluster, wanted)
    cluster.replace(name, "127.66.0.22")
    text = refused(cluster, "up", "--yes", "--skip-preview")
    assert "Pulumi.dev.yaml cannot be used, 1 problem:" in text
    assert f"{name}-2-k3s" not in cluster.names()
    assert set(ALL) <= cluster.machines()
    assert cluster.removals() == []
