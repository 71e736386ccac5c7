"""The wait for ArgoCD, on a clock of its own: progress, bounds, and what it makes of messages that ArgoCD 3.5.1 wrote."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.remote.script import LIBRARY, source
from components.seed.steps import SCRIPTS

LAYERS = "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: code = Unknown desc = "
NO_KEY = LAYERS + (
    "failed to list refs: ssh: handshake failed: ssh: unable to authenticate, "
    "attempted methods [none publickey], no supported methods remain"
)
NO_KEY_OF_A_SET = (
    "error generating params from git: error getting directories from repo: error retrieving Git Directories: rpc error: "
    "code = Internal desc = unable to resolve git revision : failed to list refs: ssh: handshake failed: ssh: unable to "
    "authenticate, attempted methods [none publickey], no supported methods remain"
)
CACHED = "<path to cached source>/k8s/apps/web/overlays/dev"
NO_FILE = LAYERS + (
    f"`kustomize build {CACHED}` failed exit status 1: Error: accumulating resources: accumulation err='accumulating "
    f"resources from 'gone.yaml': evalsymlink failure on '{CACHED}/gone.yaml' : lstat {CACHED}/gone.yaml: no such file or "
    f"directory': must build at directory: not a valid directory: evalsymlink failure on '{CACHED}/gone.yaml' : lstat "
    f"{CACHED}/gone.yaml: no such file or directory"
)
NO_KIND = (
    "one or more synchronization tasks completed unsuccessfully, reason: resource mapping not found for name: "
    r"\"web\" namespace: \"dev\" from \"/dev/shm/1228941711\": no matches for kind \"Servise\" in version \"v1\"\nensure "
    "CRDs are installed first. Retrying attempt #1 at 12:15PM."
)
NO_NAME = LAYERS + "failed to list refs: dial tcp: lookup nope.seedbed.internal on 10.43.0.10:53: no such host"
OTHER_HOST = "the repository's host shows another host key than the stack's settings know"
LASTING = {
    NO_KEY: "the repository does not let the deploy key in",
    NO_KEY_OF_A_SET: "the repository does not let the deploy key in",
    LAYERS + "failed to list refs: ssh: handshake failed: knownhosts: key mismatch": OTHER_HOST,
    LAYERS + "failed to list refs: ssh: handshake failed: knownhosts: key is unknown": OTHER_HOST,
    LAYERS
    + "failed to list refs: unknown error: seedbed lab: there is no repository nope.git": "the server does not give the repository out",
    LAYERS + "unable to resolve 'nope' to a commit SHA": "the branch or tag is not in the repository",
    LAYERS + "nope/base/root: app path does not exist": "a folder is not in the repository",
    NO_FILE: "the folder does not render",
    LAYERS
    + "failed to unmarshal kustomization.yaml: error converting YAML to JSON: yaml: line 1: did not find expected "
    "node content": "the folder does not render",
}
PASSING = {
    NO_NAME: "something cannot be reached",
    NO_KIND: "an object cannot be applied",
    "Retrying operation with latest revisions. Attempt #1": "an object cannot be applied",
    "application repo ssh://git@a/b.git is not permitted in project 'apps'": "the project does not permit it",
    r"failed to list refs: error creating SSH agent: \"SSH agent requested but SSH_AUTH_SOCK not-specified\"": (
        "the repository cannot be read"
    ),
}

# What the kubelet and the scheduler wrote, as `pods` shows it.
NO_MEMORY = (
    "argocd-server-0: Unschedulable: 0/1 nodes are available: 1 Insufficient memory. no new claims to deallocate, "
    "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
)
NO_IMAGE = (
    "web-755b469f4-42j9b: ErrImagePull: failed to resolve reference "
    '"docker.io/nginxinc/nginx-unprivileged:9.9.9": '
    "docker.io/nginxinc/nginx-unprivileged:9.9.9: not found"
)

# The seconds that the script sleeps pass at once and no others do; the API says what is in the file of the last second that was named.
WORLD = r"""
unset SECONDS; SECONDS=0 # no longer bash's own
sleep() { SECONDS=$((SECONDS + ${1%.*} + (${1%.*} == 0))); }
kubectl() {
  local at now=0
  case "$*" in
  *'get applications'*)
    for at in $(ls states | sort -n); do [ "$at" -gt "$SECONDS" ] || now=$at; done
    if [ -s "states/$now" ]; then cat "states/$now"; else echo refused >&2; return 1; fi ;;
  *'get pods'*'jsonpath'*) echo repo-server-0 ;;
  *'get configmap'*) printf 'host key\n' ;;
  *exec*) cat knows ;;
  *'get pods'*) [ ! -e "pods.$2" ] || cat "pods.$2" ;;
  *'get sealedsecrets'*) [ ! -e sealed ] || cat sealed ;;
  *annotate*) echo "$SECONDS $*" >>calls ;;
  esac
}
"""
SYNC, HEALTH = 50, 10


def app(name: str, sync: str = "Synced", health: str = "Healthy", message: str = "", refresh: str = "") -> str:
    """A line of what the script's template makes of an Application."""
    return f"Application|{name}|{'dev' if name.endswith('-dev') else 'argocd'}|{refresh}|{sync}|{health}|" + (
        f'"{message}" ' if message else ""
    )


def application_set(name: str, sync: str = "Synced", message: str = "") -> str:
    return f"ApplicationSet|{name}|||{sync}||" + (f'"{message}" ' if message else "")


SYNCED = [app("root"), app("web-dev"), application_set("apps")]


@dataclass(frozen=True)
class Ran:
    code: int
    said: list[str]
    result: str
    asked: list[tuple[int, str]]
    """When the script asked for what: seconds and the words."""


def bash(folder: Path, call: str) -> subprocess.CompletedProcess[str]:
    """Calls functions of the script in its world."""
    body = source(LIBRARY, SCRIPTS / "common.sh", SCRIPTS / "synced.sh")
    variables = f"NODE=server-a-1 STEP=synced URL=git@host:x.git SYNC_SECONDS={SYNC} HEALTH_SECONDS={HEALTH}"
    script = f"set -Eeuo pipefail\n{variables}\n{body}\n{WORLD}\n{call}\n"
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def synced(folder: Path, states: Mapping[int, list[str]], knows: str = "host key\n") -> Ran:
    """Runs the step; `states` are what the API says from a second on."""
    (folder / "states").mkdir()
    (folder / "knows").write_text(knows)
    for second, lines in states.items():
        (folder / "states" / str(second)).write_text("".join(f"{line}\n" for line in lines))
    done = bash(folder, "main")
    calls = (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []
    said = [line.removeprefix("server-a-1 synced: ") for line in done.stderr.splitlines()]
    result = json.loads(done.stdout)["result"] if done.stdout else ""
    return Ran(done.returncode, said, result, [(int(c.split()[0]), c.split(" ", 1)[1]) for c in calls])


def of(ran: Ran, what: str) -> list[int]:
    """The seconds at which something was asked."""
    return [second for second, words in ran.asked if what in words]


def test_all_synced_and_healthy_is_the_result(tmp_path):
    ran = synced(tmp_path, {0: SYNCED})
    assert (ran.code, ran.result) == (0, "all applications are Synced and Healthy")
    assert ran.said == ["3 applications and application sets are Synced", "all applications are Synced and Healthy"]


def test_what_was_compared_before_counts_for_nothing(tmp_path):
    ran = synced(tmp_path, {0: SYNCED})
    assert of(ran, "applications.argoproj.io --all argocd.argoproj.io/refresh=hard") == [0]
    assert of(ran, "applicationsets.argoproj.io --all argocd.argoproj.io/application-set-refresh=true") == [0]


def test_the_sets_look_for_folders_once_the_root_has_told_them_where(tmp_path):
    ran = synced(tmp_path, {0: [app("root", refresh="hard")], 20: [app("root", "OutOfSync")], 40: SYNCED})
    assert of(ran, "application-set-refresh") == [40]


def test_an_application_that_is_being_compared_is_waited_for(tmp_path):
    ran = synced(tmp_path, {0: [app("root", refresh="hard")], 14: [app("root")]})
    assert ran.code == 0
    assert "waiting for 1 of 1: root (being compared)" in ran.said


def test_the_kubelet_is_made_to_bring_the_known_hosts_before_anything_is_compared(tmp_path):
    ran = synced(tmp_path, {0: SYNCED})
    assert "annotate pods --all" in ran.asked[0][1]


def test_known_hosts_that_never_arrive_hold_nothing_up_for_long(tmp_path):
    ran = synced(tmp_path, {0: SYNCED}, knows="another\n")
    assert ran.code == 0
    assert "ArgoCD may still have the known hosts of before" in ran.said
    assert of(ran, "refresh=hard")[0] <= 22


def test_progress_names_three_of_a_kind_and_is_never_silent(tmp_path):
    names = ["a-dev", "b-dev", "c-dev", "d-dev"]
    slow = [app("root"), app("argocd", "OutOfSync"), *(app(name, "", "") for name in names)]
    ran = synced(tmp_path, {0: slow, 40: SYNCED})
    line = "waiting for 5 of 6: argocd (OutOfSync); a-dev, b-dev, c-dev, … (not looked at yet)"
    assert ran.said.count(line) == 4
    assert max(map(len, ran.said)) < 120


def test_every_message_is_taken_for_what_it_means(tmp_path):
    calls = [f'explain {shlex.quote(message)}; echo "$WHY|$NEXT|$LASTS"' for message in LASTING | PASSING]
    found = [line.split("|") for line in bash(tmp_path, "\n".join(calls)).stdout.splitlines()]
    assert [entry[0] for entry in found] == [*LASTING.values(), *PASSING.values()]
    assert all(entry[1] for entry in found)
    assert [entry[2] for entry in found] == ["yes"] * len(LASTING) + [""] * len(PASSING)


def test_an_error_that_lasts_is_not_waited_out_and_says_what_and_what_to_do(tmp_path):
    ran = synced(tmp_path, {0: [app("root", "Unknown", message=NO_KEY), app("web-dev")]})
    assert ran.code == 1
    assert ran.said[0] == "waiting for 1 of 2: root (the repository does not let the deploy key in)"
    assert ran.said[-2:] == [
        "FAILED: the repository does not let the deploy key in: not Synced and not by waiting: root",
        "next: register the key that `seedbed deploy-key` prints as a read-only deploy key of git@host:x.git, then run "
        "`pulumi up` again",
    ]
    assert len(ran.said) < 10


def test_an_error_that_may_go_away_is_given_all_the_time_there_is(tmp_path):
    ran = synced(tmp_path, {0: [app("root", "OutOfSync", message=NO_KIND)]})
    assert ran.code == 1
    assert ran.said[-2] == f"FAILED: an object cannot be applied: not Synced within {SYNC} s: root"
    assert ran.said[-1] == "next: push the correction, then run `pulumi up` again"


def test_an_error_that_goes_away_is_forgotten(tmp_path):
    ran = synced(tmp_path, {0: [app("root", "Unknown", message=NO_NAME)], SYNC - 10: SYNCED})
    assert ran.code == 0


@pytest.mark.parametrize("message", [NO_FILE, NO_NAME])
def test_a_message_that_a_synced_application_still_has_ends_nothing(tmp_path, message):
    """A commit that does not render was reverted: there is nothing to sync, so what the failed sync said stays."""
    reverted = app("web-dev", "Synced", message=message)
    ran = synced(
        tmp_path, {0: [app("root"), reverted, app("argocd", "OutOfSync")], 40: [app("root"), reverted, app("argocd")]}
    )
    assert ran.code == 0
    assert not of(ran, "applications.argoproj.io web-dev")


def test_an_error_is_looked_at_again_before_it_is_believed(tmp_path):
    """ArgoCD remembers a failure, for longer than anybody waits; what was mended meanwhile is seen."""
    broken = [app("root"), app("web-dev", "Unknown", message=NO_FILE), application_set("apps", "", NO_KEY_OF_A_SET)]
    ran = synced(tmp_path, {0: broken, 26: SYNCED})
    assert ran.code == 0
    assert of(ran, "applications.argoproj.io web-dev argocd.argoproj.io/refresh=hard") == [10, 20]
    assert of(ran, "application-set-refresh") == [0, 10, 20]


def test_what_argocd_could_not_reach_is_compared_again_at_once(tmp_path):
    """Its own repo-server listens a moment after it has looked; by itself it would look again a minute later."""
    message = (
        r"rpc error: code = Unavailable desc = \"transport: dial tcp 10.43.0.9:8081: connect: connection refused\""
    )
    refused = [app("root", "Unknown", message=message)]
    comparing = [app("root", "Unknown", message=message, refresh="hard")]
    ran = synced(tmp_path, {0: refused, 2: comparing, 4: refused, 6: SYNCED})
    assert ran.code == 0
    assert of(ran, "applications.argoproj.io root argocd.argoproj.io/refresh=hard") == [0, 4]


def test_while_errors_become_fewer_somebody_is_at_it(tmp_path):
    both = [app("root", "Unknown", message=NO_KEY), app("web-dev", "Unknown", message=NO_KEY)]
    one = [app("root"), app("web-dev", "Unknown", message=NO_FILE)]
    assert synced(tmp_path, {0: both, 20: one, 46: SYNCED}).code == 0


def test_the_reason_of_the_root_is_the_reason(tmp_path):
    """What the others say may only follow from it."""
    later = "application repo ssh://git@a/b.git is not permitted in project 'apps'"
    lines = [app("argocd", "Unknown", message=later), app("root", "Unknown", message=NO_KEY)]
    ran = synced(tmp_path, {0: lines})
    assert ran.said[-2] == (
        "FAILED: the repository does not let the deploy key in: not Synced and not by waiting: root, argocd"
    )


def test_one_reason_is_told_once_and_without_the_layers_that_it_came_through(tmp_path):
    lines = [app(name, "Unknown", message=NO_KEY) for name in ("root", "argocd", "a-dev", "b-dev")]
    ran = synced(tmp_path, {0: [*lines, application_set("apps", "", NO_KEY_OF_A_SET)]})
    told = [line for line in ran.said if "unable to authenticate" in line]
    assert told == [
        "root, argocd, a-dev, …: the repository does not let the deploy key in: failed to list refs: ssh: handshake "
        "failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain"
    ]


def test_a_render_that_fails_names_the_file(tmp_path):
    ran = synced(tmp_path, {0: [app("root"), app("web-dev", "Unknown", message=NO_FILE)]})
    assert any("'k8s/apps/web/overlays/dev/gone.yaml'" in line for line in ran.said)


@pytest.mark.parametrize(
    ("pods", "failed"),
    [
        (NO_MEMORY, "too little memory on the nodes"),
        (NO_IMAGE, "an image cannot be pulled (docker.io/nginxinc/nginx-unprivileged:9.9.9)"),
    ],
)
def test_an_argocd_that_does_not_start_is_told_by_its_pods(tmp_path, pods, failed):
    (tmp_path / "pods.argocd").write_text(f"{pods}\n")
    ran = synced(tmp_path, {0: [app("root", refresh="hard")]})
    assert ran.code == 1
    assert ran.said[-2] == f"FAILED: {failed}: not Synced within {SYNC} s: root"
    assert pods in ran.said[:4]


def test_an_api_that_does_not_answer_is_waited_for(tmp_path):
    ran = synced(tmp_path, {0: [], 30: SYNCED})
    assert ran.code == 0
    assert "waiting for 1 of 1: the API (no answer)" in ran.said
    assert not any("FAILED" in line for line in ran.said)


def test_health_is_waited_for_a_while(tmp_path):
    ran = synced(tmp_path, {0: [app("root", health="Progressing")], 8: [app("root")]})
    assert ran.result == "all applications are Synced and Healthy"


def test_what_is_not_healthy_is_reported_and_no_failure(tmp_path):
    (tmp_path / "pods.dev").write_text(f"{NO_IMAGE}\n")
    (tmp_path / "sealed").write_text(
        'SealedSecret dev/podinfo does not open: "no key could decrypt secret (message)"\n'
    )
    lines = [
        app("root", health="Degraded"),
        app("podinfo-dev", health="Degraded"),
        app("web-dev", health="Progressing"),
    ]
    ran = synced(tmp_path, {0: lines})
    assert (ran.code, ran.result) == (0, "all applications are Synced, 3 not Healthy")
    assert f"not Healthy after {HEALTH} s: root (Degraded), podinfo-dev (Degraded), web-dev (Progressing)" in ran.said
    assert any(line.startswith("SealedSecret dev/podinfo does not open") for line in ran.said)
    assert f"dev/{NO_IMAGE}" in ran.said
