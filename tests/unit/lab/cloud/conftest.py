import http.client
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab.cloud import server
from lab.cloud.core import NO_DELAYS, Account, Cloud, Delays
from lab.cloud.limits import Limits
from lab.cloud.paper import PaperHypervisor
from lab.cloud.server import Server

ACCOUNT, LIMITS = Account(used_regions=("fra1", "nyc3")), Limits()
SUBNET = IPv4Network("10.95.7.0/24")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: Any

    def ok(self) -> Any:
        assert self.status < 300, self.body
        return self.body

    def error(self) -> tuple[int, str, str]:
        """Status, id and message; every error has these and a request id."""
        assert set(self.body) == {"id", "message", "request_id"}
        return self.status, self.body["id"], self.body["message"]


@dataclass
class Api:
    """A client of a cloud that is served on loopback over a hypervisor on paper."""

    server: Server
    token: str = field(repr=False)
    token_read_only: str = field(repr=False)

    @property
    def cloud(self) -> Cloud:
        return self.server.site.cloud

    @property
    def paper(self) -> PaperHypervisor:
        assert isinstance(self.cloud.hypervisor, PaperHypervisor)
        return self.cloud.hypervisor

    def request(self, method: str, path: str, body: object = None, token: str | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=10)
        try:
            headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(raw) if raw else None)

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: object = None) -> Answer:
        return self.request("POST", path, body)

    def put(self, path: str, body: object) -> Answer:
        return self.request("PUT", path, body)

    def delete(self, path: str, body: object = None) -> Answer:
        return self.request("DELETE", path, body)

    def settle(self) -> None:
        """Until the cloud has nothing under way."""
        assert self.cloud.wait_idle()

    def droplet(self, name: str = "web-1", **more: object) -> Any:
        """A new droplet, as it is once it is up."""
        made = self.post("/v2/droplets", droplet(name, **more)).ok()["droplet"]
        self.settle()
        return self.get(f"/v2/droplets/{made['id']}").ok()["droplet"]

    def act(self, path: str, type: str, **more: object) -> Any:
        """An action, as it is when it has ended."""
        action = self.post(f"{path}/actions", {"type": type, **more}).ok()["action"]
        assert action["status"] == "in-progress"
        self.settle()
        return self.get(f"/v2/actions/{action['id']}").ok()["action"]


def droplet(name: str = "web-1", **more: object) -> dict[str, object]:
    """What a droplet's creation asks for."""
    return {"name": name, "region": "fra1", "size": "s-2vcpu-4gb", "image": "debian-12-x64", **more}


Start = Callable[..., Api]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Serve a cloud of these traits; again with the same folder: what the last one left. Ended with the test."""
    tokens = {"token": secrets.token_hex(), "token_read_only": secrets.token_hex()}
    for name, token in tokens.items():
        (tmp_path / name).write_text(f"{token}\n")
    servers: list[Server] = []

    def run(
        delays: Delays = NO_DELAYS,
        limits: Limits = LIMITS,
        account: Account = ACCOUNT,
        hypervisor: PaperHypervisor | None = None,
    ) -> Api:
        config = {
            "state": str(tmp_path / "state.json"),
            "subnet": str(SUBNET),
            "port": 0,
            "token": str(tmp_path / "token"),
            "token_read_only": str(tmp_path / "token_read_only"),
            "delays": vars(delays),
            "limits": vars(limits),
            "account": vars(account),
            "fingerprint": "1234",
        }
        made = server.build(config, hypervisor or PaperHypervisor(), log=lambda line: None)
        servers.append(made)
        threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return Api(made, **tokens)

    yield run
    for made in servers:
        made.shutdown()
        made.server_close()


@pytest.fixture
def api(start: Start) -> Api:
    return start()
