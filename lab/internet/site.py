"""Which part of the small internet answers a request."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from lab.internet import registry
from lab.internet.content import Answer, document, text
from lab.internet.mirror import Mirror
from lab.internet.names import REGISTRY_HOSTS, SELF, api_host
from lab.internet.passthrough import PassThrough
from lab.internet.upstream import UnreachableError

_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


@dataclass(frozen=True)
class Request:
    """A request as far as the answer depends on it. `path` is percent-encoded, `query` without its `?`."""

    method: str
    host: str
    path: str
    query: str = ""
    accept: str = "*/*"


class Site:
    """All hosts that the lab answers for."""

    def __init__(
        self,
        mirror: Mirror,
        images: registry.Registry,
        passthrough: PassThrough,
        names: frozenset[str],
        health: Callable[[], object],
    ) -> None:
        """Answer for `names`; `health` gives what `/healthz` says."""
        self._mirror = mirror
        self._images = images
        self._passthrough = passthrough
        self._names = names
        self._health = health

    def answer(self, request: Request) -> Answer:
        """The answer; never raises for what a client can send."""
        own = request.host not in self._names or request.host == SELF
        if own and request.path == "/healthz":
            return document(200, self._health())
        under_api = request.path == "/v2" or request.path.startswith("/v2/")
        if under_api and (request.host in REGISTRY_HOSTS or own):
            return self._image(request)
        if request.method not in {"GET", "HEAD"}:
            return text(405, f"the lab serves {request.host} for reading only\n")
        if own:
            return text(404, f"{request.host} is not a name that the lab answers for\n")
        return self._mirror.find(request.host, request.path) or self._file_elsewhere(request)

    def _image(self, request: Request) -> Answer:
        def elsewhere(name: str, path: str) -> Answer:
            what = registry.reference(name, path)
            host = api_host(name)
            if not _HOST_NAME.fullmatch(host):
                return registry.unknown(path, f"the lab does not have {what}")
            target = path + (f"?{request.query}" if path.endswith("/tags/list") and request.query else "")
            try:
                return self._passthrough.answer(host, target, request.accept)
            except UnreachableError as error:
                return registry.unknown(path, _missing(what, host, error))

        return self._images.answer(request.method, request.host, request.path, request.query, elsewhere)

    def _file_elsewhere(self, request: Request) -> Answer:
        target = request.path + (f"?{request.query}" if request.query else "")
        try:
            return self._passthrough.answer(request.host, target)
        except UnreachableError as error:
            what = f"https://{request.host}{request.path}"
            return text(404, _missing(what, request.host, error) + "\n")


def _missing(what: str, host: str, error: UnreachableError) -> str:
    return f"the lab does not have {what} and {host} cannot be reached from here ({error})"
