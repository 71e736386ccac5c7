"""The real hosts behind the names: asked for what the lab does not have, if they can be reached."""

import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode, urljoin, urlsplit

from lab.internet.dns import NameNotFoundError

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 60.0
REMEMBER_UNREACHABLE = 60.0
"""Seconds for which a host that could not be reached is not tried again."""

_REDIRECTS = 5
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LONGEST_TOKEN_ANSWER = 1 << 20


class UnreachableError(Exception):
    """The real host cannot be reached from here."""


@dataclass
class Dialler:
    """Opens TLS connections to real hosts, with its own look-up of names so as not to be answered by the lab."""

    resolve: Callable[[str], list[str]]
    own_address: str
    context: ssl.SSLContext
    port: int = 443
    connect_timeout: float = CONNECT_TIMEOUT
    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, tuple[float, str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def connect(self, host: str) -> ssl.SSLSocket:
        """A connection to `host`.

        Raises:
            UnreachableError: there is none now, or there was none within the last minute.
        """
        with self._lock:
            until, reason = self._failures.get(host, (0.0, ""))
        if self.clock() < until:
            raise UnreachableError(reason)
        try:
            return self._connect(host)
        except (NameNotFoundError, OSError) as error:
            reason = str(error) or type(error).__name__
            with self._lock:
                self._failures[host] = (self.clock() + REMEMBER_UNREACHABLE, reason)
            raise UnreachableError(reason) from error

    def _connect(self, host: str) -> ssl.SSLSocket:
        address = self.resolve(host)[0]
        if address == self.own_address:
            raise NameNotFoundError(f"{host} is answered by the lab itself")
        plain = socket.create_connection((address, self.port), timeout=self.connect_timeout)
        try:
            secure = self.context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        secure.settimeout(READ_TIMEOUT)
        return secure


@dataclass
class Response:
    """The head of a real host's answer; the body is read from `body` and `close` ends it."""

    status: int
    headers: Mapping[str, str]
    body: http.client.HTTPResponse

    def close(self) -> None:
        """End the connection."""
        self.body.close()


class Upstream:
    """GET from real hosts: follows redirects, and fetches the anonymous token that registries ask for."""

    def __init__(self, dialler: Dialler) -> None:
        """Connect by `dialler`."""
        self._dialler = dialler
        self._tokens: dict[str, tuple[float, str]] = {}  # challenge -> (when it ends, token)
        self._challenges: dict[str, str] = {}  # host and repository -> challenge
        self._lock = threading.Lock()

    def get(self, host: str, path: str, headers: Mapping[str, str]) -> Response:
        """GET `https://host/path`.

        Raises:
            UnreachableError: no connection, or it broke before the answer.
        """
        scope = host + path.rpartition("/")[0].removesuffix("/manifests").removesuffix("/blobs")
        sent = dict(headers)
        with self._lock:
            known = self._challenges.get(scope)
        if known:
            sent["Authorization"] = f"Bearer {self._token(known)}"
        response = self._follow(host, path, sent)
        challenge = response.headers.get("www-authenticate", "")
        if response.status == 401 and challenge.lower().startswith("bearer "):
            response.close()
            with self._lock:
                self._challenges[scope] = challenge
                self._tokens.pop(challenge, None)
            sent["Authorization"] = f"Bearer {self._token(challenge)}"
            response = self._follow(host, path, sent)
        return response

    def _follow(self, host: str, path: str, headers: dict[str, str]) -> Response:
        url = f"https://{host}{path}"
        for _ in range(_REDIRECTS + 1):
            parts = urlsplit(url)
            if parts.scheme != "https" or not parts.hostname:
                raise UnreachableError(f"{host} redirects to {parts.scheme}://{parts.hostname}, which is not https")
            # A token is for the registry alone, not for the storage that it redirects to.
            own = {k: v for k, v in headers.items() if k != "Authorization" or parts.hostname == host}
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            response = self._request(parts.hostname, target, own)
            location = response.headers.get("location")
            if response.status not in {301, 302, 303, 307, 308} or not location:
                return response
            response.close()
            url = urljoin(url, location)
        raise UnreachableError(f"{host} redirects more than {_REDIRECTS} times")

    def _request(self, host: str, target: str, headers: Mapping[str, str]) -> Response:
        sock = self._dialler.connect(host)
        connection = http.client.HTTPConnection(host, timeout=READ_TIMEOUT)
        connection.sock = sock
        try:
            connection.request(
                "GET",
                target,
                headers={"User-Agent": "seedbed-lab", "Accept-Encoding": "identity", "Connection": "close", **headers},
            )
            body = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            sock.close()
            raise UnreachableError(f"{host}: {error or type(error).__name__}") from error
        return Response(body.status, {k.lower(): v for k, v in body.getheaders()}, body)

    def _token(self, challenge: str) -> str:
        """The anonymous token for a challenge `Bearer realm="…",service="…",scope="…"`, kept until it ends."""
        with self._lock:
            ends, token = self._tokens.get(challenge, (0.0, ""))
        if time.monotonic() < ends:
            return token
        facts = dict(_CHALLENGE.findall(challenge))
        realm = urlsplit(facts.pop("realm", ""))
        if realm.scheme != "https" or not realm.hostname:
            raise UnreachableError(f"asks for a token of {realm.geturl() or 'nobody'}, which is not https")
        wanted = urlencode({k: v for k, v in facts.items() if k in {"service", "scope"}})
        response = self._follow(realm.hostname, f"{realm.path or '/'}?{wanted}", {})
        try:
            answer = json.loads(response.body.read(_LONGEST_TOKEN_ANSWER))
            token = answer.get("token") or answer["access_token"]
            lifetime = float(answer.get("expires_in", 60))
        except (OSError, http.client.HTTPException, ValueError, KeyError, AttributeError) as error:
            raise UnreachableError(f"{realm.hostname} gives no token (HTTP {response.status})") from error
        finally:
            response.close()
        with self._lock:
            # A little less than promised, so that it does not end on the way.
            self._tokens[challenge] = (time.monotonic() + lifetime * 0.8, token)
        return str(token)
