"""Somebody who works with a cluster all along, by the kubeconfig of its first day and whichever server answers."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any

from seedbed import UserError
from seedbed.kube import Api

NODES = "/api/v1/nodes"
LEDGER = "/api/v1/namespaces/default/configmaps/ledger"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


class FirstDay:
    """Calls with the credentials and the CA of the first day. A machine's address is told to it when the machine has joined."""

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig
        self._apis: list[Api] = []
        self._lock = threading.Lock()

    def know(self, address: str) -> None:
        """One server more to ask."""
        config = json.loads(self._kubeconfig)
        config["clusters"][0]["cluster"]["server"] = f"https://{address}:6443"
        with self._lock:
            self._apis.append(Api.of_kubeconfig(json.dumps(config)))

    def get(self, path: str) -> dict[str, Any]:
        """The object at `path`."""
        return self._any(lambda api: api.get(path))

    def patch(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """The object at `path` with the change merged into it."""
        return self._any(lambda api: api.patch(path, change))

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Every Node by its name."""
        return {node["metadata"]["name"]: node for node in self.get(NODES)["items"]}

    def servers(self) -> dict[str, tuple[str, str]]:
        """Of each server's Node whether it is Ready and whether it votes in etcd, as the conditions have it."""
        return {
            name: (conditions(node).get("Ready", ""), conditions(node).get("EtcdIsVoter", ""))
            for name, node in self.nodes().items()
            if CONTROL_PLANE in node["metadata"]["labels"]
        }

    def _any(self, call: Callable[[Api], dict[str, Any]]) -> dict[str, Any]:
        """The first answer; who gave it is asked first the next time."""
        with self._lock:
            apis = list(self._apis)
        errors: list[str] = []
        for api in apis:
            try:
                answer = call(api)
            except UserError as error:
                errors.append(str(error))
                continue
            with self._lock:
                self._apis.sort(key=lambda known: known is not api)
            return answer
        raise UserError("; ".join(errors))


def conditions(node: Mapping[str, Any]) -> dict[str, str]:
    """Condition -> status."""
    return {c["type"]: c["status"] for c in node["status"]["conditions"]}


class Writer:
    """Writes one entry of a ledger after the other, and keeps those that the API has acknowledged."""

    def __init__(self, first_day: FirstDay) -> None:
        self.acknowledged: list[str] = []
        self._first_day = first_day
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    def _write(self) -> None:
        number = 0
        while not self._ended.wait(0.05):
            number += 1
            entry = f"entry-{number:06d}"
            try:
                self._first_day.patch(LEDGER, {"data": {entry: ""}})
            except UserError:
                continue  # not acknowledged: it may be there or not
            self.acknowledged.append(entry)

    def lost(self) -> set[str]:
        """What was acknowledged, and is not there."""
        acknowledged = set(self.acknowledged)
        return acknowledged - set(self._first_day.get(LEDGER)["data"])
