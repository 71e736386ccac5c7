"""What `up` says and leaves: Applications that work, a way into ArgoCD, a secret that was opened, and nothing to do."""

import json
import re

import pytest

from tests.lab.seeding import AGENT, NAMES, SERVER, Seeded, answer, await_whole, pushed_message
from tests.lab.stacks import Stack


def test_up_ends_with_every_application_synced_and_says_so(seeded: Seeded) -> None:
    heading = next(line for line in seeded.console.splitlines() if line.split()[:1] == ["APPLICATION"])
    assert heading.split() == ["APPLICATION", "PROJECT", "SYNC", "HEALTH", "REVISION", "MESSAGE"]
    below = seeded.console.partition(heading)[2].partition("\n\n")[0].strip().splitlines()
    assert {line.split()[0]: line.split()[2] for line in below} == dict.fromkeys(NAMES, "Synced")
    await_whole(seeded.stack)


def test_up_says_which_applications_it_waits_for(seeded: Seeded) -> None:
    [named] = set(re.findall(r"server-a-1 synced: waiting for .*\bargocd \([^)]*\)", seeded.console)[:1])
    assert named


def test_up_says_how_to_get_into_argocd_and_the_password_that_it_points_to_lets_in(seeded: Seeded) -> None:
    stack = seeded.stack
    assert re.search(r"kubectl .*-n argocd port-forward svc/argocd-server 8443:443", seeded.console)
    [shows] = re.findall(r"user admin; this shows the password: (.*)", seeded.console)
    password = stack.lab.ssh(SERVER, re.sub(r"^kubectl --kubeconfig \S+", "k3s kubectl", shows)).stdout
    address = stack.kubectl("get", "service", "argocd-server", "-n", "argocd", "-o", "jsonpath={.spec.clusterIP}")
    session = f"curl -sS --insecure --fail --max-time 20 --json @- https://{address}/api/v1/session"
    login = json.dumps({"username": "admin", "password": password})
    assert json.loads(stack.lab.ssh(SERVER, session, stdin=login).stdout)["token"]
    assert password not in seeded.console


@pytest.mark.parametrize("host", [SERVER, AGENT])
def test_podinfo_answers_over_its_service_with_what_was_sealed(stack: Stack, host: str) -> None:
    said = json.loads(answer(stack, host, "podinfo"))["message"]
    assert said
    assert said == pushed_message(stack, stack.identity.sealing_keys)


def test_a_preview_finds_nothing_to_do(stack: Stack) -> None:
    done = stack.pulumi("preview", "--expect-no-changes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
