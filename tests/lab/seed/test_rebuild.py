"""All hosts without power, then everything lost but identity and git, and the end of the stack. These tests run last."""

import json
import re
import subprocess

from tests.lab.seeding import AGENT, SERVER, answer, api, await_whole
from tests.lab.stacks import Stack


def test_a_preview_with_all_hosts_down_is_empty_and_the_cluster_comes_back_synced(stack: Stack) -> None:
    await_whole(stack)
    for host in (SERVER, AGENT):
        assert stack.lab.cut(host)
    try:
        done = stack.pulumi("preview", "--expect-no-changes", check=False)
    finally:
        for host in (SERVER, AGENT):
            stack.lab.power_on(host)
    assert done.returncode == 0, done.stdout + done.stderr
    await_whole(stack)  # as it was written down before the cut
    stack.seedbed("sync", stack.name, "--timeout", "300", timeout=320)
    await_whole(stack)


def test_everything_but_identity_and_git_is_lost_and_comes_back(stack: Stack) -> None:
    kubeconfig = stack.root / "kubeconfig"
    kubeconfig.touch(0o600)
    kubeconfig.write_text(stack.seedbed("kubeconfig", stack.name).stdout)
    message = json.loads(answer(stack, SERVER, "podinfo"))["message"]
    cluster = uid(stack)

    done = stack.seedbed("drill", stack.name, "--yes", timeout=600, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert re.search(r"^rebuilt, \d+ s after everything was lost$", done.stdout, re.MULTILINE)
    # It is another one, and the same.
    assert uid(stack) != cluster
    seen = subprocess.run(
        ["kubectl", "--kubeconfig", str(kubeconfig), "get", "nodes", "-o", "name"],
        env=stack.environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert sorted(seen.stdout.split()) == [f"node/{AGENT}", f"node/{SERVER}"], seen.stderr
    assert json.loads(answer(stack, SERVER, "podinfo"))["message"] == message
    await_whole(stack)


def uid(stack: Stack) -> str:
    """Of the cluster."""
    return str(api(stack).get("/api/v1/namespaces/kube-system")["metadata"]["uid"])


def test_destroy_asks_nothing_of_a_cluster_that_is_down(stack: Stack) -> None:
    for host in (SERVER, AGENT):
        assert stack.lab.cut(host)
    stack.change(lambda config: config.update({"seedbed:retire": [SERVER, AGENT]}))
    done = stack.pulumi("destroy", "--run-program", "--yes", "--skip-preview", check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(stack.pulumi("stack", "export").stdout)["deployment"].get("resources", []) == []
