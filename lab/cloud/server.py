"""The HTTP server of the lab's cloud: tokens, limits, faults, and the lab's own requests below `/lab/`.

Run as `python -m lab.cloud.server CONFIG.json` by `lab.cloud.service`, which writes the configuration. It listens on
127.0.0.1 only, without TLS. The lab's own requests, with the same token and not counted by the limits:

- `POST /lab/faults` a fault (see `lab.cloud.faults`), `GET` and `DELETE /lab/faults` those that wait;
- `GET /lab/requests` every request with its status (0: none was sent), `DELETE /lab/requests` forgets them;
- `GET /lab/census` how many things of a kind there are, and their names;
- `GET /lab/health` the configuration's fingerprint.

Sources: DigitalOcean's API reference, "Authentication" and "Errors".
"""

import json
import secrets
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from lab.cloud import resources
from lab.cloud.api import ApiError, Reply, Request, forbidden, not_found
from lab.cloud.core import Account, Cloud, Delays, Route, dispatch
from lab.cloud.faults import Fault, Faults, Kind
from lab.cloud.hypervisor import Hypervisor
from lab.cloud.limits import Limits, Meter
from lab.cloud.paper import PaperHypervisor
from lab.cloud.store import Object, Store

BODY_MAX = 1024 * 1024
REQUESTS_KEPT = 20_000

_READS = ("GET", "HEAD")


class _LostError(Exception):
    """The connection is to be reset in place of an answer."""


class Site:
    """Answers requests: who asks, how often, what is to go wrong, and then the resources' handlers."""

    def __init__(
        self,
        cloud: Cloud,
        routes: Sequence[Route],
        tokens: Mapping[str, bool],
        meter: Meter,
        fingerprint: str = "",
    ) -> None:
        """`tokens` may write or only read."""
        self.cloud, self.routes, self.meter, self.fingerprint = cloud, routes, meter, fingerprint
        self.faults = Faults()
        self.requests: deque[Object] = deque(maxlen=REQUESTS_KEPT)
        self._tokens = tokens

    def answer(self, request: Request, token: str, raw: bytes) -> Reply:
        """The reply to a request whose body is `raw`. Raises ApiError, or _LostError for none at all."""
        writes = self._tokens.get(token)
        if writes is None:
            raise ApiError(401, "Unauthorized", "Unable to authenticate you")
        if request.path.startswith("/lab/"):
            return self._lab(request, _parse(raw))
        headers = self.meter.count(token)
        try:
            reply = self._faulty(request, raw, may_write=writes)
        except ApiError as error:
            raise ApiError(error.status, error.id, error.message, {**headers, **error.headers}) from error
        return Reply(reply.status, reply.body, {**headers, **reply.headers})

    def _faulty(self, request: Request, raw: bytes, *, may_write: bool) -> Reply:
        fault = self.faults.take(request.method, request.path)
        flaw = ""
        if fault is not None:
            if fault.kind is Kind.RESET:
                raise _LostError
            if fault.kind is Kind.STATUS:
                raise _error(fault)
            if fault.kind is Kind.SLOW:
                time.sleep(fault.seconds)
            if fault.kind in (Kind.NEVER_ACTIVE, Kind.CAPACITY):
                flaw = fault.kind.value
        if not may_write and request.method not in _READS:
            raise forbidden()
        whole = Request(request.method, request.path, {}, request.query, _parse(raw), request.base, flaw)
        reply = dispatch(self.routes, whole, self.cloud)
        if fault is not None and fault.kind is Kind.LOST_ANSWER:
            raise _LostError
        return reply

    def _lab(self, request: Request, body: Mapping[str, Any]) -> Reply:
        match request.method, request.path:
            case "GET", "/lab/health":
                return Reply(200, {"fingerprint": self.fingerprint})
            case "POST", "/lab/faults":
                self.faults.add(Fault.parse(body))
                return Reply(204)
            case "GET", "/lab/faults":
                return Reply(200, {"faults": [fault.shown() for fault in self.faults.all()]})
            case "DELETE", "/lab/faults":
                self.faults.clear()
                return Reply(204)
            case "GET", "/lab/requests":
                return Reply(200, {"requests": list(self.requests)})
            case "DELETE", "/lab/requests":
                self.requests.clear()
                return Reply(204)
            case "GET", "/lab/census":
                return Reply(200, census(self.cloud))
        raise not_found()


def census(cloud: Cloud) -> Object:
    """Kind -> how many and their names; without actions, and default VPCs and projects, which nobody made."""
    counted: Object = {}
    with cloud.reading():
        for kind in cloud.store.kinds():
            items = [
                item
                for item in cloud.store.all(kind)
                if not any(item.get(mark) for mark in ("default", "is_default", "_removed"))
            ]
            # A kind that begins with an underscore is the cloud's own memory.
            if kind != "actions" and not kind.startswith("_") and items:
                names = sorted(str(item.get("name") or item.get("ip") or item.get("id", "")) for item in items)
                counted[kind] = {"count": len(items), "names": names}
    return counted


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        """Any method: the site tells them apart."""
        path, _, query = self.path.partition("?")
        base = f"http://{self.headers.get('Host', 'localhost')}"
        request = Request(self.command, path.rstrip("/") or "/", {}, dict(parse_qsl(query)), {}, base)
        request_id = secrets.token_hex(16)
        try:
            reply = self._reply(request)
        except ApiError as error:
            reply = Reply(error.status, error.body(request_id), error.headers)
        except _LostError:
            reply = None
        except Exception as error:
            self.server.site.cloud.log(f"{self.command} {path}: {type(error).__name__}: {error}")
            body = ApiError(500, "server_error", "Unexpected server-side error").body(request_id)
            reply = Reply(500, body)
        self._note(path, 0 if reply is None else reply.status)
        if reply is None:
            self.server.reset(self.connection)
            self.close_connection = True
        else:
            self._send(reply, request_id)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 (the base's)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: `_note` writes one line a request, without what may be a secret."""

    def _reply(self, request: Request) -> Reply:
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            self.close_connection = True
            raise ApiError(413, "request_too_large", f"a body has at most {BODY_MAX} bytes")
        raw = self.rfile.read(length)
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return self.server.site.answer(request, token.strip() if scheme.lower() == "bearer" else "", raw)

    def _note(self, path: str, status: int) -> None:
        site, now = self.server.site, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        site.cloud.log(f"{now} {self.command} {self.path} {status}")
        if not path.startswith("/lab/"):
            site.requests.append({"method": self.command, "path": self.path, "status": status, "at": now})

    def _send(self, reply: Reply, request_id: str) -> None:
        body = b"" if reply.body is None else json.dumps(reply.body).encode()
        self.send_response_only(reply.status)
        headers = {"Date": self.date_time_string(), "x-request-id": request_id, **reply.headers}
        if reply.body is not None:
            headers["Content-Type"] = "application/json; charset=utf-8"
        if reply.status != 204:
            headers["Content-Length"] = str(len(body))
        if self.close_connection:
            headers["Connection"] = "close"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """On 127.0.0.1, a thread a connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, site: Site) -> None:
        """Listen; port 0 takes a free one."""
        super().__init__(("127.0.0.1", port), Handler)
        self.site = site
        self._resets: set[int] = set()

    def server_bind(self) -> None:
        """Without the base class's look-up of the own name, which waits where there is no resolver."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection whose answers are sent at once: head and body are two writes."""
        connection, address = self.socket.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection, address

    def reset(self, connection: socket.socket) -> None:
        """Have the connection end by a reset."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._resets.add(id(connection))

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 (the base's)
        """A connection that is to be reset is closed without the usual farewell."""
        if id(request) in self._resets:
            self._resets.discard(id(request))
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 (the base's)
        """One line, not a traceback: a client that goes away is no event."""
        error = sys.exception()
        self.site.cloud.log(f"{type(error).__name__}: {error}")


def build(
    config: Mapping[str, Any],
    hypervisor: Hypervisor,
    log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
) -> Server:
    """The server that a configuration describes, with the state that was left; not serving yet."""
    store = Store(Path(config["state"]), config["delays"]["settle"])
    cloud = Cloud(
        store,
        hypervisor,
        IPv4Network(config["subnet"]),
        Delays(**config["delays"]),
        Account(**{**config["account"], "used_regions": tuple(config["account"]["used_regions"])}),
        log,
    )
    found = resources.load()
    tokens = {
        Path(config["token"]).read_text().strip(): True,
        Path(config["token_read_only"]).read_text().strip(): False,
    }
    site = Site(cloud, found.routes, tokens, Meter(Limits(**config["limits"])), config["fingerprint"])
    server = Server(config["port"], site)
    cloud.reconcilers = found.reconcilers
    cloud.resume(found.resumers)
    return server


def hypervisor_of(config: Mapping[str, Any]) -> Hypervisor:
    """The one that the configuration names: `lab` or `paper`."""
    if config["hypervisor"] == "paper":
        return PaperHypervisor()
    from lab.cloud.hosts import LabHypervisor  # it needs a machine that boots hosts; paper does not

    return LabHypervisor(config["lab"], Path(config["lab_dir"]))


def _parse(raw: bytes) -> dict[str, Any]:
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ApiError(400, "bad_request", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ApiError(400, "bad_request", "the body is no JSON object")
    return body


def _error(fault: Fault) -> ApiError:
    if fault.status == 429:
        headers = {"Retry-After": str(max(1, round(fault.seconds)))}
        return ApiError(429, "too_many_requests", "API Rate limit exceeded.", headers)
    if fault.status == 503:
        return ApiError(503, "service_unavailable", "Service Unavailable")
    return ApiError(fault.status, "server_error", "Server was unable to give you a response.")


def main(config_file: Path) -> None:
    """Serve until killed."""
    config = json.loads(config_file.read_text())
    build(config, hypervisor_of(config)).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
