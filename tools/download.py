"""Download a file that is pinned by its SHA-256, giving up quickly where the host cannot be reached."""

import hashlib
import http.client
import os
import socket
import ssl
import tempfile
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tools import ToolError

CONNECT_SECONDS = 3.0
READ_SECONDS = 60.0
CHUNK_BYTES = 1 << 20


class DownloadError(ToolError):
    """The file cannot be had, or is not the one asked for."""


class UnreachableError(DownloadError):
    """The host did not answer at all: whoever has another source goes on to it."""


class WrongDigestError(DownloadError):
    """What came is not what was asked for: no other source makes up for that."""


def fetch(url: str, sha256: str, dest: Path, connect_timeout: float = CONNECT_SECONDS) -> Path:
    """Download `url` to `dest`, unless it is there already, and give back `dest`.

    `dest` never holds anything but the whole file with the digest `sha256` (hex): it is written under another name
    in the same folder and renamed. Proxies and `SSL_CERT_FILE` of the environment are honoured.

    Raises:
        UnreachableError: the host's name does not resolve or it does not accept a connection in `connect_timeout` s.
        WrongDigestError: the file is another one.
        DownloadError: any other failure.
    """
    if dest.is_file() and file_sha256(dest) == sha256:
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{dest.name}.", dir=dest.parent)
    work = Path(name)
    try:
        sha = hashlib.sha256()
        with os.fdopen(handle, "wb") as out, _open(url, connect_timeout) as response:
            for chunk in _chunks(url, response):
                sha.update(chunk)
                out.write(chunk)
        if sha.hexdigest() != sha256:
            raise WrongDigestError(
                f"{url}: its sha256 is {sha.hexdigest()}, expected {sha256}; nothing was kept. Either the pin is"
                " wrong or the file was changed: compare with the digest that its publisher names."
            )
        work.chmod(0o644)
        work.rename(dest)
    finally:
        work.unlink(missing_ok=True)
    return dest


def fetch_text(url: str, connect_timeout: float = CONNECT_SECONDS, limit: int = CHUNK_BYTES) -> str:
    """The text at `url`, at most `limit` bytes of it; raises as `fetch` does."""
    with _open(url, connect_timeout) as response:
        try:
            data: bytes = response.read(limit)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: the download broke off: {error}") from error
    return data.decode(errors="replace")


def reachable(url: str, connect_timeout: float = CONNECT_SECONDS) -> bool:
    """Whether the host of `url` answers, with whatever status."""
    try:
        with _open(url, connect_timeout):
            return True
    except UnreachableError:
        return False
    except DownloadError:
        return True


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _chunks(url: str, response: Any) -> Any:  # noqa: ANN401 - urllib gives no type for a response
    while True:
        try:
            chunk = response.read(CHUNK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise DownloadError(f"{url}: the download broke off: {error}; try again") from error
        if not chunk:
            return
        yield chunk


def _open(url: str, connect_timeout: float) -> Any:  # noqa: ANN401
    opener = urllib.request.build_opener(_Http, _Https)
    try:
        return opener.open(url, timeout=connect_timeout)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
    except ssl.SSLError as error:
        raise DownloadError(f"{url}: {error}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLError):
            raise DownloadError(f"{url}: {error.reason}") from error
        raise UnreachableError(f"{url}: cannot be reached: {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(f"{url}: cannot be reached: {error}") from error


def _resolve(host: str, port: int, timeout: float) -> None:
    """Look `host` up in a thread: the resolver has no timeout of its own and may take half a minute to give up."""
    answer: list[OSError | None] = []

    def look_up() -> None:
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            answer.append(error)
        else:
            answer.append(None)

    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(timeout)
    if not answer:
        raise TimeoutError(f"the name {host} did not resolve in {timeout:.0f} s")
    if answer[0] is not None:
        raise answer[0]


class _HttpConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        _resolve(self.host, self.port, self.timeout or CONNECT_SECONDS)
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _HttpsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        _resolve(self.host, self.port, self.timeout or CONNECT_SECONDS)
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, request, context=ssl.create_default_context())
