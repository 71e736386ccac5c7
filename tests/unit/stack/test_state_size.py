"""What the state is not told."""

import json
import sys
import textwrap
import traceback

import pytest

from stacks.state_size import without_stack_traces
from tests.unit.stack.conftest import SECRET, SIGNATURE


def test_no_resource_carries_the_stack_that_made_it(run):
    for resource in run("existing").resources:
        assert not resource.request.stackTrace.frames, resource.name


def test_an_error_that_leaves_the_block_is_shown_whole():
    def inner():
        raise ValueError("why")

    with pytest.raises(ValueError, match="why") as caught, without_stack_traces():
        inner()
    assert not hasattr(sys, "tracebacklimit")
    assert "in inner" in "".join(traceback.format_exception(caught.value))


LIMIT = 190_000
"""Characters, of the 200 000 that the exported state of the dev stack may have: a state's outputs are only estimated here."""

RESULTS = 900
"""What is added to a step: two encrypted texts, times and ids. An object of the cluster has its live form's own fields."""


def test_the_dev_stacks_state_is_small(run):
    """As `pulumi stack export` prints it: the inputs come back as outputs, those of a Kubernetes object twice."""
    size = 0
    for resource in run("dev").resources:
        copies = 3 if resource.type.startswith("kubernetes:") else 2
        request = resource.request
        kept = {
            "inputs": [encrypted(resource.inputs)] * copies,
            "urn": f"urn:pulumi:dev::seedbed::{request.parent}$${resource.type}::{resource.name}",
            "parent": request.parent,
            "dependencies": list(request.dependencies),
            "propertyDependencies": {name: [] for name in request.propertyDependencies},
            "ignoreChanges": list(request.ignoreChanges),
        }
        # An export indents a resource by three steps of four.
        text = textwrap.indent(json.dumps(kept, indent=4), " " * 12)
        # The engine writes these as \u003c and so on.
        size += len(text) + 5 * sum(map(text.count, "<>&")) + RESULTS
    assert size < LIMIT


def encrypted(value):
    """The value as the state keeps it: secrets are encrypted, which makes them a third longer."""
    if isinstance(value, list):
        return [encrypted(part) for part in value]
    if not isinstance(value, dict):
        return value
    if value.get(SIGNATURE) == SECRET:
        return {SIGNATURE: SECRET, "ciphertext": "v1:" + "x" * (len(json.dumps(value["value"])) * 4 // 3 + 40)}
    return {key: encrypted(part) for key, part in value.items()}
