import hashlib
import http.server
import socket
import threading
from pathlib import Path

import pytest

from tools import download
from tools.download import DownloadError, UnreachableError, WrongDigestError, fetch, fetch_text, reachable

CONTENT = b"a release\n" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """The base URL of a web server with one file, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            found = self.path == "/release"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT) + (1 if self.path == "/short" else 0)))
            self.end_headers()
            if found:
                self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}", asked
        served.shutdown()


def test_a_file_with_the_right_digest_is_kept_and_not_fetched_again(server, tmp_path: Path):
    url, asked = server
    dest = tmp_path / "new" / "release"

    assert fetch(f"{url}/release", SHA256, dest) == dest
    assert dest.read_bytes() == CONTENT
    fetch(f"{url}/release", SHA256, dest)

    assert asked == ["/release"]
    assert [path.name for path in dest.parent.iterdir()] == ["release"]


def test_a_file_with_another_digest_is_refused_and_not_kept(server, tmp_path: Path):
    url, _ = server

    with pytest.raises(WrongDigestError, match=f"its sha256 is {SHA256}, expected {'0' * 64}"):
        fetch(f"{url}/release", "0" * 64, tmp_path / "release")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_not_called_unreachable(server, tmp_path: Path):
    url, _ = server

    with pytest.raises(DownloadError, match="the server answered 404") as caught:
        fetch(f"{url}/missing", SHA256, tmp_path / "release")

    assert not isinstance(caught.value, UnreachableError)


def test_a_server_that_answers_is_reachable_whatever_it_says(server):
    url, _ = server

    assert reachable(f"{url}/release")
    assert reachable(f"{url}/missing")


def test_a_port_that_nobody_listens_on_is_unreachable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        with pytest.raises(UnreachableError, match="cannot be reached"):
            fetch_text(f"http://127.0.0.1:{port}/")
        assert not reachable(f"http://127.0.0.1:{port}/")


def test_a_resolver_that_hangs_is_given_up_on(monkeypatch: pytest.MonkeyPatch):
    given_up = threading.Event()
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download.socket, "getaddrinfo", lambda *_, **__: given_up.wait(60))

    with pytest.raises(UnreachableError, match=r"the name release\.invalid did not resolve"):
        fetch_text("https://release.invalid/", connect_timeout=0.05)

    given_up.set()
