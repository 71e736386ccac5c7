"""The API server: one request each. Everything here blocks and is called in threads."""

import contextlib
import http
import json
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from lab.plugins.protocol import PluginError
from lab.plugins.protocol.values import Value

from . import client, objects
from .objects import Kind, Object
from .settings import Kubeconfig

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
RETRIES = 10
RETRIED = frozenset({429, 500, 502, 503, 504})
"""As client-go: an answer with one of these and a Retry-After is asked for again (k8s.io/client-go `rest/with_retry.go`)."""

_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"


class ApiError(PluginError):
    """The server refused; the message is the server's."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NoMatchError(PluginError):
    """The server has no such kind."""


class UnreachableError(PluginError):
    """There is no answer that could come from the cluster; the message says why and from where."""


@dataclass(frozen=True)
class Resource:
    """How the server calls a kind."""

    plural: str
    namespaced: bool


class Cluster:
    """The server that a kubeconfig names."""

    def __init__(self, kubeconfig: Kubeconfig) -> None:
        self._kubeconfig = kubeconfig
        self._lock = threading.Lock()
        self._pool: Any = None
        self._configuration: Any = None
        self._unreachable: UnreachableError | None = None
        self._resources: dict[Kind, Resource] = {}

    def get(self, item: Object) -> Object:
        """The live object of the same kind, namespace and name."""
        return self._request("GET", self._path(item))

    def create(self, item: Object, manager: str) -> Object:
        """A plain create: an object that is there already is an error (409 AlreadyExists)."""
        body = self._body(item)
        return self._request("POST", self._path(item, named=False), {"fieldManager": manager}, body)

    def apply(self, item: Object, manager: str, *, force: bool) -> Object:
        """Server-side apply; a field of another manager is a conflict (409) unless forced."""
        query = {"fieldManager": manager, "force": str(force).lower()}
        return self._request("PATCH", self._path(item), query, self._body(item), _APPLY)

    def json_patch(self, item: Object, patch: list[dict[str, Any]]) -> Object:
        """A JSON patch."""
        return self._request("PATCH", self._path(item), {}, patch, _JSON_PATCH)

    def delete(self, item: Object, propagation: str) -> Object:
        """Asks for the deletion: the object may stay for a while."""
        return self._request("DELETE", self._path(item), {}, {"propagationPolicy": propagation})

    def _path(self, item: Object, *, named: bool = True) -> str:
        kind = objects.kind_of(item)
        resource = self._resource(kind)
        path = _group_path(kind)
        if resource.namespaced:
            path += f"/namespaces/{quote(objects.namespace_of(item) or 'default', safe='')}"
        return f"{path}/{resource.plural}" + (f"/{quote(objects.name_of(item), safe='')}" if named else "")

    def _body(self, item: Object) -> Object:
        if self._resource(objects.kind_of(item)).namespaced:
            return item
        return {**item, "metadata": {key: value for key, value in item["metadata"].items() if key != "namespace"}}

    def _resource(self, kind: Kind) -> Resource:
        if found := self._resources.get(kind):
            return found
        try:
            listed = self._request("GET", _group_path(kind))["resources"]
        except ApiError as error:
            if error.status != http.HTTPStatus.NOT_FOUND:
                raise
            listed = []
        for one in listed:
            if one["kind"] == kind.name and "/" not in one["name"]:
                return self._resources.setdefault(kind, Resource(one["name"], one["namespaced"]))
        raise NoMatchError(f'no matches for kind "{kind.name}" in version "{kind.api_version}"')

    def _request(self, method: str, path: str, *arguments: Value) -> Object:
        self._connect()
        return self._send(method, path, *arguments)

    def _connect(self) -> None:
        """Reads the kubeconfig and asks for the server's version, once; who does not answer then is not asked again."""
        with self._lock:
            if self._unreachable is not None:
                raise self._unreachable
            if self._pool is not None:
                return
            try:
                self._pool, self._configuration = client.connect(self._kubeconfig)
                self._send("GET", "/version")
            except ApiError as error:
                self._unreachable = UnreachableError(f"{self._kubeconfig.server} answers: {error}")
            except client.KubeconfigError as error:
                self._unreachable = UnreachableError(str(error))
            except UnreachableError as error:
                self._unreachable = error
            if self._unreachable is not None:
                self._pool = None
                raise self._unreachable

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Value = None,
        content_type: str = "application/json",
    ) -> Object:
        import urllib3

        url = self._configuration.host.rstrip("/") + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json"}
        if authorization := self._configuration.get_api_key_with_prefix("authorization"):
            headers["Authorization"] = authorization
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(objects.for_server(body)).encode()
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=ANSWER_SECONDS)
        for left in reversed(range(RETRIES + 1)):
            try:
                response = self._pool.request(method, url, body=data, headers=headers, timeout=timeout, retries=False)
            except urllib3.exceptions.HTTPError as error:
                raise UnreachableError(f"{self._kubeconfig.server}: {_why(error)}") from None
            later = response.headers.get("Retry-After", "")
            if not (left and later.isdecimal() and response.status in RETRIED):
                break
            time.sleep(float(later))
        return _answer(response.status, response.data)


def _group_path(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def _why(error: Exception) -> str:
    """The innermost cause, in the system's words."""
    cause: BaseException = error
    while (inner := getattr(cause, "reason", None) or cause.__cause__ or cause.__context__) and isinstance(
        inner, BaseException
    ):
        cause = inner
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"x509: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return f"no answer within {CONNECT_SECONDS:g} s"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror.lower()
    return type(cause).__name__


def _answer(status: int, data: bytes) -> Object:
    content: Any = None
    with contextlib.suppress(ValueError):
        content = json.loads(data)
    if status < http.HTTPStatus.BAD_REQUEST and isinstance(content, dict):
        return content
    if isinstance(content, dict) and content.get("kind") == "Status":
        raise ApiError(status, str(content.get("reason", "")), str(content.get("message", "")))
    raise ApiError(status, "", f"the server's answer has status {status} and is no object")
