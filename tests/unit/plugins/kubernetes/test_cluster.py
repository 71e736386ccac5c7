"""Requests, against a server of a few lines."""

import base64
import datetime
import json
import ssl
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.plugins.kubernetes import client
from lab.plugins.kubernetes.cluster import ApiError, Cluster, NoMatchError, UnreachableError
from lab.plugins.kubernetes.settings import Kubeconfig

RESOURCES = [
    {"name": "widgets/status", "kind": "Widget", "namespaced": True},
    {"name": "widgets", "kind": "Widget", "namespaced": True},
    {"name": "rings", "kind": "Ring", "namespaced": False},
]


class Server(ThreadingHTTPServer):
    """Answers from `answers`, by method and path; remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, str, Any]] = []
        self.answers: dict[str, list[tuple[int, Any]]] = {
            "GET /version": [(200, {})],
            "GET /apis/example.com/v1": [(200, {"resources": RESOURCES})],
        }

    def kubeconfig(self, user: dict[str, str] | None = None, **cluster: Any) -> Kubeconfig:
        content = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.server_port}", **cluster}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": user or {}}],
        }
        return Kubeconfig(content)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def answer(self) -> None:
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((f"{self.command} {path}", query, str(self.headers), json.loads(body or "null")))
        answers = self.server.answers.get(f"{self.command} {path}", [(404, {"kind": "Status", "message": "gone"})])
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(content if isinstance(content, bytes) else json.dumps(content).encode())

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # The plugin's process has the client for itself; here it must not stay half imported.
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        monkeypatch.delitem(sys.modules, name)
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=[0.01])
        thread.start()
        yield found
        found.shutdown()
        thread.join()
    for name in [name for name in sys.modules if name.partition(".")[0] == "kubernetes"]:
        del sys.modules[name]


def item(kind: str = "Widget", **metadata: str) -> dict[str, Any]:
    return {"apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "n", **metadata}, "spec": {"n": 3.0}}


def test_paths_come_from_what_the_server_says_of_the_kind(server: Server) -> None:
    server.answers["POST /apis/example.com/v1/namespaces/home/widgets"] = [(201, {"made": 1})]
    server.answers["PATCH /apis/example.com/v1/rings/n"] = [(200, {"made": 2})]
    cluster = Cluster(server.kubeconfig({"token": "t0ken"}))
    assert cluster.create(item(namespace="home"), "me") == {"made": 1}
    assert cluster.apply(item("Ring", namespace="home"), "me", force=True) == {"made": 2}
    assert [asked[0] for asked in server.asked] == [
        "GET /version",
        "GET /apis/example.com/v1",
        "POST /apis/example.com/v1/namespaces/home/widgets",
        "GET /apis/example.com/v1",
        "PATCH /apis/example.com/v1/rings/n",
    ]
    _, query, headers, body = server.asked[-1]
    assert query == "fieldManager=me&force=true"
    assert "Content-Type: application/apply-patch+yaml" in headers
    assert "Authorization: Bearer t0ken" in headers
    assert repr(body["spec"]) == "{'n': 3}"
    assert body["metadata"] == {"name": "n"}


def test_a_kind_that_is_not_served_is_asked_for_again_each_time(server: Server) -> None:
    cluster = Cluster(server.kubeconfig())
    with pytest.raises(NoMatchError, match='no matches for kind "Unheard" in version "example'):
        cluster.get(item("Unheard"))
    with pytest.raises(NoMatchError, match='no matches for kind "Widget" in version "other'):
        cluster.get({**item(), "apiVersion": "other.com/v1"})
    server.answers["GET /apis/example.com/v1"] = [
        (200, {"resources": [{"name": "unheards", "kind": "Unheard", "namespaced": False}]})
    ]
    server.answers["GET /apis/example.com/v1/unheards/n"] = [(200, {"is": "there"})]
    assert cluster.get(item("Unheard")) == {"is": "there"}


def test_a_refusal_is_the_servers_own_words(server: Server) -> None:
    refusal = {"kind": "Status", "reason": "AlreadyExists", "message": 'widgets "n" already exists'}
    server.answers["POST /apis/example.com/v1/namespaces/default/widgets"] = [(409, refusal)]
    with pytest.raises(ApiError, match='widgets "n" already exists') as error:
        Cluster(server.kubeconfig()).create(item(), "me")
    assert (error.value.status, error.value.reason) == (409, "AlreadyExists")
    server.answers["POST /apis/example.com/v1/namespaces/default/widgets"] = [(502, b"<html>")]
    with pytest.raises(ApiError, match="status 502"):
        Cluster(server.kubeconfig()).create(item(), "me")


def test_a_server_that_asks_for_patience_is_asked_again(server: Server) -> None:
    path = "/apis/example.com/v1/namespaces/default/widgets/n"
    server.answers[f"GET {path}"] = [(429, {}), (429, {}), (200, {"is": "there"})]
    assert Cluster(server.kubeconfig()).get(item()) == {"is": "there"}


def test_who_does_not_answer_at_first_is_not_asked_again(server: Server) -> None:
    server.answers["GET /version"] = [(401, {"kind": "Status", "message": "Unauthorized"}), (200, {})]
    cluster = Cluster(server.kubeconfig())
    for _ in range(2):
        with pytest.raises(UnreachableError, match=r"http://127\.0\.0\.1:\d+ answers: Unauthorized"):
            cluster.get(item())
    assert len(server.asked) == 1


def test_certificates_are_in_no_file_once_they_are_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1)
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    loaded: list[list[tuple[int, int]]] = []
    load = ssl.SSLContext.load_cert_chain

    def spied(self: ssl.SSLContext, cert: str, key: str) -> None:
        paths = [Path(cert).parent, Path(cert), Path(key)]
        loaded.append([(path.stat().st_mode & 0o077, path.exists()) for path in paths])
        load(self, cert, key)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spied)
    user = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(private).decode(),
    }
    client.connect(server.kubeconfig(user, server="https://127.0.0.1:1", **{"insecure-skip-tls-verify": True}))
    assert loaded == [[(0, True)] * 3]
    assert list(tmp_path.iterdir()) == []


def test_credentials_that_cannot_be_read_are_named_without_them(server: Server) -> None:
    user = {"client-certificate-data": "aGlkZGVu", "client-key-data": "aGlkZGVu"}
    with pytest.raises(UnreachableError, match="cannot be used: SSLError") as error:
        Cluster(server.kubeconfig(user, server="https://127.0.0.1:1")).get(item())
    assert "hidden" not in str(error.value)
    assert server.asked == []
