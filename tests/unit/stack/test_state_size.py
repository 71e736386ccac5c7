"""What the state is not told."""

import sys
import traceback

import pytest

from stacks.state_size import without_stack_traces


def test_no_resource_carries_the_stack_that_made_it(run):
    for resource in run("prod").resources:
        assert not resource.request.stackTrace.frames, resource.name


def test_an_error_that_leaves_the_block_is_shown_whole():
    def inner():
        raise ValueError("why")

    with pytest.raises(ValueError, match="why") as caught, without_stack_traces():
        inner()
    assert not hasattr(sys, "tracebacklimit")
    assert "in inner" in "".join(traceback.format_exception(caught.value))
