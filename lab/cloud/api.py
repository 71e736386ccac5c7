"""What goes in and out of the cloud's API: requests, answers, errors and pages, in DigitalOcean's forms.

Sources: DigitalOcean's API reference, "Introduction" (errors, links & meta); godo v1.236.0 (`links.go`), for the forms
that clients read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from lab.cloud.store import Object

PER_PAGE, PER_PAGE_MAX = 20, 200
"""Items of a page, unless asked otherwise, and at most."""


class ApiError(Exception):
    """What the API answers in place of what was asked for, in DigitalOcean's form."""

    def __init__(self, status: int, id: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {id}: {message}")
        self.status, self.id, self.message, self.headers = status, id, message, headers or {}

    def body(self, request_id: str) -> Object:
        """The answer's."""
        return {"id": self.id, "message": self.message, "request_id": request_id}


def not_found(message: str = "The resource you were accessing could not be found.") -> ApiError:
    """There is no such thing."""
    return ApiError(404, "not_found", message)


def unprocessable(message: str) -> ApiError:
    """The request is understood, and cannot be done."""
    return ApiError(422, "unprocessable_entity", message)


def conflict(message: str) -> ApiError:
    """The state of the thing forbids it now."""
    return ApiError(409, "conflict", message)


def forbidden(message: str = "You are not authorized to perform this operation") -> ApiError:
    """Never, or not with this token."""
    return ApiError(403, "forbidden", message)


@dataclass(frozen=True)
class Request:
    """A request that was let in.

    Args:
        params: what the braces of the path's pattern matched, unquoted.
        query: after the `?`; the last one of several of a name.
        body: the JSON object; empty if there was none.
        base: scheme, host and port that the client used, for links.
        fault: what the handler is to do wrong (see `lab.cloud.faults`); usually nothing.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    base: str = ""
    fault: str = ""

    def text(self, name: str) -> str:
        """A text of the body that must be there and not be empty."""
        value = self.body.get(name)
        if not isinstance(value, str) or not value:
            raise unprocessable(f"{name} is required and must be a string")
        return value

    def whole(self, name: str) -> int:
        """A whole number of the body that must be there."""
        value = self.body.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise unprocessable(f"{name} is required and must be an integer")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of texts of the body; empty if it is missing or null."""
        value = self.body.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise unprocessable(f"{name} must be a list of strings")
        return list(value)


@dataclass(frozen=True)
class Reply:
    """An answer; no body: an empty one, as 204 has."""

    status: int
    body: Object | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def shown(item: Mapping[str, Any]) -> Object:
    """The object as clients see it."""
    return {name: value for name, value in item.items() if not name.startswith("_")}


def urn(kind: str, id: str | int) -> str:
    """As projects and VPCs name resources; `kind` is `droplet`, `volume`, `loadbalancer`, `floatingip`, `domain`."""
    return f"do:{kind}:{id}"


def page(request: Request, name: str, items: Sequence[Object], extra: Mapping[str, Any] | None = None) -> Reply:
    """One page of a list, as `page` and `per_page` of the query ask, with the links to others."""
    number = _positive(request, "page", 1)
    size = min(_positive(request, "per_page", PER_PAGE), PER_PAGE_MAX)
    last = max(1, -(-len(items) // size))

    def link(to: int) -> str:
        return f"{request.base}{request.path}?{urlencode({**request.query, 'page': to, 'per_page': size})}"

    pages: dict[str, str] = {}
    if number > 1:
        pages |= {"first": link(1), "prev": link(number - 1)}
    if number < last:
        pages |= {"next": link(number + 1), "last": link(last)}
    part = list(items[(number - 1) * size : number * size])
    links = {"pages": pages} if pages else {}
    return Reply(200, {name: part, **(extra or {}), "links": links, "meta": {"total": len(items)}})


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdecimal() or not int(text):
        raise ApiError(400, "bad_request", f"{name} must be a positive integer, not {text!r}")
    return int(text)
