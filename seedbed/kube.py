"""A client of the Kubernetes API that reads and patches, on what Python has: no kubectl, no SSH.

It logs in with an admin certificate that is made here and now, so whoever has the identity needs no kubeconfig.
"""

import base64
import datetime
import getpass
import json
import os
import socket
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError, URLError

from seedbed import UserError
from stacks.identity import Identity, KeyPair

TIMEOUT_SECONDS = 10.0
LIFETIME = datetime.timedelta(hours=1)
"""Of the certificate: longer than any command waits for something in the cluster."""

BUSY_TRIES = 10
BUSY_SECONDS = 5
"""The longest that is waited between two tries."""

MERGE_PATCH = "application/merge-patch+json"


class UnreachableError(UserError):
    """The API cannot be reached, or does not speak for this cluster."""


class RefusedError(UserError):
    """The API says no; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


def short_lived(identity: Identity, lifetime: datetime.timedelta) -> KeyPair:
    """An admin certificate for whoever runs this; the API server's audit log shows the name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        user = str(os.getuid())
    # X.509 allows 64 characters for a common name (RFC 5280, ub-common-name).
    return identity.client_certificate(f"{user}@{socket.gethostname()}"[:64], lifetime)


class Api:
    """The API server at `url`, `https://HOST:PORT`, trusted by the PEM `ca`; `client` logs in."""

    def __init__(self, url: str, ca: str, client: KeyPair, timeout: float = TIMEOUT_SECONDS) -> None:
        self.url = url
        self._timeout = timeout
        context = ssl.create_default_context(cadata=ca)
        # OpenSSL takes a client's certificate from a file only.
        with tempfile.TemporaryDirectory(prefix="seedbed-") as folder:
            pem = Path(folder) / "client.pem"
            pem.touch(0o600)
            pem.write_text(client.crt + client.key)
            context.load_cert_chain(pem)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),  # the cluster's address is never behind the proxy of the way out
            urllib.request.HTTPSHandler(context=context),
        )

    @staticmethod
    def of(identity: Identity, url: str) -> "Api":
        """The API of the cluster that the identity belongs to."""
        return Api(url, identity.files["server-ca.crt"], short_lived(identity, LIFETIME))

    @staticmethod
    def of_kubeconfig(text: str) -> "Api":
        """The API that a kubeconfig of `stacks.identity.kubeconfig` names, with what it logs in with."""
        config = json.loads(text)
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        crt, key = (base64.b64decode(user[f"client-{part}-data"]).decode() for part in ("certificate", "key"))
        ca = base64.b64decode(server["certificate-authority-data"]).decode()
        return Api(server["server"], ca, KeyPair(crt=crt, key=key))

    def get(self, path: str) -> dict[str, Any]:
        """The object at `path`, as in `/api/v1/namespaces/argocd`.

        Raises UnreachableError, or RefusedError with what the API says.
        """
        return self._ask("GET", path)

    def find(self, path: str) -> dict[str, Any] | None:
        """As `get`; None where there is no such object, or no such kind."""
        try:
            return self.get(path)
        except RefusedError as error:
            if error.status != 404:
                raise
            return None

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of the collection at `path`; none where there is no such kind. Raises as `get` does."""
        found = self.find(path)
        return [] if found is None else items(found.get("items"))

    def patch(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Merges `change` into the object at `path` (RFC 7386) and gives it back. Raises as `get` does."""
        return self._ask("PATCH", path, json.dumps(change).encode(), {"Content-Type": MERGE_PATCH})

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}{path}", body, {"Accept": "application/json", **(headers or {})}, method=method
        )
        try:
            found = self._open(request)
        except HTTPError as error:
            with error:
                said = _message(error)
            raise RefusedError(error.code, f"the Kubernetes API at {self.url}: {method} {path}: {said}") from None
        except (URLError, OSError, ValueError) as error:
            raise UnreachableError(f"the Kubernetes API at {self.url} does not answer: {error}") from error
        if not isinstance(found, dict):
            raise UnreachableError(f"the Kubernetes API at {self.url} answers {path} with what is no object")
        return found

    def _open(self, request: urllib.request.Request) -> object:
        """The answer as it was read; asked for again where the server says that it is busy, and for how long.

        One that has just started knows its objects a little later ("storage is (re)initializing"). client-go does the same:
        https://github.com/kubernetes/client-go/blob/v0.34.2/rest/with_retry.go
        """
        for left in reversed(range(BUSY_TRIES)):
            try:
                with self._opener.open(request, timeout=self._timeout) as reply:
                    return cast(object, json.load(reply))
            except HTTPError as error:
                after = error.headers.get("Retry-After", "")
                if error.code != HTTPStatus.TOO_MANY_REQUESTS or not after.isdigit() or not left:
                    raise
                error.close()
                time.sleep(min(int(after), BUSY_SECONDS))
        raise AssertionError("the last try returns or raises")


def _message(error: HTTPError) -> str:
    """What the API's `Status` object says; the HTTP status where there is none."""
    try:
        said = json.load(error).get("message")
    except (OSError, ValueError, AttributeError):
        said = None
    return str(said or f"HTTP {error.code} {error.reason}")


def section(of: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The map below `keys`; empty where there is none."""
    found: Any = of
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) else {}


def items(value: object) -> list[dict[str, Any]]:
    """The maps in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text in which the columns stand below each other."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
