"""A real API server with a store of its own, on loopback: kube-apiserver and etcd out of the lab's k3s stand-in.

Of the controllers those run without which nothing can be deleted: the garbage collector's and the namespaces'.
"""

import base64
import contextlib
import datetime
import ipaddress
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pulumi_kubernetes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from tests.engine.conformance.harness import TIMEOUT_SECONDS, free_port

POLL_SECONDS = 0.05
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

GROUP = "conformance.seedbed.internal"
KINDS = {"Widget": True, "Ring": False}
"""The custom kinds of the tests, in version v1 of the group, and whether their objects live in namespaces."""


@dataclass
class ApiServer:
    """The server, with the rights of an administrator."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, **changes: Any) -> str:
        """A kubeconfig with a client certificate, as k3s writes it; `changes` are for the cluster's entry."""

        def data(name: str) -> str:
            return base64.b64encode((self.folder / name).read_bytes()).decode()

        user = {"client-certificate-data": data("client.crt"), "client-key-data": data("client.key")}
        cluster = {"server": self.url, "certificate-authority-data": data("ca.crt"), **changes}
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "default",
                "clusters": [{"name": "default", "cluster": cluster}],
                "users": [{"name": "default", "user": user}],
                "contexts": [{"name": "default", "context": {"cluster": "default", "user": "default"}}],
            }
        )

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """One request; the object that is answered, None where there is none (404)."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.crt"))
        context.load_cert_chain(self.folder / "client.crt", self.folder / "client.key")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": content_type}, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise AssertionError(f"{method} {path}: {error.read().decode()}") from None

    def provider(self, name: str = "p", **settings: Any) -> pulumi_kubernetes.Provider:
        """A provider for the server, in a program."""
        given = {"kubeconfig": pulumi.Output.secret(self.kubeconfig()), "cluster_identifier": "one", **settings}
        return pulumi_kubernetes.Provider(name, **given)

    def get(self, path: str) -> Any:
        """The object at the path, None if there is none."""
        return self.request("GET", path)

    def apply(self, path: str, item: Any, manager: str) -> Any:
        """Server-side apply by another manager, with force."""
        return self.request("PATCH", f"{path}?fieldManager={manager}&force=true", item, APPLY)

    def patch(self, path: str, change: Any) -> Any:
        """A merge patch."""
        return self.request("PATCH", f"{path}?fieldManager=somebody", change, MERGE)

    def define(self, kind: str, *, namespaced: bool) -> None:
        """A kind whose objects have any `spec` and `status`; returns when the server knows it."""
        plural = f"{kind.lower()}s"
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
        }
        self.request(
            "POST",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.{GROUP}"},
                "spec": {
                    "group": GROUP,
                    "scope": "Namespaced" if namespaced else "Cluster",
                    "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
                    "versions": [version],
                },
            },
        )
        where = f"/apis/{GROUP}/v1" + ("/namespaces/default" if namespaced else "")
        self._wait_for(f"{where}/{plural}")

    def _wait_for(self, path: str) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            with contextlib.suppress(AssertionError, OSError, ValueError):
                if self.get(path) is not None:
                    return
            assert time.monotonic() < deadline, f"{path} is not served"
            time.sleep(POLL_SECONDS)


@contextmanager
def api_server(k3s: Path, folder: Path) -> Iterator[ApiServer]:
    """Runs etcd and the API server as child processes, with throw-away certificates."""
    folder.mkdir(parents=True)
    _certificates(folder)
    client, peer, port = free_port(), free_port(), free_port()
    server = ApiServer(port, folder)
    processes: list[subprocess.Popen[bytes]] = []

    def start(name: str, *flags: str) -> None:
        log = (folder / f"{name}.log").open("wb")
        processes.append(subprocess.Popen([k3s, name, *flags], cwd=folder, stdout=log, stderr=log))
        log.close()

    try:
        start(
            "etcd",
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{client}",
            f"--advertise-client-urls=http://127.0.0.1:{client}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
        )
        start(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--authorization-mode=RBAC",
            "--client-ca-file=ca.crt",
            "--tls-cert-file=server.crt",
            "--tls-private-key-file=server.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=accounts.key",
            "--service-account-signing-key-file=accounts.key",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        )
        _wait_until_ready(server, processes)
        # Before the garbage collector starts: it looks for new kinds twice a minute.
        for kind, namespaced in KINDS.items():
            server.define(kind, namespaced=namespaced)
        _write(folder / "kubeconfig", server.kubeconfig().encode())
        start(
            "kube-controller-manager",
            "--kubeconfig=kubeconfig",
            "--controllers=garbage-collector-controller,namespace-controller",
            "--leader-elect=false",
            "--secure-port=0",
        )
        yield server
    finally:
        for process in reversed(processes):
            # Nothing of it is kept, and on SIGTERM the API server waits for a minute.
            process.kill()
            process.wait(TIMEOUT_SECONDS)


def _wait_until_ready(server: ApiServer, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        ended = [process.args for process in processes if process.poll() is not None]
        assert not ended, "\n".join(log.read_text()[-2000:] for log in server.folder.glob("*.log"))
        with contextlib.suppress(AssertionError, OSError, ValueError):
            if server.get("/api/v1/namespaces/default") is not None:
                return
        assert time.monotonic() < deadline, "the API server does not get ready"
        time.sleep(POLL_SECONDS)


def _certificates(folder: Path) -> None:
    """An authority, and of it the server's and an administrator's certificate."""
    authority = ec.generate_private_key(ec.SECP256R1())
    _write(folder / "ca.crt", _certificate("authority", authority.public_key(), authority, ca=True))
    for name, organization in (("server", ""), ("client", "system:masters")):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(folder / f"{name}.crt", _certificate(name, key.public_key(), authority, organization))
        _write(folder / f"{name}.key", _private(key))
    _write(folder / "accounts.key", _private(rsa.generate_private_key(65537, 2048)))


def _write(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def _private(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(
    name: str,
    key: ec.EllipticCurvePublicKey,
    authority: ec.EllipticCurvePrivateKey,
    organization: str = "",
    *,
    ca: bool = False,
) -> bytes:
    def subject(common_name: str, organization: str = "") -> x509.Name:
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        if organization:
            attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
        return x509.Name(attributes)

    now = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name, organization))
        .issuer_name(subject("authority"))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=24))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
