"""What a change of a stack's settings would do to its resources."""

import json

from tests.lab.stacks import Stack

STEPS = ("wait", "base", "docker", "k3s")
PARTS = (
    "command:remote:CopyToRemote::{}-scripts",
    "pulumi:index:Stash::{}-member",
    *(f"command:remote:Command::{{}}-{step}" for step in STEPS),
)


def previewed(stack: Stack) -> dict[str, str]:
    """The type and name of each resource that a preview would touch -> what it would do to it."""
    steps = json.loads(stack.pulumi("preview", "--json").stdout)["steps"]
    return {step["urn"].split("::", 2)[2]: step["op"] for step in steps if step["op"] != "same"}


def whole_machine(name: str, operation: str) -> dict[str, str]:
    """All resources of one machine, each with the same operation, as `previewed` gives them."""
    commands = {f"seedbed:pave:Node${part.format(name)}": operation for part in PARTS}
    return commands | {f"seedbed:metal:ExistingHost::{name}": operation, f"seedbed:pave:Node::{name}": operation}
