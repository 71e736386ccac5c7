"""What a machine of the cloud is told about itself at 169.254.169.254, as DigitalOcean's metadata service says it.

Source: https://docs.digitalocean.com/reference/api/metadata/
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Interface, IPv4Network
from typing import Any

Tree = Mapping[str, "Tree | str"]

ROOT = "/metadata/v1"
IDLE_SECONDS = 10.0


@dataclass(frozen=True)
class Subject:
    """A machine as the service knows it.

    Args:
        public: its address in `subnet`.
        private: its address in its VPC, with the prefix length.
        mac: of its link, which both addresses are on.
        nameserver: that it resolves names by.
        reserved: the reserved address that leads to it; None where none does.
        region: the slug of where it is.
    """

    id: int
    name: str
    public: str
    subnet: str
    private: str
    mac: str
    nameserver: str
    user_data: str = field(repr=False)
    ssh_keys: tuple[str, ...]
    reserved: str | None
    region: str

    @staticmethod
    def from_json(note: Mapping[str, Any]) -> "Subject":
        """What `to_json` gave."""
        return Subject(**{**note, "ssh_keys": tuple(note["ssh_keys"])})

    def to_json(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


@dataclass(frozen=True)
class Answer:
    """Of the service: a status, a body, where to look instead."""

    status: HTTPStatus
    body: str = ""
    kind: str = "text/plain; charset=utf-8"
    location: str | None = None


def answer(subject: Subject | None, path: str) -> Answer:
    """What the service says to a machine that asks for `path`; None is somebody it does not know."""
    if subject is None:
        return Answer(HTTPStatus.NOT_FOUND, "not found\n")
    if path == f"{ROOT}.json":
        return Answer(HTTPStatus.OK, json.dumps(document(subject)), "application/json")
    if path == ROOT:
        return Answer(HTTPStatus.MOVED_PERMANENTLY, location=f"{ROOT}/")
    if not path.startswith(f"{ROOT}/"):
        return Answer(HTTPStatus.NOT_FOUND, "not found\n")
    words = path.removeprefix(f"{ROOT}/").split("/")
    node: Tree | str | None = tree(subject)
    for word in filter(None, words):
        node = node.get(word) if isinstance(node, Mapping) else None
    if isinstance(node, str):
        return Answer(HTTPStatus.OK, node)
    if node is None:
        return Answer(HTTPStatus.NOT_FOUND, "not found\n")
    if words[-1]:
        return Answer(HTTPStatus.MOVED_PERMANENTLY, location=f"{path}/")
    return Answer(
        HTTPStatus.OK, "\n".join(name if isinstance(value, str) else f"{name}/" for name, value in node.items())
    )


def tree(subject: Subject) -> Tree:
    """Everything below `/metadata/v1/`, a folder a mapping."""
    reserved: Tree = {"active": "true" if subject.reserved else "false"}
    if subject.reserved:
        reserved = {**reserved, "ip_address": subject.reserved}
    return {
        "id": str(subject.id),
        "hostname": subject.name,
        "user-data": subject.user_data,
        "vendor-data": "",
        "public-keys": "\n".join(subject.ssh_keys),
        "region": subject.region,
        "interfaces": {
            kind: {
                "0": {
                    "ipv4": {"address" if key == "ip_address" else key: value for key, value in link["ipv4"].items()},
                    "mac": link["mac"],
                    "type": kind,
                }
            }
            for kind, link in _interfaces(subject).items()
        },
        "dns": {"nameservers": subject.nameserver},
        "reserved_ip": {"ipv4": reserved},
    }


def document(subject: Subject) -> dict[str, Any]:
    """`/metadata/v1.json`."""
    reserved: dict[str, Any] = {"active": subject.reserved is not None}
    if subject.reserved:
        reserved["ip_address"] = subject.reserved
    return {
        "droplet_id": subject.id,
        "hostname": subject.name,
        "user_data": subject.user_data,
        "vendor_data": "",
        "public_keys": list(subject.ssh_keys),
        "region": subject.region,
        "interfaces": {kind: [link] for kind, link in _interfaces(subject).items()},
        "dns": {"nameservers": [subject.nameserver]},
        "reserved_ip": {"ipv4": reserved},
    }


def _interfaces(subject: Subject) -> dict[str, dict[str, Any]]:
    subnet, private = IPv4Network(subject.subnet), IPv4Interface(subject.private)
    addresses = {
        "public": {"ip_address": subject.public, "netmask": str(subnet.netmask), "gateway": str(subnet[1])},
        "private": {"ip_address": str(private.ip), "netmask": str(private.netmask), "gateway": str(private.network[1])},
    }
    return {kind: {"ipv4": ipv4, "mac": subject.mac, "type": kind} for kind, ipv4 in addresses.items()}


class Server(ThreadingHTTPServer):
    """The service; who asks is known by the address that the question comes from."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: str, port: int) -> None:
        """Bind, in the namespace of the calling thread."""
        self._subjects: dict[str, Subject] = {}
        super().__init__((address, port), _Handler)

    def know(self, subjects: Sequence[Subject]) -> None:
        """These are all machines from now on."""
        known = {}
        for subject in subjects:
            for address in (subject.public, str(IPv4Interface(subject.private).ip)):
                known[address] = subject
        self._subjects = known

    def subject(self, address: str) -> Subject | None:
        """The machine at this address."""
        return self._subjects.get(address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        found = answer(self.server.subject(self.client_address[0]), self.path.partition("?")[0])
        body = found.body.encode()
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(body)))
        if found.location is not None:
            self.send_header("Location", found.location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a log of who asked would tell nothing that the tests do not."""
