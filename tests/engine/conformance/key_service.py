"""Keeps the key of a test's stacks, as a HashiCorp Vault does: a stack is opened without deriving its key from a passphrase.

Pulumi derives that with a million rounds of PBKDF2, a fifth of a second of each command; that stacks with a passphrase
work is seen by all other tests of the engine. What is secret is encrypted in the same way with either.
Sources: pulumi/pulumi `pkg/secrets/cloud/manager.go`; developer.hashicorp.com/vault/api-docs/secret/transit.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = "vault:v1:"


class _Transit(BaseHTTPRequestHandler):
    """Wraps a stack's key by a prefix alone: nothing that these keys encrypt outlives a test."""

    def do_PUT(self) -> None:
        """`/v1/transit/encrypt/NAME` and `/v1/transit/decrypt/NAME`."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.split("/")[3] == "encrypt":
            data = {"ciphertext": PREFIX + asked["plaintext"]}
        else:
            data = {"plaintext": asked["ciphertext"].rpartition(":")[2]}
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def key_service() -> Iterator[dict[str, str]]:
    """Serves it on loopback; gives the variables that lead the CLI to it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transit)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield {"VAULT_SERVER_URL": f"http://127.0.0.1:{server.server_address[1]}", "VAULT_SERVER_TOKEN": "of-a-test"}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
