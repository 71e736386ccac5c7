"""A way to the object storage on which things go wrong, as they do on the way to the lab's cloud itself."""

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from lab.cloud.faults import Fault, Faults, Kind
from lab.cloud.server import Server

# Of one connection, and not of what is sent by it (RFC 9110, section 7.6.1).
_OF_THE_CONNECTION = ("connection", "expect", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@dataclass
class FlakyWay:
    """Where it begins, and what waits on it."""

    endpoint: str
    faults: Faults

    def fault(self, kind: str, method: str, path: str, *, status: int = 503, times: int | None = 1) -> None:
        """Has the next requests that fit go wrong; see `lab.cloud.faults`."""
        self.faults.add(Fault(method, re.compile(path), Kind(kind), status, 1.0, times))


@contextmanager
def flaky_way(endpoint: str) -> Iterator[FlakyWay]:
    """Passes requests on to the endpoint as they are: their signatures are for the host that the client names."""
    faults = Faults()
    server = _Server(urlsplit(endpoint).netloc, faults)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield FlakyWay(f"http://127.0.0.1:{server.server_address[1]}", faults)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.faults.take(self.command, self.path.partition("?")[0])
        kind = None if fault is None else fault.kind
        if fault is not None and kind is Kind.STATUS:
            self._answer(fault.status, [("Content-Type", "application/xml")], _refusal(fault.status))
            return
        if fault is not None and kind is Kind.SLOW:
            time.sleep(fault.seconds)
        if kind is not Kind.RESET:
            answer, found = self._passed_on(body)
        if kind in (Kind.RESET, Kind.LOST_ANSWER):
            self.server.reset(self.connection)
            self.close_connection = True
        else:
            self._answer(answer.status, answer.getheaders(), found)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 (the base's)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def _passed_on(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(self.server.behind, timeout=20)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _OF_THE_CONNECTION or name.lower() == "content-length":
                    connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _OF_THE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)


class _Server(Server):
    """The lab cloud's server, with its resets, and another handler."""

    def __init__(self, behind: str, faults: Faults) -> None:
        self.behind, self.faults = behind, faults
        site: Any = None  # of the cloud's requests, which do not come here
        super().__init__(0, site)
        self.RequestHandlerClass = _Handler

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that goes away is no event."""


def _refusal(status: int) -> bytes:
    code = "SlowDown" if status in (429, 503) else "InternalError"
    return f"<Error><Code>{code}</Code><Message>Reduce your request rate.</Message></Error>".encode()
