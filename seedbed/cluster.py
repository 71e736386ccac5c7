"""The running cluster as commands look at it: where its API is, and which nodes are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seedbed import engine, environment
from seedbed.kube import Api, columns, items, section
from seedbed.stackfile import StackFile
from stacks.settings import Settings

_ROLE_LABEL = "node-role.kubernetes.io/"

API_URL = "apiUrl"
"""The stack's output."""


@dataclass(frozen=True)
class Node:
    """One line of `kubectl get nodes`."""

    name: str
    roles: str
    ready: bool
    version: str
    address: str


def api_url(stack: StackFile, settings: Settings, environ: Mapping[str, str]) -> str:
    """Where the API is reached from outside: what the settings say, or where only the cloud knows it, the stack's state.

    Raises UserError where the state cannot be read, or nothing is there yet.
    """
    if settings.api_url is not None:
        return settings.api_url
    return engine.output(stack, API_URL, environment.of(stack, environ))


def nodes(api: Api) -> list[Node]:
    """The cluster's nodes by name. Raises UserError where the API does not answer."""
    return sorted(map(parse_node, api.items("/api/v1/nodes")), key=lambda node: node.name)


def parse_node(item: Mapping[str, Any]) -> Node:
    """A Node object of the API, reduced to what a person asks first."""
    metadata, status = section(item, "metadata"), section(item, "status")
    labels = section(metadata, "labels")
    roles = sorted(label.removeprefix(_ROLE_LABEL) for label in labels if label.startswith(_ROLE_LABEL))
    addresses = {str(entry["type"]): str(entry["address"]) for entry in items(status.get("addresses"))}
    conditions = {str(entry["type"]): str(entry["status"]) for entry in items(status.get("conditions"))}
    return Node(
        name=str(metadata.get("name", "")),
        roles=",".join(roles) or "agent",
        ready=conditions.get("Ready") == "True",
        version=str(section(status, "nodeInfo").get("kubeletVersion", "")),
        address=addresses.get("InternalIP", ""),
    )


def table(found: Sequence[Node]) -> list[str]:
    """The nodes as lines of text with a heading."""
    rows = [("NODE", "STATUS", "ROLES", "VERSION", "ADDRESS")]
    rows += [(n.name, "Ready" if n.ready else "NotReady", n.roles, n.version, n.address) for n in found]
    return columns(rows)
