"""The running cluster as `seedbed up` looks at it: who is there. No kubectl, no SSH."""

import datetime
import getpass
import json
import os
import socket
import ssl
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from seedbed import UserError
from stacks.identity import Identity, KeyPair

TIMEOUT_SECONDS = 10
_ROLE_LABEL = "node-role.kubernetes.io/"


@dataclass(frozen=True)
class Node:
    """One line of `kubectl get nodes`."""

    name: str
    roles: str
    ready: bool
    version: str
    address: str


def short_lived(identity: Identity, lifetime: datetime.timedelta) -> KeyPair:
    """An admin certificate for whoever runs this; the API server's audit log shows the name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    # X.509 allows 64 characters for a common name (RFC 5280, ub-common-name).
    return identity.client_certificate(f"{user}@{socket.gethostname()}"[:64], lifetime)


def nodes(identity: Identity, api_url: str) -> list[Node]:
    """The cluster's nodes by name. Raises UserError where the API does not answer."""
    client = short_lived(identity, datetime.timedelta(minutes=10))
    context = ssl.create_default_context(cadata=identity.files["server-ca.crt"])
    # OpenSSL takes a client's certificate from a file only.
    with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
        pem = Path(folder) / "client.pem"
        pem.touch(0o600)
        pem.write_text(client.crt + client.key)
        context.load_cert_chain(pem)
    request = urllib.request.Request(f"{api_url}/api/v1/nodes", headers={"Accept": "application/json"})
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # the cluster's address is never behind the proxy of the way out
        urllib.request.HTTPSHandler(context=context),
    )
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as reply:
            items = json.load(reply)["items"]
    except (URLError, OSError, ValueError, KeyError) as error:
        raise UserError(f"the Kubernetes API at {api_url} does not answer: {error}") from error
    return sorted((parse_node(item) for item in items), key=lambda node: node.name)


def parse_node(item: dict[str, object]) -> Node:
    """A Node object of the API, reduced to what a person asks first."""
    metadata: dict[str, object] = _map(item, "metadata")
    status = _map(item, "status")
    labels = _map(metadata, "labels")
    roles = sorted(label.removeprefix(_ROLE_LABEL) for label in labels if label.startswith(_ROLE_LABEL))
    addresses = {str(entry["type"]): str(entry["address"]) for entry in _list(status, "addresses")}
    conditions = {str(entry["type"]): str(entry["status"]) for entry in _list(status, "conditions")}
    return Node(
        name=str(metadata.get("name", "")),
        roles=",".join(roles) or "agent",
        ready=conditions.get("Ready") == "True",
        version=str(_map(status, "nodeInfo").get("kubeletVersion", "")),
        address=addresses.get("InternalIP", ""),
    )


def _map(of: dict[str, object], key: str) -> dict[str, object]:
    value = of.get(key)
    return value if isinstance(value, dict) else {}


def _list(of: dict[str, object], key: str) -> list[dict[str, object]]:
    value = of.get(key)
    return value if isinstance(value, list) else []


def table(found: list[Node]) -> list[str]:
    """The nodes as lines of text with a heading."""
    rows = [("NODE", "STATUS", "ROLES", "VERSION", "ADDRESS")]
    rows += [(n.name, "Ready" if n.ready else "NotReady", n.roles, n.version, n.address) for n in found]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
