"""What goes wrong while a cluster is seeded: `up` ends in time, says which it is, and the same `up` goes on afterwards.

One server goes through one fault after the other, each of a mechanism of its own. That every message of ArgoCD's is taken
for what it means is tested with recorded ones in tests/unit/seed.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.artifacts import PAUSE_IMAGE
from tests.engine.harness import wait_until
from tests.lab.conftest import new_key, new_spec
from tests.lab.paving import (
    CONNECT_SECONDS,
    MARGIN_SECONDS,
    STEP_BOUND,
    STEP_DIAL_SECONDS,
    STEP_SECONDS,
    Ground,
    failures,
)
from tests.lab.seeding import push
from tests.lab.stacks import Stack

SERVER = "server-a-1"
SHORT, LONG, HEALTH = 30, 200, 20
"""Seconds: `sync` where it is waited out, `sync` where ArgoCD has to come up, and `health`."""

WEB, PODINFO = Path("k8s/apps/web"), Path("k8s/apps/podinfo")
MISSING_IMAGE = "docker.io/nginxinc/nginx-unprivileged:0.0.1"


def synced_bound(sync: int) -> int:
    """Seconds in which the step `synced` ends. Source: docs/reference/timeouts.md."""
    return STEP_DIAL_SECONDS + sync + HEALTH + 60 + MARGIN_SECONDS


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """The lab with one server that no `up` has touched yet."""

    def change(config: dict[str, Any]) -> None:
        del config["seedbed:machines"]["agent-a"]
        config["seedbed:timeouts"] = {
            "connect": CONNECT_SECONDS, "step": STEP_SECONDS, "sync": SHORT, "health": HEALTH
        }  # fmt: skip

    stack = Stack.make(new_spec().subnet, change, seed=True)
    try:
        stack.seedbed("lab", "--stack", stack.name, "up", timeout=300)
        ground = Ground(stack)
        ground.pulumi("stack", "init")
        yield ground
    finally:
        stack.remove()


def said_by(ground: Ground, step: str, seconds: float) -> list[str]:
    """What the one step says that makes an `up` fail; the last two lines are what it was and what to do."""
    said = failures(ground.fails(ground.up(), seconds))
    assert [name.rpartition("-")[0] for name in said] == [step], said
    lines = re.findall(rf"{SERVER} {step}: (.*)", "".join(said.values()))
    assert len(lines) < 40
    assert lines[-2].startswith("FAILED: ")
    assert lines[-1].startswith("next: ")
    return lines


def replace(file: Path, pattern: str, new: Callable[[re.Match[str]], str]) -> None:
    text, count = re.subn(pattern, new, file.read_text())
    assert count == 1
    file.write_text(text)


def deployments(ground: Ground) -> set[str]:
    return set(ground.stack.kubectl("get", "deployments", "-A", "-o", "name").replace("deployment.apps/", "").split())


def test_a_manifest_that_is_not_the_one_that_was_pinned_is_refused_before_anything_is_planted(ground: Ground) -> None:
    pinned = ground.stack.lab_folder / "gitops" / "k8s" / "base" / "upstream.sha256"
    before = pinned.read_text()
    wrong = "0" * 64
    url = "https://raw.githubusercontent.com/argoproj/argo-cd"
    replace(pinned, rf"[0-9a-f]{{64}}  {url}", lambda _: f"{wrong}  {url}")
    *_, failed, following = said_by(ground, "seed", 5 * STEP_BOUND)
    assert re.search(rf"{url}/\S+ has sha256 [0-9a-f]{{64}} instead of {wrong}", failed)
    assert "find out which of the two is wrong" in following
    assert deployments(ground) == {"coredns"}
    pinned.write_text(before)


def test_a_power_cut_in_the_middle_of_planting_is_finished_by_the_next_up(ground: Ground) -> None:
    """Where the machine has too little memory then, `up` names that; with enough of it, it goes on."""
    run = ground.up()
    run.wait_for(rf"{SERVER} seed: applying argocd")
    ground.lab.cut(SERVER)
    ground.lab.power_on(SERVER)
    said = failures(ground.fails(run, STEP_BOUND))
    assert [name.rpartition("-")[0] for name in said] == ["seed"]

    wait_until(lambda: "ok" in ground.stack.kubectl("get", "--raw", "/readyz", check=False), "the API", 90)
    fill(ground)
    lines = said_by(ground, "synced", STEP_BOUND * 2 + synced_bound(SHORT))
    assert lines[-2:] == [
        f"FAILED: too little memory on the nodes: not Synced within {SHORT} s: root",
        "next: give the machines more memory or add one, then run `pulumi up` again",
    ]
    assert any("Insufficient memory" in line for line in lines[:-2])
    assert "argocd-server" in deployments(ground)
    ground.stack.kubectl("delete", "pod", "ballast", "--now")


def fill(ground: Ground) -> None:
    """A pod that claims the memory of the node, all but what sealed-secrets and half of ArgoCD ask for."""
    node = json.loads(ground.stack.kubectl("get", "node", SERVER, "-o", "json"))
    kibibytes = int(node["status"]["allocatable"]["memory"].removesuffix("Ki")) - 320 * 1024
    container = {"name": "pause", "image": PAUSE_IMAGE, "resources": {"requests": {"memory": f"{kibibytes}Ki"}}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "ballast", "namespace": "default"},
        "spec": {"containers": [container], "priorityClassName": "system-node-critical"},
    }
    ground.stack.kubectl("apply", "-f", "-", stdin=json.dumps(pod))


def test_a_host_key_that_is_another_is_named_and_the_right_one_counts_at_once(ground: Ground) -> None:
    """What comes after it in git is named then: a folder that does not render."""
    kept = dict[str, Any]()

    def wrong(config: dict[str, Any]) -> None:
        config["seedbed:timeouts"]["sync"] = LONG
        repository = config["seedbed:seed"]["repository"]
        kept["file"] = repository.pop("knownHostsFile")
        repository["knownHosts"] = [f"git.seedbed.internal {' '.join(new_key()[1].split()[:2])}"]

    def right(config: dict[str, Any]) -> None:
        repository = config["seedbed:seed"]["repository"]
        del repository["knownHosts"]
        repository["knownHostsFile"] = kept["file"]

    ground.stack.change(wrong)
    *_, failed, following = said_by(ground, "synced", synced_bound(LONG))
    assert failed == (
        "FAILED: the repository's host shows another host key than the stack's settings know: not Synced and not by "
        "waiting: root"
    )
    assert "correct seedbed:seed.repository.knownHosts" in following

    overlay = WEB / "overlays" / "dev" / "kustomization.yaml"

    def broken(clone: Path) -> None:
        replace(clone / overlay, r"- \.\./\.\./base", lambda _: "- ../../nowhere")

    push(ground.stack, broken, "a base that is not there")
    ground.stack.change(right)
    *said, failed, following = said_by(ground, "synced", synced_bound(LONG))
    # On a busy machine others are still on their way.
    assert failed.startswith("FAILED: the folder does not render: not Synced and not by waiting: ")
    assert "push the correction" in following
    [named] = [line for line in said if "the folder does not render: " in line]
    assert named.startswith("web-dev: ")
    assert "nowhere" in named


def test_secrets_that_do_not_open_and_images_that_are_not_there_are_reported_and_stop_nothing(ground: Ground) -> None:
    def change(clone: Path) -> None:
        replace(clone / WEB / "overlays" / "dev" / "kustomization.yaml", "nowhere", lambda _: "base")
        replace(clone / WEB / "base" / "deployment.yaml", r"(?<=image: )\S+", lambda _: MISSING_IMAGE)
        sealed = clone / PODINFO / "overlays" / "dev" / "sealed-secret.yaml"
        replace(sealed, r"(?<=message: )\S+", lambda found: found[0][::-1].lstrip("=").ljust(len(found[0]), "A"))

    push(ground.stack, change, "what does not open, and what is not there")
    text = ground.completes()
    assert re.search(rf"not Healthy after {HEALTH} s: podinfo-dev \(Degraded\), web-dev \(\w+\)", text)
    assert "SealedSecret dev/podinfo does not open: " in text
    assert re.search(rf"dev/web-\S+: \w*Image\w*: .*{MISSING_IMAGE}", text)
    assert "all applications are Synced, 2 not Healthy" in text
    ground.is_whole()
    ground.pulumi("preview", "--expect-no-changes")
