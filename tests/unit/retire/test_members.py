"""When one of the cluster's members may leave."""

import pytest

from components.retire.members import Member, obstacle, parse, stays_able

WELL = {"ready": True, "votes": True}


def servers(*well):
    return [Member(f"server-{'abcde'[i]}-1", server=True, ready=one, votes=one) for i, one in enumerate(well)]


def test_the_lines_of_a_server_are_read_as_members():
    text = (
        "time passes\nnode server-a-1|true|True|True\nnode agent-a-1||False|\nnode server-b-1|true|True|False\nseen\n"
    )
    assert parse(text) == {
        "server-a-1": Member("server-a-1", server=True, **WELL),
        "agent-a-1": Member("agent-a-1", server=False, ready=False, votes=False),
        "server-b-1": Member("server-b-1", server=True, ready=True, votes=False),
    }


@pytest.mark.parametrize(
    ("others", "alive", "may"),
    [
        # One that is alive is only let go by others that are all well.
        ([True, True], True, True),
        ([True], True, True),
        ([True, False], True, False),
        ([True, True, False], True, False),
        ([], True, False),
        # One that is dead goes as long as those who remain can decide.
        ([True, True], False, True),
        ([True, True, False], False, True),
        ([True, False], False, False),
        ([True, False, False], False, False),
        ([], False, False),
    ],
)
def test_a_server_leaves_only_a_cluster_that_can_go_on(others, alive, may):
    assert (obstacle(servers(*others), alive=alive) is None) is may


def test_who_is_not_well_is_named_with_what_it_lacks():
    ill = Member("server-c-1", server=True, ready=True, votes=False)
    assert (
        obstacle([*servers(True), ill], alive=True)
        == "another server is not well: server-c-1 is Ready and does not vote"
    )


@pytest.mark.parametrize(("others", "able"), [(1, False), (2, True), (3, True), (4, True)])
def test_of_two_servers_none_may_stop_before_it_is_removed(others, able):
    assert stays_able(servers(*[True] * others)) is able
