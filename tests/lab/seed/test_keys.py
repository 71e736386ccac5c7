"""The sealing keys: made once, never renewed by the cluster, replaced by `seedbed rotate`, and tried before anything is."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from components.seed.manifests import sealing_key_name
from stacks.identity import KeyPair
from stacks.sealing import Scope, SealingError, seal
from tests.lab.seeding import (
    ENVIRONMENT,
    OVERLAY,
    SERVER,
    answer,
    api,
    await_whole,
    pushed,
    pushed_message,
    sealing_keys,
    sealing_pair,
    until,
)
from tests.lab.stacks import Stack

CONTROLLER = "/apis/apps/v1/namespaces/kube-system/deployments/sealed-secrets-controller"
CERTIFICATE = "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:/proxy/v1/cert.pem"


def sealed(name: str, text: str, certificate: str) -> str:
    """A SealedSecret as YAML."""
    metadata = {"name": name, "namespace": ENVIRONMENT}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"text": text}}
    return yaml.safe_dump(seal(secret, certificate, Scope.STRICT))


def opened(stack: Stack, name: str) -> str:
    secret = api(stack).find(f"/api/v1/namespaces/{ENVIRONMENT}/secrets/{name}") or {}
    return base64.b64decode(secret.get("data", {}).get("text", "")).decode()


def test_a_sealing_key_that_is_older_than_a_month_stays_the_only_one(stack: Stack) -> None:
    [pair] = stack.identity.sealing_keys
    assert sealing_keys(stack) == {sealing_key_name(pair.crt)}
    [container] = api(stack).get(CONTROLLER)["spec"]["template"]["spec"]["containers"]
    assert "--key-renew-period=0" in container["args"]
    assert stack.kubectl("get", "--raw", CERTIFICATE) == pair.crt


@pytest.fixture
def lost(stack: Stack) -> Iterator[Path]:
    """A SealedSecret in the tree that was sealed for somebody else."""
    file = stack.lab_folder / "gitops" / OVERLAY / "lost.yaml"
    file.write_text(sealed("lost", "whatever", sealing_pair().crt))
    yield file
    file.unlink(missing_ok=True)


def test_what_no_key_opens_is_named_by_the_check(stack: Stack, lost: Path) -> None:
    done = stack.seedbed("unseal-check", stack.name, check=False)
    assert done.returncode == 1
    [line] = [line for line in done.stdout.splitlines() if "lost.yaml" in line]
    assert f"{ENVIRONMENT}/lost" in line
    lost.unlink()
    assert stack.seedbed("unseal-check", stack.name).stdout.endswith("all open\n")


def test_what_no_key_opens_stops_the_program_before_anything_is_touched(stack: Stack, lost: Path) -> None:
    before = resources(stack)
    # Something to do, if it came so far.
    stack.change(lambda config: config["seedbed:seed"]["environments"].append("staging"))
    try:
        done = stack.pulumi("up", "--yes", "--skip-preview", check=False)
    finally:
        stack.change(lambda config: config["seedbed:seed"]["environments"].remove("staging"))
    assert done.returncode != 0
    assert "lost.yaml" in done.stdout + done.stderr
    assert f"{ENVIRONMENT}/lost" in done.stdout + done.stderr
    assert resources(stack) == before
    assert api(stack).find("/api/v1/namespaces/staging") is None


def resources(stack: Stack) -> list[str]:
    exported = json.loads(stack.pulumi("stack", "export").stdout)
    return [resource["urn"] for resource in exported["deployment"]["resources"]]


@pytest.fixture(scope="module")
def rotated(stack: Stack) -> tuple[KeyPair, str, str]:
    """The key of before a rotation, podinfo's message then, and what the rotation said. What it asks for was done."""
    [old] = stack.identity.sealing_keys
    message = pushed_message(stack, [old])
    said = stack.seedbed("rotate", "sealing-key", stack.name).stdout
    stack.up()
    stack.seedbed("sync", stack.name)
    return old, message, said


def test_after_a_rotation_the_cluster_has_both_keys_and_seals_with_the_new_one(
    stack: Stack, rotated: tuple[KeyPair, str, str]
) -> None:
    first, new = stack.identity.sealing_keys
    assert first == rotated[0]
    assert sealing_keys(stack) == {sealing_key_name(first.crt), sealing_key_name(new.crt)}
    assert stack.kubectl("get", "--raw", CERTIFICATE) == new.crt
    assert stack.seedbed("unseal-check", stack.name).stderr == ""  # the public certificate is the new one


def test_after_a_rotation_what_was_sealed_before_opens_on_the_cluster(
    stack: Stack, rotated: tuple[KeyPair, str, str]
) -> None:
    old, _, _ = rotated
    stack.kubectl("apply", "-f", "-", stdin=sealed("of-before", "still readable", old.crt))
    try:
        until(
            lambda: opened(stack, "of-before") == "still readable", 60, lambda: "what was sealed before does not open"
        )
    finally:
        stack.kubectl("delete", "sealedsecret", "of-before", "-n", ENVIRONMENT)


def test_after_a_rotation_the_repository_is_sealed_for_the_new_key_and_says_the_same(
    stack: Stack, rotated: tuple[KeyPair, str, str]
) -> None:
    _, message, said = rotated
    first, new = stack.identity.sealing_keys
    assert f"{OVERLAY}/sealed-secret.yaml" in said
    assert pushed_message(stack, [new]) == message
    with pytest.raises(SealingError):
        pushed_message(stack, [first])
    await_whole(stack)
    podinfo = api(stack).get(f"/apis/bitnami.com/v1alpha1/namespaces/{ENVIRONMENT}/sealedsecrets/podinfo")
    assert podinfo["spec"]["encryptedData"] == pushed(stack)["spec"]["encryptedData"]
    assert podinfo["status"]["conditions"][0]["status"] == "True"
    assert json.loads(answer(stack, SERVER, "podinfo"))["message"] == message
