"""What stands before versitygw in the lab's object storage: it passes all on, and adds what Spaces has and it has not.

    python -m lab.cloud.spaces_front FOLDER

Lifecycle requests go to versitygw too, which knows whose signature is right and which buckets there are, and says then
that it does not implement them (NotImplemented, HTTP 501); only in place of that answer comes one from here.
"""

import http.client
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from lab import LabError
from lab.cloud import spaces
from lab.cloud.spaces import Permission

_CHUNK = 1 << 16
_SECONDS = 300.0
_RULES_BYTES = 1 << 16
_PER_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect"}

_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_RULE_ACTIONS = {"Expiration", "NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload"}
"""What Spaces can: expiration by time, and incomplete uploads (docs.digitalocean.com, Spaces S3 compatibility)."""


class Front(ThreadingHTTPServer):
    """Listens where the world sees the object storage."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, kept: spaces.Kept, own: spaces.Spaces) -> None:
        self.own, self.inner = own, ("127.0.0.1", kept.inner_port)
        super().__init__((kept.address, kept.port), Handler)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Front

    def handle_any(self) -> None:
        """One request."""
        inner = http.client.HTTPConnection(*self.server.inner, timeout=_SECONDS)
        try:
            self._answer(inner)
        except (OSError, http.client.HTTPException) as error:
            self.log_error("%s %s: %s", self.command, self.path, error)
            self.close_connection = True
        finally:
            inner.close()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = do_OPTIONS = handle_any  # noqa: N815  http.server's

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: versitygw logs every request."""

    def _answer(self, inner: http.client.HTTPConnection) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        whole_bucket = bool(bucket) and not key
        lifecycle = whole_bucket and "lifecycle" in parse_qs(parts.query, keep_blank_values=True)
        body = self._rules() if lifecycle else self._body()
        if body is None:
            return
        answer = self._ask(inner, body)
        if lifecycle and answer.status == http.HTTPStatus.NOT_IMPLEMENTED:
            answer.read()
            self._lifecycle(bucket, body[0] if isinstance(body, list) else b"")
            return
        if whole_bucket and not parts.query and answer.status < 300:
            if self.command == "PUT":
                self._made(bucket)
            elif self.command == "DELETE":
                self._file(bucket).unlink(missing_ok=True)
        self._pass_back(answer)

    def _made(self, bucket: str) -> None:
        try:
            spaces.bucket_made(self.server.own, bucket)
        except LabError as error:
            self.log_error("%s is made, and the rights of keys to it are not set: %s", bucket, error)

    def _ask(self, inner: http.client.HTTPConnection, body: Iterable[bytes]) -> http.client.HTTPResponse:
        # As it came, `Host` included: the signature is over it.
        inner.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _PER_HOP:
                inner.putheader(name, value)
        chunked = self._chunked()
        if chunked:
            inner.putheader("Transfer-Encoding", "chunked")
        inner.endheaders()
        try:
            for piece in body:
                inner.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                inner.send(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # versitygw has refused without reading it all; its answer is there
        return inner.getresponse()

    def _pass_back(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in _PER_HOP:
                self.send_header(name, value)
        no_body = self.command == "HEAD" or answer.status in (204, 304)
        if answer.getheader("Content-Length") is None and not no_body:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        while not no_body and (piece := answer.read(_CHUNK)):
            self.wfile.write(piece)

    def _chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _body(self) -> Iterable[bytes]:
        source: BinaryIO = self.rfile  # type: ignore[assignment]  # what typeshed calls it is narrower
        if self._chunked():
            return _chunks(source)
        return _exactly(source, int(self.headers.get("Content-Length") or 0))

    def _rules(self) -> list[bytes] | None:
        """The body as a whole; None where it is too large, which has been said."""
        body, size = [], 0
        for piece in self._body():
            size += len(piece)
            if size > _RULES_BYTES:
                self.close_connection = True
                self._refuse(400, "MalformedXML", "The lifecycle configuration is too large.")
                return None
            body.append(piece)
        return [b"".join(body)]

    def _lifecycle(self, bucket: str, body: bytes) -> None:
        if not self._may_change(bucket):
            self._refuse(403, "AccessDenied", "Access Denied.")
            return
        path = self._file(bucket)
        if self.command == "PUT":
            reason = complaint(body)
            if reason is not None:
                self._refuse(400, "MalformedXML", reason)
                return
            new = path.with_suffix(".new")
            new.write_bytes(body)
            new.replace(path)
            self._say(200)
        elif self.command == "DELETE":
            path.unlink(missing_ok=True)
            self._say(204)
        elif path.exists():
            self._say(200, path.read_bytes())
        else:
            self._refuse(404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist.")

    def _may_change(self, bucket: str) -> bool:
        """Whether the key that signed, which versitygw has found to be right, may do everything with the bucket."""
        access_key = self.headers.get("Authorization", "").partition("Credential=")[2].partition("/")[0]
        if access_key == self.server.own.access_key:
            return True
        return spaces.permission_of(self.server.own.folder, access_key, bucket) is Permission.FULL

    def _file(self, bucket: str) -> Path:
        # A name that versitygw took for a bucket's has no slash in it.
        return self.server.own.folder / "lifecycle" / f"{Path(bucket).name}.xml"

    def _refuse(self, status: int, code: str, message: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
        self._say(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode())

    def _say(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/xml")
        if status != http.HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def complaint(body: bytes) -> str | None:
    """What is wrong with a lifecycle configuration, as S3 has it; None where it can be kept."""
    try:
        root = ET.fromstring(body)  # noqa: S314  from whoever has the lab's own keys
    except ET.ParseError as error:
        return f"The lifecycle configuration is not XML: {error}"
    rules = [rule for rule in root if _tag(rule) == "Rule"]
    if _tag(root) != "LifecycleConfiguration" or not rules:
        return "A lifecycle configuration has at least one Rule."
    for rule in rules:
        fields = {_tag(entry): entry for entry in rule}
        if "Status" not in fields or fields["Status"].text not in ("Enabled", "Disabled"):
            return "The Status of each Rule is Enabled or Disabled."
        if not _RULE_ACTIONS & fields.keys():
            return f"Each Rule has one of {', '.join(sorted(_RULE_ACTIONS))}."
        days = [entry.text or "" for entry in rule.iter() if _tag(entry) in ("Days", "NoncurrentDays")]
        if not all(text.isdecimal() and int(text) > 0 for text in days):
            return "Days are positive whole numbers."
    return None


def _tag(element: ET.Element) -> str:
    return element.tag.removeprefix(_NAMESPACE)


def _exactly(source: BinaryIO, length: int) -> Iterable[bytes]:
    while length > 0 and (piece := source.read(min(length, _CHUNK))):
        length -= len(piece)
        yield piece


def _chunks(source: BinaryIO) -> Iterable[bytes]:
    """The data of a chunked body (RFC 9112, 7.1)."""
    while size := int(source.readline().partition(b";")[0], 16):
        yield from _exactly(source, size)
        source.readline()
    while source.readline().strip():
        pass


def main() -> None:
    """Serves until it is ended."""
    folder = Path(sys.argv[1])
    kept = spaces.read(folder)
    if kept is None:
        sys.exit(f"{folder} holds no object storage")
    Front(kept, spaces.public(folder, kept)).serve_forever()


if __name__ == "__main__":
    main()
