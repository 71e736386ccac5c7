"""The small internet's HTTPS server, and the HTTP one that sends clients there.

Run as `python -m lab.internet.server CONFIG.json` by `lab.internet.service`.
"""

import json
import mmap
import re
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.internet import dns
from lab.internet.archives import Archives
from lab.internet.content import Answer, FilePart, Stream, text
from lab.internet.mirror import Mirror
from lab.internet.names import all_names
from lab.internet.passthrough import PassThrough
from lab.internet.pki import ensure_authority, write_private
from lab.internet.registry import Registry
from lab.internet.site import Request, Site
from lab.internet.upstream import Dialler, Upstream

IDLE_SECONDS = 60
"""How long a connection may stand still."""

_CHUNK = 1 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Handler(BaseHTTPRequestHandler):
    """Puts the site's answers on the wire: keep-alive, HEAD, ranges, conditions."""

    protocol_version = "HTTP/1.1"
    server_version = "seedbed-lab"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: "Server"

    def setup(self) -> None:
        """Shake hands here, in the connection's own thread: a client that does not must not stop the others."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.settimeout(IDLE_SECONDS)
            self.request.do_handshake()
        super().setup()

    def handle_one_request(self) -> None:
        """As the base class, but whatever the method is called."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or len(self.raw_requestline) > 65536:
            self.close_connection = True
            return
        if not self.parse_request():
            return
        began = time.monotonic()
        status, sent = 0, 0
        try:
            status, sent = self._respond()
        except OSError as error:
            self.close_connection = True
            self.log_message("broken off: %s", error or type(error).__name__)
        seconds = time.monotonic() - began
        host = self.headers.get("Host", "-")
        self.log_message("%s %s%s %d %d bytes %.3f s", self.command, host, self.path, status, sent, seconds)

    def log_message(self, format: str, *args: object) -> None:
        """One line to the log, with the time and the client's address."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        line = (format % args).encode("ascii", "backslashreplace").decode()
        self.server.log(f"{now}Z {self.client_address[0]} {line}")

    def _respond(self) -> tuple[int, int]:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # nobody reads the body, so what follows it cannot be told from it
        host = _host(self.headers.get("Host", ""))
        path, _, query = self.path.partition("?")
        if not host:
            return self._send(text(400, "a request without a Host\n"))
        if self.server.redirect:
            answer = text(301, "use https\n")
            return self._send(Answer(301, answer.body, {**answer.headers, "Location": f"https://{host}{self.path}"}))
        accept = ",".join(self.headers.get_all("Accept", ["*/*"]))
        return self._send(self.server.site.answer(Request(self.command, host, path, query, accept)))

    def _send(self, answer: Answer) -> tuple[int, int]:
        body, headers = answer.body, dict(answer.headers)
        if isinstance(body, bytes):
            return self._bytes(answer.status, body, headers)
        if not isinstance(body, FilePart):
            if body.length is not None and "Range" not in self.headers:
                return self._stream(body, body.length, headers)
            try:
                body = body.finish()
            except OSError as error:
                return self._send(text(502, f"the real host broke off: {error}\n"))
        etag = headers.get("ETag", headers.get("Etag"))
        headers["Accept-Ranges"] = "bytes"
        if etag and etag in re.split(r"\s*,\s*", self.headers.get("If-None-Match", "")):
            return self._bytes(304, b"", headers)
        wanted = self.headers.get("Range")
        if wanted is None or self.headers.get("If-Range", etag) != etag:
            return self._file(200, body, headers)
        match = _RANGE.fullmatch(wanted.strip())
        if match is None or match.groups() == ("", ""):  # several ranges, or another unit: the whole is allowed
            return self._file(200, body, headers)
        first, last = _bounds(match[1], match[2], body.length)
        if first > last:
            headers["Content-Range"] = f"bytes */{body.length}"
            return self._bytes(416, b"", headers)
        headers["Content-Range"] = f"bytes {first}-{last}/{body.length}"
        return self._file(206, FilePart(body.path, body.offset + first, last - first + 1), headers)

    def _bytes(self, status: int, body: bytes, headers: Mapping[str, str]) -> tuple[int, int]:
        self._head(status, None if status == 304 else len(body), headers)
        if self.command != "HEAD":
            self.wfile.write(body)
        return status, len(body)

    def _stream(self, body: Stream, length: int, headers: Mapping[str, str]) -> tuple[int, int]:
        self._head(200, length, headers)
        if self.command != "HEAD":
            for chunk in body.chunks():
                self.wfile.write(chunk)
        return 200, length

    def _file(self, status: int, part: FilePart, headers: Mapping[str, str]) -> tuple[int, int]:
        """Send from the mapped file: no copy of it in this process, and big writes, in which TLS releases the GIL."""
        with part.path.open("rb") as file:
            self._head(status, part.length, headers)
            if self.command == "HEAD" or part.length == 0:
                return status, part.length
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
                end = part.offset + part.length
                for start in range(part.offset, end, _CHUNK):
                    with view[start : min(start + _CHUNK, end)] as chunk:
                        self.connection.sendall(chunk)
        return status, part.length

    def _head(self, status: int, length: int | None, headers: Mapping[str, str]) -> None:
        self.send_response_only(status)
        self.send_header("Date", self.date_time_string())
        for name, value in headers.items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


class Server(ThreadingHTTPServer):
    """One listening socket; over TLS if it has a context."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        site: Site,
        context: ssl.SSLContext | None,
        log: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        """Listen on `address` and answer with `site`; without `context`, send everybody to https."""
        super().__init__(address, Handler)
        self.log = log
        self.site = site
        self.redirect = context is None
        self._context = context

    def server_bind(self) -> None:
        """Without the base class's look-up of the own name, which waits where there is no resolver."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """A connection, not yet shaken hands with."""
        plain, address = self.socket.accept()
        if self._context is None:
            return plain, address
        try:
            secure = self._context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        except OSError:  # the client has gone again
            plain.close()
            raise
        return secure, address

    def handle_error(self, request: object, client_address: tuple[str, int]) -> None:  # noqa: ARG002 (the base's)
        """One line, not a traceback: a client that distrusts the certificate is no event."""
        error = sys.exception()
        self.log(f"{client_address[0]} {type(error).__name__}: {error}")


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What the server speaks: TLS 1.2 and later."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def build_site(config: Mapping[str, Any]) -> Site:
    """The site that a configuration of `lab.internet.service` describes."""
    resolvers: list[str] = config["resolvers"]
    dialler = Dialler(
        resolve=lambda host: dns.lookup(host, resolvers),
        own_address=config["address"],
        context=ssl.create_default_context(),
    )
    archives = Archives([Path(path) for path in config["archives"]])
    return Site(
        Mirror({host: Path(folder) for host, folder in config["serve"].items()}),
        Registry(archives),
        PassThrough(Path(config["cache"]), Upstream(dialler)),
        frozenset(all_names(config["serve"])),
        lambda: {"fingerprint": config["fingerprint"], "problems": archives.problems()},
    )


def main(config_file: Path) -> None:
    """Serve until killed."""
    config = json.loads(config_file.read_text())
    lab_dir, address = Path(config["lab_dir"]), config["address"]
    certificate, key = ensure_authority(lab_dir).issue(all_names(config["serve"]), [address])
    files = [config_file.with_name(f"internet.{suffix}") for suffix in ("crt", "key")]
    for file, data in zip(files, (certificate, key), strict=True):
        write_private(file, data)
    site = build_site(config)
    servers = [
        Server((address, config["https_port"]), site, tls_context(*files)),
        Server((address, config["http_port"]), site, None),
    ]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _host(header: str) -> str:
    host = header.strip().lower()
    return host.rpartition(":")[0].rstrip(".") if re.search(r":\d+$", host) else host.rstrip(".")


def _bounds(first: str, last: str, length: int) -> tuple[int, int]:
    """First and last byte that a range means (RFC 9110 §14.1.2); first > last if there is no such."""
    if not first:
        return max(0, length - int(last)) if int(last) else length, length - 1
    return int(first), min(int(last), length - 1) if last else length - 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
