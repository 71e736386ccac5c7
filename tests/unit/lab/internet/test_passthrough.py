import hashlib
import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab.internet.dns import NameNotFoundError
from lab.internet.passthrough import FRESH_SECONDS, PassThrough
from lab.internet.upstream import REMEMBER_UNREACHABLE, Dialler, UnreachableError, Upstream

from .conftest import LOOPBACK, Lab

TOKEN_LIFETIME = 300
LAYER = b"layer" * 200_000
DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


class Double(ThreadingHTTPServer):
    """The real hosts, on one loopback port: GitHub, its storage, Docker Hub and its token server."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__((LOOPBACK, 0), DoubleHandler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.seen: list[tuple[str, str, str | None]] = []
        """(host, path, authorization) of each request."""
        self.pages: dict[tuple[str, str], tuple[int, dict[str, str], bytes]] = {}
        self.cut = False
        self.hold = threading.Event()
        self.hold.set()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class DoubleHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        host, authorization = self.headers["Host"], self.headers.get("Authorization")
        self.server.seen.append((host, self.path, authorization))
        if host == "registry-1.docker.io" and authorization != "Bearer pass":
            scope = self.path.split("/manifests/")[0].split("/blobs/")[0].removeprefix("/v2/")
            challenge = f'Bearer realm="https://token.example/token",service="hub",scope="repository:{scope}:pull"'
            self.reply(401, {"WWW-Authenticate": challenge}, b"{}")
            return
        status, headers, body = self.server.pages.get((host, self.path), (404, {}, b"no such page"))
        if headers.get("ETag") is not None and self.headers.get("If-None-Match") == headers["ETag"]:
            self.reply(304, headers, b"")
            return
        self.reply(status, headers, body)

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.server.hold.wait(10)
        if not self.server.cut:
            self.wfile.write(body[half:])
        else:
            self.close_connection = True


@pytest.fixture
def double(server_context: ssl.SSLContext) -> Iterator[Double]:
    server = Double(server_context)
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def online(double: Double, client_context: ssl.SSLContext) -> Dialler:
    return Dialler(lambda _: [LOOPBACK], "192.0.2.1", client_context, port=double.server_address[1])


@pytest.fixture
def lab(build_lab: Callable[[Dialler], Lab], online: Dialler) -> Lab:
    return build_lab(online)


RELEASE = "/k3s-io/k3s/releases/download/v1%2Bk3s1/k3s"


def test_what_the_lab_does_not_have_comes_from_the_real_host_and_is_kept(lab: Lab, double: Double) -> None:
    double.pages["github.com", RELEASE] = (302, {"Location": "https://storage.example/k3s?signed=1"}, b"")
    double.pages["storage.example", "/k3s?signed=1"] = (200, {"Content-Type": "application/x-elf"}, LAYER)
    first = lab.client.ask("github.com", RELEASE)
    assert (first.status, first.body, first.headers["Content-Type"]) == (200, LAYER, "application/x-elf")
    asked = len(double.seen)
    again = lab.client.ask("github.com", RELEASE, headers={"Range": "bytes=-4"})
    assert (again.status, again.body) == (206, LAYER[-4:])
    assert len(double.seen) == asked == 2


def test_what_the_lab_has_is_not_asked_of_the_real_host(lab: Lab, double: Double) -> None:
    (lab.tree / "file").write_text("ours")
    assert lab.client.ask("github.com", "/file").body == b"ours"
    assert double.seen == []


def test_a_download_is_handed_on_before_it_is_complete_and_to_all_who_ask(lab: Lab, double: Double) -> None:
    double.pages["github.com", RELEASE] = (200, {}, LAYER)
    double.hold.clear()
    readers = []
    for _ in range(2):
        connection = lab.client.connect()
        connection.request("GET", RELEASE, headers={"Host": "github.com"})
        response = connection.getresponse()
        assert response.read(1000) == LAYER[:1000]
        readers.append((connection, response))
    double.hold.set()
    for connection, response in readers:
        assert response.read() == LAYER[1000:]
        connection.close()
    assert len(double.seen) == 1


def test_a_broken_off_download_is_not_kept(lab: Lab, double: Double) -> None:
    double.pages["github.com", RELEASE] = (200, {}, LAYER)
    double.cut = True
    with pytest.raises(http.client.IncompleteRead):
        lab.client.ask("github.com", RELEASE)
    double.cut = False
    assert lab.client.ask("github.com", RELEASE).body == LAYER
    assert list((lab.tree.parent / "cache" / "blobs").glob(".part-*")) == []


def test_an_error_of_the_real_host_is_handed_on_and_not_kept(lab: Lab, double: Double) -> None:
    for _ in range(2):
        reply = lab.client.ask("github.com", "/none")
        assert (reply.status, reply.body) == (404, b"no such page")
    assert len(double.seen) == 2


def test_a_redirect_to_plain_http_is_not_followed(lab: Lab, double: Double) -> None:
    double.pages["github.com", "/x"] = (302, {"Location": "http://storage.example/x"}, b"")
    reply = lab.client.ask("github.com", "/x")
    assert (reply.status, b"which is not https" in reply.body) == (404, True)


def test_an_image_is_pulled_through_with_the_token_that_the_registry_asks_for(lab: Lab, double: Double) -> None:
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST_TYPE}).encode()
    digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
    token = json.dumps({"token": "pass", "expires_in": TOKEN_LIFETIME}).encode()
    double.pages["token.example", "/token?service=hub&scope=repository%3Alibrary%2Fredis%3Apull"] = (200, {}, token)
    double.pages["registry-1.docker.io", "/v2/library/redis/manifests/7"] = (
        200,
        {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": digest},
        manifest,
    )
    blob = f"/v2/library/redis/blobs/{DIGEST}"
    double.pages["registry-1.docker.io", blob] = (307, {"Location": "https://storage.example/blob"}, b"")
    double.pages["storage.example", "/blob"] = (200, {}, LAYER)
    head = lab.client.ask("docker.io", "/v2/redis/manifests/7", "HEAD", {"Accept": MANIFEST_TYPE})
    assert (head.status, head.headers["Docker-Content-Digest"]) == (200, digest)
    assert head.headers["Content-Type"] == MANIFEST_TYPE
    assert lab.client.ask("docker.io", "/v2/redis/manifests/7", "GET", {"Accept": MANIFEST_TYPE}).body == manifest
    assert lab.client.ask("docker.io", blob).body == LAYER
    assert [(host, bool(authorization)) for host, _, authorization in double.seen] == [
        ("registry-1.docker.io", False),
        ("token.example", False),
        ("registry-1.docker.io", True),
        ("registry-1.docker.io", True),  # the blob, with the token at hand
        ("storage.example", False),  # which is not shown the token
    ]


def test_content_of_another_digest_is_neither_kept_nor_handed_on_whole(lab: Lab, double: Double) -> None:
    path = f"/v2/a/b/blobs/sha256:{'0' * 64}"
    double.pages["quay.io", path] = (200, {}, LAYER)
    with pytest.raises(http.client.IncompleteRead):
        lab.client.ask("quay.io", path)
    assert not list((lab.tree.parent / "cache" / "urls").iterdir())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def passthrough(tmp_path: Any, online: Dialler, clock: Clock) -> PassThrough:
    return PassThrough(tmp_path / "pages", Upstream(online), now=clock)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def body_of(passthrough: PassThrough, host: str, path: str) -> bytes:
    body = passthrough.answer(host, path).body
    assert not isinstance(body, bytes)
    return body.read() if hasattr(body, "read") else body.finish().read()


def test_a_page_that_may_change_is_asked_for_again_after_a_while(
    passthrough: PassThrough, double: Double, clock: Clock
) -> None:
    double.pages["get.k3s.io", "/"] = (200, {"ETag": '"1"'}, b"old")
    assert body_of(passthrough, "get.k3s.io", "/") == b"old"
    assert body_of(passthrough, "get.k3s.io", "/") == b"old"
    assert len(double.seen) == 1
    clock.now += FRESH_SECONDS + 1
    assert body_of(passthrough, "get.k3s.io", "/") == b"old"  # 304
    assert len(double.seen) == 2
    double.pages["get.k3s.io", "/"] = (200, {"ETag": '"2"'}, b"new")
    clock.now += FRESH_SECONDS + 1
    assert body_of(passthrough, "get.k3s.io", "/") == b"new"


def test_an_old_page_is_better_than_none_when_the_real_host_is_gone(
    passthrough: PassThrough, double: Double, clock: Clock, online: Dialler
) -> None:
    double.pages["get.k3s.io", "/"] = (200, {}, b"old")
    assert body_of(passthrough, "get.k3s.io", "/") == b"old"
    clock.now += FRESH_SECONDS + 1
    online.resolve = lambda host: (_ for _ in ()).throw(NameNotFoundError(host))
    assert body_of(passthrough, "get.k3s.io", "/") == b"old"


def test_a_host_that_cannot_be_reached_is_not_tried_again_for_a_minute(client_context: ssl.SSLContext) -> None:
    tries = []
    clock = Clock()

    def resolve(host: str) -> list[str]:
        tries.append(host)
        raise NameNotFoundError("no answer")

    dialler = Dialler(resolve, "192.0.2.1", client_context, clock=clock)
    for _ in range(3):
        with pytest.raises(UnreachableError, match="no answer"):
            dialler.connect("quay.io")
    assert tries == ["quay.io"]
    clock.now += REMEMBER_UNREACHABLE + 1
    with pytest.raises(UnreachableError):
        dialler.connect("quay.io")
    assert len(tries) == 2


def test_a_name_that_leads_back_to_the_lab_is_not_followed(client_context: ssl.SSLContext) -> None:
    dialler = Dialler(lambda _: ["10.77.0.2"], "10.77.0.2", client_context)
    with pytest.raises(UnreachableError, match="answered by the lab itself"):
        dialler.connect("quay.io")


def test_a_real_host_with_a_wrong_certificate_is_not_believed(double: Double) -> None:
    dialler = Dialler(lambda _: [LOOPBACK], "192.0.2.1", ssl.create_default_context(), port=double.server_address[1])
    with pytest.raises(UnreachableError, match="certificate verify failed"):
        dialler.connect("quay.io")
