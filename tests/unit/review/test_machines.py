"""Machines that come and go, by name and with why; and what servers are for the quorum."""

import pytest

from seedbed.review import Verdict
from tests.unit.review.digests import (
    ATTACHMENT,
    COMMAND,
    DROPLET,
    GUARD,
    HOST,
    NODE,
    STASH,
    VOLUME,
    begun,
    line,
    lines,
    machine,
    replacement,
    review,
    same,
    servers,
    step,
    urn,
)

THREE = ("server-a-1", "server-b-1", "server-c-1")


def moved(name: str, old: str, new: str):
    """A volume's attachment that is replaced, as the program makes it."""
    before, after = ({"deletedWith": urn(DROPLET, full_name, f"{HOST}$"), "inputs": {}} for full_name in (old, new))
    return replacement(ATTACHMENT, name, before, after, diffReasons=["dropletId"])


def test_a_new_agent_is_one_line_and_safe():
    report = review(GUARD, servers(*THREE), machine("create", "agent-c-1"))
    assert report.verdict is Verdict.SAFE
    assert report.summary == "Safe: prod, 1 machine in"
    assert lines(report) == [
        "**in** `agent-c-1` (agent, s-4vcpu-8gb): new",
        "**cost** +48.00 USD a month, 72.00 → 120.00 (droplet s-4vcpu-8gb 0 → 1)",
        "folded: parts of these machines (7)",
    ]


def test_machines_that_come_alike_share_a_line():
    report = review(GUARD, machine("create", "agent-b-1"), machine("create", "agent-a-1"))
    assert line(report, "**in**") == "**in** `agent-a-1` and `agent-b-1` (agent, s-4vcpu-8gb): new"


def test_a_replacement_names_the_generations_and_the_settings_that_the_new_machine_adopts():
    report = review(
        GUARD,
        machine("delete", "agent-a-1", labels={"disk": "hdd"}),
        machine("create", "agent-a-2", labels={"disk": "ssd"}),
    )
    assert line(report, "**in**") == (
        "**in** `agent-a-2` (agent, s-4vcpu-8gb) for `agent-a-1`: generation 1 → 2, labels.disk hdd → ssd"
    )
    assert line(report, "**out**") == "**out** `agent-a-1` (agent), when `agent-a-2` has joined"
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_machine_that_is_removed_alone_is_said_to_be_out_of_the_settings_and_needs_eyes():
    report = review(GUARD, servers(*THREE), machine("delete", "agent-a-1"))
    assert line(report, "**out**") == "**out** `agent-a-1` (agent): not in the settings any more"
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_machine_whose_successor_is_there_already_is_said_to_be_succeeded():
    report = review(GUARD, machine("same", "agent-a-2"), machine("delete", "agent-a-1"))
    assert line(report, "**out**") == "**out** `agent-a-1` (agent): `agent-a-2` is there already"


def test_what_a_machine_that_stays_runs_or_forgets_is_one_line_of_its_own():
    parent = {"parent": urn(NODE, "agent-a-1")}
    report = review(
        GUARD,
        machine("same", "agent-a-1"),
        step("create", COMMAND, "agent-a-1-volumes", None, parent),
        step("delete", COMMAND, "agent-a-1-mesh", parent),
    )
    assert lines(report)[0] == "`agent-a-1` stays, and runs `volumes` and forgets, without running anything, `mesh`"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([servers(*THREE), servers("server-d-1", op="create")], "3 → 4; one may fail at any time"),
        (
            [
                servers("server-a-1", "server-c-1"),
                servers("server-b-1", op="delete"),
                servers("server-b-2", op="create"),
            ],
            "3 → 4 → 3; one may fail at any time",
        ),
        (
            [servers("server-a-1", "server-b-1"), servers("server-c-1", op="delete")],
            "3 → 2; **as many may fail: 1 → 0**",
        ),
        (
            [servers("server-a-1", op="delete"), servers("server-a-2", op="create")],
            "1 → 2 → 1; none may fail at any time",
        ),
        (
            [servers("server-a-1"), servers("server-b-1", "server-c-1", op="create")],
            "1 → 3, one at a time; as many may fail: 0 → 1",
        ),
    ],
)
def test_servers_that_come_or_go_are_a_risk_with_the_members_before_meanwhile_and_after(steps, said):
    report = review(GUARD, *steps)
    assert line(report, "**quorum**").startswith(f"**quorum** etcd's members: {said}")
    assert report.verdict is Verdict.NEEDS_EYES


@pytest.mark.parametrize("remembered", [False, True])
def test_a_server_whose_paving_has_failed_once_is_one_that_joins(remembered):
    report = review(GUARD, servers(*THREE), begun("server-d-1", remembered=remembered))
    assert report.verdict is Verdict.NEEDS_EYES
    assert report.summary == "Needs eyes: prod, 1 machine in"
    assert line(report, "**in**") == "**in** `server-d-1` (server, s-2vcpu-4gb): new, partly there already"
    assert line(report, "**quorum**").startswith("**quorum** etcd's members: 3 → 4; one may fail at any time")
    assert "stays" not in report.markdown


@pytest.mark.parametrize("remembered", [False, True])
def test_a_server_leaves_when_its_successor_whose_paving_has_failed_once_has_joined(remembered):
    report = review(
        GUARD,
        servers("server-a-1", "server-c-1"),
        servers("server-b-1", op="delete"),
        begun("server-b-2", remembered=remembered),
    )
    assert line(report, "**in**").endswith(" for `server-b-1`: generation 1 → 2, partly there already")
    assert line(report, "**out**") == "**out** `server-b-1` (server), when `server-b-2` has joined"
    assert line(report, "**quorum**") == "**quorum** etcd's members: 3 → 4 → 3; one may fail at any time"


def test_a_first_cluster_that_was_begun_is_still_a_new_one():
    report = review(GUARD, begun("server-a-1", remembered=True), servers("server-b-1", "server-c-1", op="create"))
    assert "a new cluster: etcd will have 3 members, of which one may fail" in line(report, "**quorum**")


def test_a_server_that_the_gate_kept_is_a_member_until_it_has_left():
    # The step that it joined by was out of the state when the gate refused.
    kept = [step for step in servers("server-b-1", op="delete") if not step["urn"].endswith("-k3s")]
    report = review(GUARD, servers("server-a-1", "server-b-2", "server-c-1"), kept)
    assert line(report, "**quorum**").startswith("**quorum** etcd's members: 4 → 3;")
    assert line(report, "**out**") == "**out** `server-b-1` (server): `server-b-2` is there already"


def test_a_server_that_leaves_before_it_has_joined_is_no_matter_of_quorum():
    never = ("server-d-1-docker", "server-d-1-member", "server-d-1-k3s")
    leaves = [step for step in servers("server-d-1", op="delete") if not step["urn"].endswith(never)]
    report = review(GUARD, servers(*THREE), leaves)
    assert "quorum" not in report.markdown
    assert report.verdict is Verdict.NEEDS_EYES


def test_an_even_number_of_servers_is_said_to_be_no_safer():
    report = review(GUARD, servers(*THREE), servers("server-d-1", op="create"))
    assert line(report, "**quorum**").endswith("(one more than an odd number adds no safety)")


def test_a_server_whose_volume_is_handed_over_leaves_before_its_successor_joins():
    report = review(
        GUARD,
        servers("server-a-1", "server-c-1"),
        machine("delete", "server-b-1", "server", ("/data",)),
        machine("create", "server-b-2", "server", ("/data",)),
        moved("seedbed-prod-data", "server-b-1", "server-b-2"),
    )
    assert line(report, "**quorum**") == "**quorum** etcd's members: 3 → 2 → 3; **as many may fail: 1 → 0 → 1**"
    assert line(report, "**out**").endswith("before `server-b-2` joins, which gets its volume")


def test_a_first_cluster_and_the_end_of_one_are_called_that():
    assert (
        "a new cluster: etcd will have 3 members, of which one may fail"
        in review(GUARD, servers(*THREE, op="create")).markdown
    )
    assert "**every server leaves: the cluster is given up**" in review(GUARD, servers(*THREE, op="delete")).markdown


def test_agents_alone_are_no_matter_of_quorum():
    report = review(GUARD, servers(*THREE), machine("delete", "agent-a-1"), machine("create", "agent-a-2"))
    assert "quorum" not in report.markdown


def test_forgetting_who_made_the_cluster_is_a_risk():
    old = {"inputs": {"input": {"init": "server-a-1"}}}
    report = review(GUARD, servers(*THREE), replacement(STASH, "cluster-init", old, old))
    assert "another cluster may be made" in line(report, "**quorum**")
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_machine_that_leaves_with_a_volume_that_goes_nowhere_is_a_risk_for_data():
    report = review(GUARD, same(VOLUME, "data"), machine("delete", "agent-a-1", mounts=("/var/lib/longhorn",)))
    assert line(report, "**data**") == (
        "**data** `agent-a-1` leaves with 1 volume in it (`/var/lib/longhorn`): what is there stays, and no machine has it"
    )


def test_a_volume_that_moves_is_a_risk_for_data_told_once():
    report = review(
        GUARD,
        machine("delete", "agent-a-1", mounts=("/data",)),
        machine("create", "agent-a-2", mounts=("/data",)),
        moved("seedbed-prod-data", "agent-a-1", "agent-a-2"),
    )
    assert line(report, "**data**") == (
        "**data** volume `seedbed-prod-data` moves from `agent-a-1` to `agent-a-2`, after `agent-a-1` has left the cluster"
    )


def test_a_volume_that_is_taken_from_a_machine_that_runs_says_so():
    report = review(
        GUARD, machine("same", "agent-a-1"), machine("same", "agent-b-1"), moved("d", "agent-a-1", "agent-b-1")
    )
    assert line(report, "**data**").endswith("while `agent-a-1` runs on")
    assert report.verdict is Verdict.NEEDS_EYES


def test_a_droplet_that_is_replaced_without_its_machine_is_a_risk_for_data():
    parent = {"parent": urn(HOST, "agent-a-1"), "inputs": {"size": "s-4vcpu-8gb", "tags": ["seedbed-prod"]}}
    rest = [one for one in machine("same", "agent-a-1") if one["urn"] != urn(DROPLET, "agent-a-1")]
    report = review(GUARD, rest, replacement(DROPLET, "agent-a-1", parent, parent, diffReasons=["image"]))
    assert "**droplet `agent-a-1` is replaced, and its machine does not leave**" in line(report, "**data**")
