"""A seeded stack as its tests look at it: its Applications, its repository, and the objects that it was seeded with."""

import base64
import datetime
import io
import json
import re
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from lab.git import service
from lab.git.tree import BRANCH, REPOSITORY
from seedbed import UserError, applications
from seedbed.kube import Api
from stacks.config import ROOT
from stacks.identity import Identity, KeyPair
from stacks.sealing import open_sealed
from tests.lab.stacks import Stack

SERVER, AGENT = "server-a-1", "agent-a-1"
ENVIRONMENT = "dev"
NAMES = {"root", "argocd", "sealed-secrets", "metrics-server", "podinfo-dev", "web-dev"}
"""The Applications of the tree as it is committed."""

PIECES = ("sealed-secrets", "argocd")
"""What the seed plants, in order."""

MANAGER = "argocd-controller"
TRACKING = "argocd.argoproj.io/tracking-id"
OVERLAY = f"k8s/apps/podinfo/overlays/{ENVIRONMENT}"

Objects = dict[str, dict[str, Any]]
"""By kind and name."""


@dataclass(frozen=True)
class Seeded:
    """A stack that one `seedbed up` has seeded, what was seen meanwhile, and its state as it was exported then."""

    stack: Stack
    console: str
    processes: str
    state: str


def until(what: Callable[[], object], seconds: float, said: Callable[[], object]) -> None:
    """Wait for it; `seconds` is only where waiting is given up."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, said()
        time.sleep(0.5)


# --- the identity


def sealing_pair(days_ago: int = 0, key: rsa.RSAPrivateKey | None = None) -> KeyPair:
    """A key pair like an identity's for sealing, made so many days ago."""
    key = key or rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealed-secret")])
    made = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days_ago)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(made)
        .not_valid_after(made + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return KeyPair(crt=certificate.public_bytes(serialization.Encoding.PEM).decode(), key=private.decode())


def keep(stack: Stack, identity: Identity) -> None:
    """Give a stack that was never up its identity; `up` takes the one that is there."""
    file = stack.lab_folder / "identity.json"
    file.touch(0o600)
    file.write_text(identity.to_json())


# --- the cluster


def api(stack: Stack) -> Api:
    """The cluster's API, as the command line asks it."""
    return Api.of(stack.identity, f"https://{stack.subnet[11]}:6443")


def await_whole(stack: Stack, seconds: float = 180) -> None:
    """Until the Applications of the committed tree are all there are, Synced and Healthy."""
    said: list[str] = []

    def whole() -> bool:
        try:
            found = applications.applications(api(stack))
        except UserError as error:  # the server comes up
            said[:] = [str(error)]
            return False
        said[:] = applications.table(found)
        return {one.name for one in found} == NAMES and all(one.synced and one.healthy for one in found)

    until(whole, seconds, lambda: "\n".join(said))


def answer(stack: Stack, host: str, name: str) -> str:
    """What a Service of the applications answers to a host: by its own address, so by way of kube-proxy."""
    spec = json.loads(stack.kubectl("get", "service", name, "-n", ENVIRONMENT, "-o", "json"))["spec"]
    url = f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}/"
    return stack.lab.ssh(host, f"curl -sS --fail --max-time 10 --retry 5 --retry-all-errors {url}").stdout


def sealing_keys(stack: Stack) -> set[str]:
    """The names of the Secrets that the controller takes for its keys."""
    label = "sealedsecrets.bitnami.com/sealed-secrets-key"
    found = stack.kubectl("get", "secrets", "-n", "kube-system", "-l", label, "-o", "json")
    return {item["metadata"]["name"] for item in json.loads(found)["items"]}


def planted(stack: Stack) -> Objects:
    """Every object of the seed as it is on the cluster, with who set which field."""
    put_tree(stack)
    found: Objects = {}
    for piece in PIECES:
        command = f"cd /root && k3s kubectl get -k k8s/base/{piece} -o json --show-managed-fields"
        for item in json.loads(stack.lab.ssh(SERVER, command, timeout=120).stdout)["items"]:
            metadata = item["metadata"]
            found[f"{item['kind']} {metadata.get('namespace', '')}/{metadata['name']}"] = item
    return found


def put_tree(stack: Stack) -> None:
    """The copy's `k8s/` to the first server."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        tar.add(stack.root / "k8s", "k8s")
    text = base64.b64encode(packed.getvalue()).decode()
    stack.lab.ssh(SERVER, "rm -rf /root/k8s && base64 -d | tar -xz -C /root", stdin=text)


# --- the repository


def pushed(stack: Stack) -> dict[str, Any]:
    """Podinfo's SealedSecret as it is in the lab's repository."""
    argv = ["git", "-C", str(stack.lab_folder / service.ROOT / REPOSITORY), "show"]
    argv.append(f"{BRANCH}:{OVERLAY}/sealed-secret.yaml")
    text = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout
    return dict(yaml.safe_load(text))


def pushed_message(stack: Stack, keys: Sequence[KeyPair]) -> str:
    """What these keys read in podinfo's secret as it was pushed last."""
    return open_sealed(pushed(stack), keys)["message"].decode()


def push(stack: Stack, change: Callable[[Path], None], message: str) -> None:
    """Clone the lab's repository as the documentation says, and push a change of it. `change` gets the clone."""
    clone = stack.lab_folder / "work"
    preparing, cloning, entering, pushing = documented(stack)
    if not clone.exists():
        _shell(stack, [*preparing, cloning])
    change(clone)
    who = "-c user.name=somebody -c user.email=somebody@seedbed.test"
    commit = f"git add --all && git {who} commit --quiet --message '{message}'"
    _shell(stack, [*preparing, entering, commit, "git pull --quiet --rebase", pushing])


def documented(stack: Stack) -> tuple[list[str], str, str, str]:
    """The lines of the documentation for this stack: two for the shell, then how to clone, enter the clone, and push."""
    text = (ROOT / "docs" / "reference" / "lab-repository.md").read_text()
    [block] = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    block = block.replace(".lab/dev", f".lab/{stack.name}").replace("10.77.0.2/", f"{stack.subnet[2]}/")
    *preparing, cloning, entering, pushing = block.splitlines()
    assert (cloning.split()[:2], entering.split()[0], pushing) == (["git", "clone"], "cd", "git push")
    return preparing, cloning, entering, pushing


def _shell(stack: Stack, lines: Sequence[str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        cwd=stack.root, env=stack.base_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
