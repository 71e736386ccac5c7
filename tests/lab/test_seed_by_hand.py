"""The seed without Pulumi: the two lines of the docs, on a cluster that nothing was planted in."""

import json
import shlex
import tarfile
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from components.remote.script import command, stdin
from components.seed import steps
from stacks.config import ROOT
from tests.lab.conftest import new_spec
from tests.lab.stacks import Stack

SERVER = "server-a-1"
DOCS = ROOT / "docs" / "how-to" / "seed-by-hand.md"
PIECES = ("sealed-secrets", "argocd")


def without_seed(config: dict[str, Any]) -> None:
    config.pop("seedbed:seed", None)
    config["seedbed:machines"].pop("agent-a")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A cluster of one server with the tree on it, and the docs' lines run."""
    stack = Stack.make(new_spec().subnet, without_seed)
    try:
        stack.up()
        packed = BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            tar.add(ROOT / "k8s", "k8s")
        stack.lab.ssh(SERVER, "base64 -d | tar -xz -C /root", stdin=b64encode(packed.getvalue()).decode())
        for line in lines():
            stack.lab.ssh(SERVER, f"cd /root && k3s {line}", timeout=120)
        yield stack
    finally:
        stack.remove()


def lines() -> list[str]:
    """What the docs say to type."""
    found = [line for line in DOCS.read_text().splitlines() if line.startswith("kubectl apply ")]
    assert [shlex.split(line)[-1] for line in found] == [f"k8s/base/{piece}" for piece in PIECES]
    return found


def applied(stack: Stack) -> dict[str, dict[str, Any]]:
    """Every object of the seed as it is on the cluster, with who set which field, by kind and name."""
    objects = {}
    for piece in PIECES:
        text = stack.lab.ssh(
            SERVER, f"cd /root && k3s kubectl get -k k8s/base/{piece} -o json --show-managed-fields", timeout=120
        ).stdout
        objects |= {f"{item['kind']} {item['metadata']['name']}": item for item in json.loads(text)["items"]}
    return objects


def test_pulumis_step_finds_every_field_as_the_two_lines_left_it(stack: Stack) -> None:
    before = applied(stack)
    base = ROOT / "k8s" / "base"
    files = {str(path.relative_to(base)): path.read_bytes() for path in base.rglob("*") if path.is_file()}
    step = steps.seed(machine=SERVER, base=files)

    done = stack.lab.ssh(SERVER, command(step, user="root", timeout_seconds=120), stdin=stdin(step), timeout=150)

    assert '"result":"planted"' in done.stdout
    after = applied(stack)
    assert len(before) > 60
    assert fields(after) == fields(before)


def fields(objects: dict[str, dict[str, Any]]) -> dict[str, tuple[Any, Any]]:
    """What ArgoCD's field manager has set, and the object without what the cluster writes of itself."""
    found = {}
    for name, thing in objects.items():
        metadata = thing["metadata"]
        owned = [f["fieldsV1"] for f in metadata["managedFields"] if f["manager"] == "argocd-controller"]
        known = {key: metadata.get(key) for key in ("uid", "labels", "generation")}
        body = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
        found[name] = (owned, {**known, **({} if thing["kind"] == "Secret" else body)})
    return found


def test_argocd_alone_owns_what_was_planted(stack: Stack) -> None:
    strangers = {
        name: entry["manager"]
        for name, thing in applied(stack).items()
        for entry in thing["metadata"]["managedFields"]
        if entry["operation"] == "Apply" and entry["manager"] != "argocd-controller"
    }
    assert strangers == {}


def test_every_pod_of_the_seed_becomes_ready(stack: Stack) -> None:
    for namespace in ("kube-system", "argocd"):
        stack.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pods", "--all", "--timeout=85s")
