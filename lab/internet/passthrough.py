"""What real hosts answered, kept by content in the cache, and handed on while it still arrives."""

import hashlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.internet.content import Answer, FilePart
from lab.internet.upstream import Response, UnreachableError, Upstream

FRESH_SECONDS = 300
"""How long a page that may change is handed out again without asking."""

_UNCHANGING = re.compile(r"sha256:[0-9a-f]{64}$|/releases/download/")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})$")
_KEPT_HEADERS = ("content-type", "docker-content-digest", "docker-distribution-api-version", "etag", "last-modified")
_UNFINISHED = ".part-"
_CHUNK = 1 << 18
_LARGEST_ERROR_PAGE = 1 << 16
_ABANDONED_AFTER = 86400  # seconds; an unfinished file so old is of a server that was killed


class Fetch:
    """One download: arrives in a file of the cache, and is read from there by all who asked meanwhile."""

    def __init__(self, folder: Path, expected_digest: str | None) -> None:
        """Make the file; `run` fills it."""
        # Unbuffered, so that what has been written can be read by the others at once.
        handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(handle, "w+b", buffering=0)  # closed with the last who holds this object
        self._expected_digest = expected_digest
        self._changed = threading.Condition()
        self._head: Response | None = None
        self._received = 0
        self._available = 0  # of those received, the bytes that are handed on
        self._over = False
        self._failure: str | None = None
        self._unreachable: UnreachableError | None = None
        self.body = b""
        """What came with a status other than 200."""

    def run(self, ask: Callable[[], Response], keep: Callable[[str], None], leave: Callable[[], None]) -> None:
        """Download by `ask`. When all is there, `keep` gets its SHA-256.

        `leave` is called before anybody learns of the end, so that who asks after it does not meet this one.
        """
        failure: str | None = None
        unreachable: UnreachableError | None = None
        refusal: Response | None = None
        try:
            response = ask()
            try:
                if response.status == 200:
                    self._announce(response)
                    keep(self._receive(response))
                else:
                    self.body = response.body.read(_LARGEST_ERROR_PAGE)
                    refusal = response
            finally:
                response.close()
        except UnreachableError as error:
            unreachable = error
        except Exception as error:  # whatever it is: the others wait for the end
            failure = str(error) or type(error).__name__
        if self.path.name.startswith(_UNFINISHED):
            self.path.unlink(missing_ok=True)
        leave()
        with self._changed:
            self._head = self._head or refusal
            if failure is None:
                self._available = self._received
            self._failure, self._unreachable, self._over = failure, unreachable, True
            self._changed.notify_all()

    def head(self) -> Response:
        """Status and headers; waits for them. Raises UnreachableError."""
        with self._changed:
            self._changed.wait_for(lambda: self._head is not None or self._over)
            if self._unreachable is not None:
                raise self._unreachable
            if self._head is None:
                raise UnreachableError(self._failure or "the connection broke")
            return self._head

    @property
    def length(self) -> int | None:
        """Bytes in all, if the real host says so."""
        value = self.head().headers.get("content-length", "")
        return int(value) if value.isdigit() else None

    def chunks(self) -> Iterator[bytes]:
        """The bytes as they come."""
        offset = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=offset: self._available > seen or self._over)  # type: ignore[misc]
                available, over, failure = self._available, self._over, self._failure
            while offset < available:
                data = os.pread(self._file.fileno(), min(_CHUNK, available - offset), offset)
                offset += len(data)
                yield data
            if over:
                if failure is not None:
                    raise OSError(failure)
                return

    def finish(self) -> FilePart:
        """Wait for the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._over)
            if self._failure is not None:
                raise OSError(self._failure)
            return FilePart(self.path, 0, self._received)

    def _receive(self, response: Response) -> str:
        """Read all of it. What came last is handed on only when the whole is found right and kept, by `run`."""
        sha = hashlib.sha256()
        while data := response.body.read1(_CHUNK):
            with self._changed:
                self._available = self._received
                self._changed.notify_all()
            self._file.write(data)
            sha.update(data)
            self._received += len(data)
        wanted = response.headers.get("content-length", "")
        if wanted.isdigit() and int(wanted) != self._received:
            raise OSError(f"the real host sent {self._received} of {wanted} bytes")
        if self._expected_digest not in {None, sha.hexdigest()}:
            raise OSError("the real host sent content of another digest")
        return sha.hexdigest()

    def _announce(self, response: Response) -> None:
        with self._changed:
            self._head = response
            self._changed.notify_all()


class PassThrough:
    """Answers of real hosts. The cache holds contents by SHA-256 in `blobs`, and what each URL gave in `urls`."""

    def __init__(self, cache: Path, upstream: Upstream, now: Callable[[], float] = time.time) -> None:
        """Keep what `upstream` gives in the folder `cache`, which several labs may share."""
        self._blobs, self._urls = cache / "blobs", cache / "urls"
        self._upstream = upstream
        self._now = now
        self._running: dict[str, Fetch] = {}
        self._lock = threading.Lock()
        for folder in (self._blobs, self._urls):
            folder.mkdir(parents=True, exist_ok=True)
        for part in self._blobs.glob(f"{_UNFINISHED}*"):
            if self._now() - part.stat().st_mtime > _ABANDONED_AFTER:
                part.unlink(missing_ok=True)

    def answer(self, host: str, path: str, accept: str = "*/*") -> Answer:
        """What `https://host/path` gives; `path` with its query.

        Raises:
            UnreachableError: it cannot be reached and the cache does not have it.
        """
        url = f"https://{host}{path}"
        key = hashlib.sha256(f"{url}\n{accept}".encode()).hexdigest()
        entry = self._load(key)
        if entry and (_UNCHANGING.search(path) or self._now() - entry["fetched"] < FRESH_SECONDS):
            return self._kept(entry)
        fetch = self._join(key, host, path, accept, entry)
        try:
            head = fetch.head()
        except UnreachableError:
            if entry:
                return self._kept(entry)
            raise
        if head.status == 304 and entry:
            self._store(key, {**entry, "fetched": self._now()})
            return self._kept(entry)
        headers = _kept_headers(head.headers)
        if head.status != 200:
            return Answer(head.status, fetch.body, headers)
        return Answer(200, fetch, headers)

    def _join(self, key: str, host: str, path: str, accept: str, entry: Mapping[str, Any] | None) -> Fetch:
        """The download of this URL that is under way, or a new one."""
        with self._lock:
            running = self._running.get(key)
            if running is not None:
                return running
            expected = _DIGEST.search(path)
            fetch = self._running[key] = Fetch(self._blobs, expected[1] if expected else None)
        headers = {"Accept": accept}
        if entry and "Etag" in entry["headers"]:
            headers["If-None-Match"] = entry["headers"]["Etag"]

        def work() -> None:
            fetch.run(
                lambda: self._upstream.get(host, path, headers),
                lambda digest: self._keep(key, f"https://{host}{path}", fetch, digest),
                lambda: self._leave(key),
            )

        threading.Thread(target=work, name=f"fetch {host}", daemon=True).start()
        return fetch

    def _leave(self, key: str) -> None:
        with self._lock:
            del self._running[key]

    def _keep(self, key: str, url: str, fetch: Fetch, digest: str) -> None:
        blob = self._blobs / digest
        fetch.path.replace(blob)
        fetch.path = blob
        size = blob.stat().st_size
        headers = _kept_headers(fetch.head().headers)
        self._store(key, {"url": url, "digest": digest, "size": size, "headers": headers, "fetched": self._now()})

    def _store(self, key: str, entry: Mapping[str, Any]) -> None:
        new = self._urls / f".{key}.{os.getpid()}.{threading.get_ident()}"
        new.write_text(json.dumps(entry))
        new.replace(self._urls / f"{key}.json")

    def _load(self, key: str) -> dict[str, Any] | None:
        try:
            entry: dict[str, Any] = json.loads((self._urls / f"{key}.json").read_text())
            size = (self._blobs / entry["digest"]).stat().st_size
        except (OSError, ValueError, KeyError):
            return None
        return entry if size == entry["size"] else None

    def _kept(self, entry: Mapping[str, Any]) -> Answer:
        return Answer(200, FilePart(self._blobs / entry["digest"], 0, entry["size"]), entry["headers"])


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.title(): headers[name] for name in _KEPT_HEADERS if name in headers}
