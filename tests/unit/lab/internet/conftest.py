import contextlib
import hashlib
import http.client
import io
import json
import ssl
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.internet.archives import INDEX, MANIFEST, NAME_ANNOTATION, Archives
from lab.internet.mirror import Mirror
from lab.internet.names import all_names
from lab.internet.passthrough import PassThrough
from lab.internet.pki import Authority, create_authority
from lab.internet.registry import Registry
from lab.internet.server import Server, tls_context
from lab.internet.site import Site
from lab.internet.upstream import Dialler, Upstream

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Image:
    """What `write_archive` wrote, by digest."""

    manifest: str
    config: str
    layer: bytes
    layer_digest: str


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def write_archive(path: Path, names: list[str], layer: bytes = b"layer" * 1000, nested: bool = False) -> Image:
    """A small OCI-layout tar; `nested` puts an index between the name and the manifest, as multi-platform images do."""
    blobs: dict[str, bytes] = {}

    def put(data: bytes, kind: str) -> dict[str, object]:
        blobs[sha256(data)] = data
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}

    config = put(b'{"architecture":"amd64","os":"linux"}', "application/vnd.oci.image.config.v1+json")
    layers = [put(layer, "application/vnd.oci.image.layer.v1.tar+gzip")]
    body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}).encode()
    manifest = top = put(body, MANIFEST)
    if nested:
        top = put(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}).encode(), INDEX)
    entries = [{**top, "annotations": {NAME_ANNOTATION: name}} for name in names]
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    files |= {f"blobs/{digest.replace(':', '/')}": data for digest, data in blobs.items()}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
    new = path.with_suffix(".new")
    with tarfile.open(new, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    new.replace(path)
    return Image(str(manifest["digest"]), str(config["digest"]), layer, sha256(layer))


@pytest.fixture(scope="session")
def authority() -> Authority:
    return create_authority("test")


@pytest.fixture(scope="session")
def server_context(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = authority.issue([*all_names(), "extra.example", "storage.example", "token.example"], [LOOPBACK])
    (folder / "crt").write_bytes(certificate)
    (folder / "key").write_bytes(key)
    return tls_context(folder / "crt", folder / "key")


@pytest.fixture(scope="session")
def client_context(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.pem)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[int]:
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Client:
    """Asks the lab's HTTPS server on a loopback port for a named host."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.port = port
        self.context = context

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(LOOPBACK, self.port, context=self.context, timeout=10)

    def ask(self, host: str, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, headers={"Host": host, **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()


@dataclass(frozen=True)
class Lab:
    """A small internet on loopback, and where its files are."""

    client: Client
    tree: Path
    archive: Path
    site: Site


@pytest.fixture
def build_lab(
    tmp_path: Path, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Iterator[Callable[[Dialler], Lab]]:
    with contextlib.ExitStack() as stack:

        def build(dialler: Dialler) -> Lab:
            tree, archive = tmp_path / "tree", tmp_path / "images.tar"
            tree.mkdir(exist_ok=True)
            site = Site(
                Mirror({"github.com": tree, "extra.example": tree}),
                Registry(Archives([archive])),
                PassThrough(tmp_path / "cache", Upstream(dialler)),
                frozenset(all_names(["extra.example"])),
                lambda: {"status": "ok"},
            )
            port = stack.enter_context(serving(Server((LOOPBACK, 0), site, server_context, log=lambda _: None)))
            return Lab(Client(port, client_context), tree, archive, site)

        yield build


@pytest.fixture
def offline(client_context: ssl.SSLContext) -> Dialler:
    """No name resolves, as on a machine without internet."""

    def resolve(host: str) -> list[str]:
        from lab.internet.dns import NameNotFoundError

        raise NameNotFoundError(f"no such name {host}")

    return Dialler(resolve, "192.0.2.1", client_context)


@pytest.fixture
def lab(build_lab: Callable[[Dialler], Lab], offline: Dialler) -> Lab:
    return build_lab(offline)
