"""The lab's cloud over a hypervisor on paper, served in the test's own process, for the digitalocean plugin."""

import json
import secrets
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from lab.cloud import server
from lab.cloud.core import Account, Delays
from lab.cloud.limits import Limits
from lab.cloud.paper import PaperHypervisor

SUBNET = "10.95.7.0/24"


@dataclass
class PaperCloud:
    """The cloud's API, and how to look behind it."""

    url: str
    paper: PaperHypervisor
    token: str = field(repr=False)
    token_read_only: str = field(repr=False)

    def environment(self, **changes: str) -> dict[str, str]:
        """What the provider needs to use it; pauses are short."""
        return {
            "DIGITALOCEAN_API_URL": self.url,
            "DIGITALOCEAN_TOKEN": self.token,
            "DIGITALOCEAN_HTTP_RETRY_WAIT_MIN": "0.2",
            **changes,
        }

    def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to a request of the test's own."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
            raw = response.read()
        return json.loads(raw) if raw else None

    def fault(self, kind: str, method: str, path: str, **settings: Any) -> None:
        """Has the next requests that fit go wrong; see `lab.cloud.faults`."""
        self.request("POST", "/lab/faults", {"kind": kind, "method": method, "path": path, **settings})

    def requests(self) -> list[tuple[str, str, int]]:
        """Method, path without its query, and status of every request but the lab's own, since the last `forget`."""
        listed = self.request("GET", "/lab/requests")["requests"]
        return [(one["method"], one["path"].partition("?")[0], one["status"]) for one in listed]

    def forget(self) -> None:
        """Begins the list of requests anew."""
        self.request("DELETE", "/lab/requests")

    def census(self) -> dict[str, list[str]]:
        """What there is: names by kind."""
        return {kind: one["names"] for kind, one in self.request("GET", "/lab/census").items()}

    def only(self, kind: str, path: str = "") -> dict[str, Any]:
        """The one thing of its kind, as the API shows it."""
        (found,) = self.request("GET", path or f"/v2/{kind}")[kind]
        shown: dict[str, Any] = found
        return shown


@contextmanager
def paper_cloud(folder: Path, **traits: Any) -> Iterator[PaperCloud]:
    """Serves a new cloud on loopback; `delays`, `limits`, `account`, `subnet` and `paper`, the hypervisor, may be others than
    the usual ones."""
    folder.mkdir(parents=True)
    tokens = {name: secrets.token_hex() for name in ("token", "token_read_only")}
    for name, token in tokens.items():
        (folder / name).write_text(f"{token}\n")
    paper = traits.get("paper") or PaperHypervisor()
    config = {
        "state": str(folder / "state.json"),
        "subnet": str(IPv4Network(traits.get("subnet", SUBNET))),
        "port": 0,
        **{name: str(folder / name) for name in tokens},
        "delays": vars(traits.get("delays", Delays(0.1, 0.1, 0.1))),
        "limits": vars(traits.get("limits", Limits())),
        "account": vars(traits.get("account", Account(used_regions=("fra1",)))),
        "fingerprint": "conformance",
    }
    made = server.build(config, paper, log=lambda line: None)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield PaperCloud(f"http://127.0.0.1:{made.server_address[1]}", paper, **tokens)
    finally:
        made.shutdown()
        made.server_close()
        thread.join()
