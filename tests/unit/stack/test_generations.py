"""What machines were paved with against what the settings say today: differences, the warning, and which versions may meet."""

import copy
import json
from dataclasses import replace

import pytest

from stacks.config import ROOT
from stacks.generations import differences, record, role_problems, succession_problems, version_problems, warning
from stacks.settings import parse

CONFIG = {
    "cluster": {"init": "server-a-1"},
    "network": {"machines": "10.9.0.0/24"},
    "k3s": {"version": "v1.34.2+k3s1", "disable": ["traefik"]},
    "machines": {
        **{f"server-{n}": {"role": "server", "address": f"10.9.0.1{i}"} for i, n in enumerate("abc")},
        "agent-a": {"role": "agent", "address": "10.9.0.21", "generation": 4},
        "agent-b": {"role": "agent", "address": "10.9.0.22"},
    },
}


def settings(change=lambda config: None):
    config = copy.deepcopy(CONFIG)
    change(config)
    return parse(config, "Pulumi.test.yaml", ROOT)


def at(version):
    """The settings of CONFIG with another version of k3s."""
    made = settings()
    return replace(made, k3s=made.k3s.model_copy(update={"version": version}))


def paved(**versions):
    """Records of machines that are there, `server_a="v1.34.2+k3s1"`."""
    names = {name.replace("_", "-"): version for name, version in versions.items()}
    return {name: record(at(version), name) for name, version in names.items()}


def test_a_record_is_json_and_has_only_what_a_machine_of_its_role_is_made_of():
    server, agent = record(settings(), "server-a"), record(settings(), "agent-a")
    assert json.loads(json.dumps(server)) == server
    assert server["k3s.disable"] == ["traefik"]
    assert agent == {"role": "agent", "k3s.version": "v1.34.2+k3s1"}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda c: c["k3s"].update(kubeletArgs=["max-pods=200"]), {"k3s.kubeletArgs": "both"}),
        (lambda c: c["k3s"].update(disable=["traefik", "servicelb"]), {"k3s.disable": "servers"}),
        (lambda c: c["network"].update(pods="10.60.0.0/16"), {"network.pods": "servers"}),
        (lambda c: c["network"].update(services="10.61.0.0/16"), {"network.services": "servers"}),
        (lambda c: c["cluster"].update(tlsSans=["k8s.example.org"]), {"cluster.tlsSans": "servers"}),
        (lambda c: c["machines"]["agent-a"].update(taints=["a=b:NoSchedule"]), {"taints": "agent-a"}),
        (lambda c: c["machines"]["agent-a"].update(labels={"disk": "fast"}), {"labels.disk": "agent-a"}),
    ],
)  # fmt: skip
def test_what_is_frozen_into_a_machine_differs_by_its_own_name(change, names):
    before, after = settings(), settings(change)
    found = {
        name: [difference.setting for difference in differences(record(before, name), record(after, name))]
        for name in before.machines
    }
    ((setting, whose),) = names.items()
    for name, differing in found.items():
        touched = whose in ("both", name) or (whose == "servers" and name.startswith("server"))
        assert differing == ([setting] if touched else []), name


def test_what_is_not_frozen_makes_no_difference():
    def change(config):
        config["machines"]["agent-a"] |= {"generation": 5, "address": "10.9.0.99"}
        config |= {"timeouts": {"step": 900}, "retire": ["agent-a-4"]}

    assert differences(record(settings(), "agent-a"), record(settings(change), "agent-a")) == []


def test_the_order_of_a_list_makes_no_difference():
    one = settings(lambda c: c["k3s"].update(disable=["traefik", "servicelb"]))
    other = settings(lambda c: c["k3s"].update(disable=["servicelb", "traefik"]))
    assert differences(record(one, "server-a"), record(other, "server-a")) == []


def test_the_warning_is_one_line_with_every_setting_old_and_new_and_the_way_out():
    def change(config):
        config["machines"]["agent-a"]["labels"] = {"disk": "fast"}
        config["k3s"]["kubeletArgs"] = ["max-pods=200"]

    old = {**record(settings(), "agent-a"), "labels": {"rack": "1"}}
    assert warning(settings(change), "agent-a", old) == (
        'agent-a-4 was paved with other settings: k3s.kubeletArgs nothing → ["max-pods=200"], labels.disk nothing → fast, '
        "labels.rack 1 → nothing. To adopt today's, replace it: generation 5 for agent-a, and agent-a-4 on seedbed:retire"
    )


def test_nothing_is_said_of_a_machine_that_was_paved_as_it_would_be_today():
    assert warning(settings(), "agent-a", record(settings(), "agent-a")) is None


def test_a_machine_that_is_there_has_the_role_that_it_was_paved_in():
    there = {name: record(settings(), name) for name in ("server-b", "server-c", "agent-a")}
    assert list(role_problems(settings(), there)) == []

    def change(config):
        for name in ("server-b", "server-c"):
            config["machines"][name]["role"] = "agent"

    assert list(role_problems(settings(change), there)) == [
        f"seedbed:machines.server-{letter}: server-{letter}-1 was paved as a server, and stays one: put it back, or replace it by an agent: "
        f"generation 2 for server-{letter}, and server-{letter}-1 on seedbed:retire"
        for letter in "bc"
    ]


@pytest.mark.parametrize("wanted", ["v1.34.2+k3s1", "v1.34.2+k3s2", "v1.34.9+k3s1", "v1.35.0+k3s1"])
def test_the_same_a_later_patch_and_the_next_minor_may_follow(wanted):
    there = paved(server_a="v1.34.2+k3s1", server_b="v1.34.2+k3s1", server_c="v1.34.2+k3s1", agent_a="v1.34.2+k3s1",
                  agent_b="v1.34.2+k3s1")  # fmt: skip
    assert list(version_problems(at(wanted), there)) == []


@pytest.mark.parametrize("wanted", ["v1.33.9+k3s1", "v1.34.1+k3s9", "v1.34.10+k3s1"])
def test_an_older_version_is_refused_with_the_one_to_set(wanted):
    (problem,) = version_problems(at(wanted), paved(server_a="v1.34.10+k3s2", agent_a="v1.34.2+k3s1"))
    assert "Kubernetes does not go back: set v1.34.10+k3s2" in problem
    assert "server-a-1 (v1.34.10+k3s2)" in problem


def test_a_skipped_minor_is_refused_with_the_one_between():
    there = paved(server_a="v1.34.2+k3s1", server_b="v1.35.0+k3s1", agent_a="v1.34.2+k3s1", agent_b="v1.34.2+k3s1")
    (problem,) = version_problems(at("v1.36.0+k3s1"), there)
    assert (
        "more than 1 minor version ahead of server-a-1 (v1.34.2+k3s1). Replace every server with a v1.35 first"
        in problem
    )


def test_agents_may_be_three_minors_behind_and_no_more():
    servers = {f"server_{n}": "v1.37.0+k3s1" for n in "abc"}
    assert (
        list(version_problems(at("v1.37.0+k3s1"), paved(**servers, agent_a="v1.34.2+k3s1", agent_b="v1.37.0+k3s1")))
        == []
    )
    servers = dict.fromkeys(servers, "v1.38.0+k3s1")
    (problem,) = version_problems(at("v1.38.0+k3s1"), paved(**servers, agent_a="v1.34.2+k3s1", agent_b="v1.38.0+k3s1"))
    assert (
        "more than 3 minor versions ahead of agent-a-4 (v1.34.2+k3s1). Replace every agent with a v1.37 first"
        in problem
    )


def test_a_new_agent_waits_until_the_last_old_server_is_replaced():
    old = dict.fromkeys(("server_b", "server_c", "agent_b"), "v1.34.2+k3s1")
    # agent-a is new.
    (problem,) = version_problems(at("v1.35.0+k3s1"), paved(server_a="v1.35.0+k3s1", **old))
    assert "agent-a-4 would have v1.35.0+k3s1, and a kubelet must not be newer than a server" in problem
    assert "replace server-b-1 (v1.34.2+k3s1), server-c-1 (v1.34.2+k3s1) first" in problem
    servers = {f"server_{n}": "v1.35.0+k3s1" for n in "abc"}
    assert list(version_problems(at("v1.35.0+k3s1"), paved(**servers, agent_b="v1.34.2+k3s1"))) == []


def test_a_patch_of_the_same_minor_reaches_agents_in_any_order():
    old = dict.fromkeys(("server_a", "server_b", "server_c", "agent_b"), "v1.34.2+k3s1")
    assert list(version_problems(at("v1.34.9+k3s1"), paved(**old))) == []


def test_nothing_is_there_nothing_is_in_the_way():
    assert list(version_problems(at("v1.36.0+k3s1"), {})) == []


def test_a_machine_that_the_settings_no_longer_have_counts_no_more():
    there = {"agent-x": {"role": "agent", "k3s.version": "v1.30.0+k3s1"}}
    assert list(version_problems(at("v1.36.0+k3s1"), there)) == []


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("v1.34.2+k3s1", None),
        ("v1.35.0+k3s1", None),
        (
            "v1.37.0+k3s1",
            "seedbed:k3s.version: v1.37.0+k3s1 is more than 1 minor version ahead of server-a-3 (v1.34.2+k3s1)",
        ),
        ("v1.33.9+k3s1", "seedbed:k3s.version: v1.33.9+k3s1 is older than server-a-3 (v1.34.2+k3s1)"),
    ],
)
def test_the_version_of_a_next_generation_must_be_one_that_may_follow_that_of_the_one_which_leaves(wanted, said):
    """Which may be all that there is of the cluster: the only server, or all machines bumped at once."""
    old = record(at("v1.34.2+k3s1"), "server-a")
    found = succession_problems(at(wanted), "server-a-3", old)
    assert [line[: len(said)] for line in found] == ([said] if said else []), found
    assert succession_problems(at(wanted), "server-x-1", old) == []


def test_another_endpoint_is_in_the_certificates_of_servers_that_are_paved_with_it():
    after = settings(lambda config: config["cluster"].update(endpoint="k8s.example.org"))
    found = differences(record(settings(), "server-a"), record(after, "server-a"))
    assert [str(difference) for difference in found] == ["cluster.endpoint nothing → k8s.example.org"]
    assert differences(record(settings(), "agent-a"), record(after, "agent-a")) == []
