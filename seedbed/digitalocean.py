"""DigitalOcean's API, as far as `seedbed doctor` asks it: reads, and requests that are sure to be refused.

Sources: DigitalOcean's API reference, "Authentication", "Errors", "Links & Meta" and "Rate limit".
"""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from seedbed import UserError

TOKEN = "DIGITALOCEAN_TOKEN"  # noqa: S105  the variable's name
URL = "DIGITALOCEAN_API_URL"
DEFAULT_URL = "https://api.digitalocean.com"
LIMIT_SECONDS = 10.0
"""How long one answer may take."""

_PAGE = 200


class CloudError(UserError):
    """The API gives no answer that could be used; the message says why."""


@dataclass(frozen=True)
class Answer:
    """`body` is empty where there was none."""

    status: int
    body: Mapping[str, Any]

    @property
    def message(self) -> str:
        """What the API says of an error."""
        return str(self.body.get("message") or self.body.get("id") or f"HTTP {self.status}")


@dataclass(frozen=True)
class Api:
    """The API with one token; the names of the variables are the official provider's."""

    url: str
    token: str = field(repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Api | None":
        """With what `environment` has; None where it has no token."""
        token = environment.get(TOKEN, "")
        return cls((environment.get(URL) or DEFAULT_URL).rstrip("/"), token) if token else None

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """One request, whatever its status; raises CloudError where none came, or one that says nothing of the request."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as reply:
                return _answer(reply.status, reply.read())
        except urllib.error.HTTPError as error:
            answer = _answer(error.code, error.read())
            if error.code == HTTPStatus.TOO_MANY_REQUESTS:
                wait = error.headers.get("Retry-After")
                again = f"in {wait} s" if wait else "later"
                raise CloudError(f"the API's rate limit is used up; try again {again}") from None
            if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                raise CloudError(f"the API answers {method} {path} with HTTP {error.code}: {answer.message}") from None
            return answer
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            raise CloudError(f"{self.url} cannot be reached ({reason})") from None

    def read(self, path: str) -> Mapping[str, Any]:
        """What is there. Raises CloudError where it may not be read, or is not there."""
        answer = self.ask("GET", path)
        if answer.status != HTTPStatus.OK:
            raise CloudError(f"GET {path}: {answer.message} (HTTP {answer.status})")
        return answer.body

    def listed(self, path: str, key: str) -> list[Mapping[str, Any]]:
        """All pages of a list, of which `key` is the name; `path` may have a query. Raises CloudError."""
        found: list[Mapping[str, Any]] = []
        while True:
            page = f"per_page={_PAGE}&page={len(found) // _PAGE + 1}"
            items = self.read(f"{path}{'&' if '?' in path else '?'}{page}")[key]
            found += items
            if len(items) < _PAGE:
                return found

    def droplets(self, tag: str) -> list[Mapping[str, Any]]:
        """All with the tag. Raises CloudError."""
        return self.listed(f"/v2/droplets?tag_name={quote(tag)}", "droplets")


def public_address(droplet: Mapping[str, Any]) -> str | None:
    """Its public IPv4 address; None until it has one."""
    addresses = droplet.get("networks", {}).get("v4", [])
    return next((str(entry["ip_address"]) for entry in addresses if entry.get("type") == "public"), None)


def _answer(status: int, body: bytes) -> Answer:
    try:
        parsed = json.loads(body) if body else {}
    except ValueError:
        parsed = {}
    return Answer(status, parsed if isinstance(parsed, dict) else {})
