"""A Kubernetes API as far as `seedbed.kube` uses it: HTTPS with client certificates, objects, merge patches.

Its certificates are of the identity, as a cluster's are. What controllers do is a function that a test gives.
"""

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

APPLICATIONS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications"
APPLICATION_SETS = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applicationsets"
REPOSITORY = "ssh://git@forge.example.org/cluster.git"


def server_certificate(identity):
    """PEM certificate and key for 127.0.0.1, of the cluster's server CA."""
    ca = x509.load_pem_x509_certificate(identity.files["server-ca.crt"].encode())
    ca_key = serialization.load_pem_private_key(identity.files["server-ca.key"].encode(), None)
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM) + pem


class FakeApi:
    """`objects` by path; `before_read` is called with this before each GET; `asked` is each request's method and path;
    so many requests as `busy` says are put off."""

    def __init__(self, identity, folder):
        self.objects = {}
        self.before_read: Callable[[FakeApi], None] = lambda _: None
        self.busy = 0
        self.asked = []
        self.users = []
        self.lock = threading.RLock()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = folder / "server.pem"
        pem.write_bytes(server_certificate(identity))
        context.load_cert_chain(pem)
        context.load_verify_locations(cadata=identity.files["client-ca.crt"])
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def read(self, path):
        path = path.partition("?")[0]
        if path in self.objects:
            return self.objects[path]
        below = [o for p, o in sorted(self.objects.items()) if p.rpartition("/")[0] == path]
        return {"items": below} if below else None

    def application(self, name, *, sync="Synced", health="Healthy", revision="a" * 40, **status):
        """Puts an Application that follows the root's branch."""
        self.objects[f"{APPLICATIONS}/{name}"] = {
            "metadata": {"name": name, "annotations": {}},
            "spec": {
                "project": "platform" if name == "root" else "apps",
                "source": {"repoURL": REPOSITORY, "targetRevision": "main"},
                "destination": {"namespace": "dev"},
                "syncPolicy": {"automated": {}},
            },
            "status": {"sync": {"status": sync, "revision": revision}, "health": {"status": health}, **status},
        }

    def application_set(self, name):
        self.objects[f"{APPLICATION_SETS}/{name}"] = {"metadata": {"name": name, "annotations": {}}, "status": {}}

    def _handler(self):
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with fake.lock:
                    self._note()
                    fake.before_read(fake)
                    found = fake.read(self.path)
                    self._answer(found)

            def do_PATCH(self):
                change = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with fake.lock:
                    self._note()
                    found = fake.objects.get(self.path)
                    if self.headers["Content-Type"] != "application/merge-patch+json":
                        self._send(415, {"message": "unknown patch"})
                        return
                    if found is not None:
                        merge(found, change)
                    self._answer(found)

            def _note(self):
                fake.asked.append((self.command, self.path))
                subject = dict(x[0] for x in self.connection.getpeercert()["subject"])
                fake.users.append(subject)

            def _answer(self, found):
                if fake.busy:
                    fake.busy -= 1
                    self._send(429, {"kind": "Status", "message": "storage is (re)initializing"}, {"Retry-After": "0"})
                elif found is None:
                    self._send(404, {"kind": "Status", "message": f"{self.path} not found"})
                else:
                    self._send(200, found)

            def _send(self, status, body, headers=None):
                data = json.dumps(body).encode()
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        return Handler


def merge(into, change):
    """RFC 7386."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value
