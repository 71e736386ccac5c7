import pytest
import yaml

from seedbed.edits import CannotEditError, difference, edited

BLOCK = """\
# why this stack exists
encryptionsalt: v1:abc
config:
  seedbed:machines:  # ours
    server-a:
      role: server
      address: 10.0.0.11  # rack 1
    # the old one
    agent-a:
      role: agent
      address: 10.0.0.21
      generation: 3
  seedbed:k3s:
    version: v1.34.2+k3s1
"""

FLOW = """\
config:
  seedbed:machines:
    server-a: {role: server, address: 10.0.0.11}
    agent-a: {generation: 3, role: agent, address: 10.0.0.21}  # ours
"""

POOLS = """\
config:
  seedbed:pools:
    servers:
      role: server
      machines:
        server-a: {}
    agents:
      role: agent
      machines:
        agent-a: {}
        agent-b: {generation: 2}
"""


def changed_lines(old, new):
    return [line for line in difference(old, new, "x")[2:] if line[0] in "+-"]


def test_a_block_gets_the_generation_below_the_address_and_the_list_below_the_machines():
    new = edited(BLOCK, "server-a", {"generation": 2, "address": "10.0.0.12"}, ["server-a-1"])
    assert changed_lines(BLOCK, new) == [
        "-      address: 10.0.0.11  # rack 1",
        "+      address: 10.0.0.12  # rack 1",
        "+      generation: 2",
        "+  seedbed:retire: [server-a-1]",
    ]


def test_a_generation_that_is_there_is_bumped_where_it_stands():
    new = edited(BLOCK, "agent-a", {"generation": 4, "address": "10.0.0.22"}, [])
    assert changed_lines(BLOCK, new) == [
        "-      address: 10.0.0.21",
        "-      generation: 3",
        "+      address: 10.0.0.22",
        "+      generation: 4",
    ]


def test_a_flow_map_stays_on_its_line_with_its_comment():
    new = edited(FLOW, "agent-a", {"generation": 4, "address": "10.0.0.22"}, ["agent-a-3"])
    assert new.splitlines()[3:] == [
        "    agent-a: {generation: 4, role: agent, address: 10.0.0.22}  # ours",
        "  seedbed:retire: [agent-a-3]",
    ]
    new = edited(FLOW, "server-a", {"generation": 2}, [])
    assert new.splitlines()[2] == "    server-a: {role: server, address: 10.0.0.11, generation: 2}"


@pytest.mark.parametrize(
    ("machine", "generation", "line"),
    [("agent-a", 2, "        agent-a: {generation: 2}"), ("agent-b", 3, "        agent-b: {generation: 3}")],
)
def test_a_machine_of_a_pool_is_found_in_its_pool(machine, generation, line):
    new = edited(POOLS, machine, {"generation": generation}, [f"{machine}-{generation - 1}"])
    assert line in new.splitlines()
    assert new.splitlines()[-1] == f"  seedbed:retire: [{machine}-{generation - 1}]"


@pytest.mark.parametrize(
    ("before", "retire", "after"),
    [
        ("  seedbed:retire: [a-1, b-1]\n", ["b-1", "c-1"], "  seedbed:retire: [b-1, c-1]\n"),
        ("  seedbed:retire: [a-1]  # soon\n", ["b-1"], "  seedbed:retire: [b-1]  # soon\n"),
        ("  seedbed:retire: [a-1]\n", [], ""),
        ("  seedbed:retire: [a-1]  # soon\n", [], "  seedbed:retire: []  # soon\n"),
        ("  seedbed:retire: []\n", ["a-1"], "  seedbed:retire: [a-1]\n"),
        ("  seedbed:retire:\n", ["a-1"], "  seedbed:retire: [a-1]\n"),
        ("  seedbed:retire:\n    - a-1\n    - b-1  # soon\n", ["b-1", "c-1"], "  seedbed:retire:\n    - b-1  # soon\n    - c-1\n"),
        ("  seedbed:retire:\n  - a-1\n  - b-1\n", ["c-1"], "  seedbed:retire:\n  - c-1\n"),
        ("  seedbed:retire:\n    - a-1\n    - b-1\n", [], ""),
    ],
)  # fmt: skip
def test_the_list_stays_as_it_is_written(before, retire, after):
    behind = "  seedbed:machines:\n    agent-a: {role: agent}\n"
    assert edited(f"config:\n{before}{behind}", None, {}, retire) == f"config:\n{after}{behind}"


def test_the_last_line_needs_no_end():
    text = "config:\n  seedbed:machines:\n    agent-a: {role: agent}\n  seedbed:retire: [a-1]"
    assert edited(text, None, {}, []) == text.rpartition("\n")[0] + "\n"
    assert edited(text.rpartition("\n")[0], None, {}, ["a-1"]) == text


def test_the_ends_of_lines_stay_what_they_are():
    new = edited(BLOCK.replace("\n", "\r\n"), "server-a", {"generation": 2}, ["server-a-1"])
    assert new.replace("\r\n", "\n") == edited(BLOCK, "server-a", {"generation": 2}, ["server-a-1"])
    assert new.count("\n") == new.count("\r\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            BLOCK.replace("server-a:", "server-a: &x").replace("    # the old one\n", "    other: *x\n"),
            "share an anchor",
        ),
        ("config:\n  seedbed:machines: {server-a: {role: server}\n", "expected"),
        ("config:\n  seedbed:machines: {}\n", "no map of its own for server-a"),
        ("config: 7\n", "no map `config`"),
        (BLOCK + "  seedbed:retire:\n    - a-1  # soon\n", "comments inside"),
        (BLOCK + "  seedbed:retire: {a-1: x}\n", "no list of names"),
    ],
)
def test_what_cannot_be_edited_without_touching_more_is_left_to_its_author(text, why):
    with pytest.raises(CannotEditError, match=why):
        edited(text, "server-a", {"generation": 2}, [])


def test_a_host_key_is_written_as_it_reads_back():
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICS8qBGfQGPCVBdrT19pMOtX8RyBpVLKkjxexymr4LA+"
    new = yaml.safe_load(edited(FLOW, "server-a", {"hostKey": key}, []))
    assert new["config"]["seedbed:machines"]["server-a"]["hostKey"] == key
