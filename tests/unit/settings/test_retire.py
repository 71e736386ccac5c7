"""The list of machines that may leave."""

import pytest

from stacks.config import ROOT
from stacks.settings import parse
from tests.unit.settings.test_settings import changed, problems


def test_without_it_no_machine_may_leave():
    assert parse(changed(), "", ROOT).retire == ()


def test_machines_that_are_gone_that_stay_and_that_are_replaced_may_be_named_in_the_order_of_the_file():
    names = ["server-a-1", "agent-x-7", "agent-a-1"]
    assert parse(changed(machines__agent_a__generation=2, retire=names), "", ROOT).retire == tuple(names)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("agent-a-1", "must be a list of machines with their generations, such as [agent-a-1]"),
        ({"agent-a-1": True}, "must be a list of machines with their generations, such as [agent-a-1]"),
        ([1], "must be a list of machines with their generations, such as [agent-a-1]"),
        (["agent-a"], "'agent-a' is not a machine with its generation, such as agent-a-1"),
        (["agent-a-01"], "'agent-a-01' is not a machine with its generation, such as agent-a-1"),
        (["agent-a-0"], "'agent-a-0' is not a machine with its generation, such as agent-a-1"),
        (["Agent-1"], "'Agent-1' is not a machine with its generation, such as agent-a-1"),
        (["agent-a-1", "agent-a-1"], "agent-a-1 is there twice"),
    ],
)
def test_what_is_no_list_of_full_names_is_refused(value, problem):
    assert problems(changed(retire=value)) == [f"seedbed:retire: {problem}"]
