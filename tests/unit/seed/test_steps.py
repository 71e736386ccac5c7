"""The scripts of the seed, with a stand-in for kubectl: what they ask of the API and how they end."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from components.remote.script import LIBRARY, source
from components.seed import steps
from components.seed.steps import SCRIPTS, archive

STEPS = {
    "seed": steps.seed(
        machine="server-a-1",
        base={"argocd/kustomization.yaml": b"kind: Kustomization\n"},
        certificate_sha256="ab" * 32,
        keys=["a", "b"],
        ready_seconds=9,
    ),
    "synced": steps.synced(machine="server-a-1", url="git@host:x.git", sync_seconds=60, health_seconds=5),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
def test_bash_accepts_it(step):
    subprocess.run(["bash", "-n", "-c", step.text], check=True, timeout=10)
    for file in SCRIPTS.glob("*.sh"):
        subprocess.run(["bash", "-n", str(file)], check=True, timeout=10)


def run(
    tmp_path: Path, name: str, kubectl: str, variables: str = "", call: str = "main"
) -> subprocess.CompletedProcess[str]:
    """The script of a step with `kubectl` (and `curl`) as the test has it; calls are noted in the file `calls`."""
    body = source(LIBRARY, SCRIPTS / "common.sh", SCRIPTS / f"{name}.sh")
    script = (
        f"set -Eeuo pipefail\nNODE=server-a-1 STEP={name}\n{variables}\n{body}\nsleep() {{ :; }}\n{kubectl}\n{call}\n"
    )
    return subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)


def calls(tmp_path: Path) -> list[str]:
    return (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []


# --- seed

ARGOCD = b"apiVersion: kustomize.config.k8s.io/v1beta1\nresources:\n  - https://example.org/install.yaml\n"
CONTENT = b"kind: Deployment\n"
UPSTREAM = f"{hashlib.sha256(CONTENT).hexdigest()}  https://example.org/install.yaml\n".encode()
BASE = {
    "argocd/kustomization.yaml": ARGOCD,
    "sealed-secrets/kustomization.yaml": b"resources:\n  - controller.yaml\n",
    "upstream.sha256": UPSTREAM,
}
CLUSTER = r"""
kubectl() {
  case "$*" in
  'get --raw /readyz') echo x >>asked; [ "$(wc -l <asked)" -gt "${REFUSALS-0}" ] ;;
  *'get deployment argocd-server'*) printf %s "${ADOPTED_ARGOCD-}" ;;
  *'get deployment sealed-secrets-controller'*) printf %s "${ADOPTED_SEALED-}" ;;
  *'get secret argocd-redis'*) printf %s "${REDIS-}" ;;
  *'create secret'*) echo "$*" >>calls; cat >password ;;
  kustomize*) cat "$2/kustomization.yaml" >>rendered; printf 'kind: A\nkind: B\n' ;;
  *) echo "$*" >>calls ;;
  esac
}
curl() {
  local out; while [ $# -gt 1 ]; do [ "$1" != --output ] || out=$2; shift; done
  echo "curl $1" >>calls; printf 'kind: Deployment\n' >"$out"
}
seals_with_the_newest_key() { touch proven; }
"""


def seed(tmp_path, base=BASE, before=""):
    return run(tmp_path, "seed", CLUSTER, f"MANIFESTS='{archive(base)}'\n{before}")


def test_it_plants_sealed_secrets_before_argocd_as_argocds_own_field_manager(tmp_path):
    done = seed(tmp_path)
    assert done.returncode == 0, done.stderr
    applied = [call for call in calls(tmp_path) if call.startswith("apply")]
    assert [call.rpartition("/")[2] for call in applied] == ["sealed-secrets.yaml", "argocd.yaml"]
    for call in applied:
        assert "--server-side --force-conflicts --field-manager=argocd-controller" in call
    assert json.loads(done.stdout)["result"] == "planted"


def test_it_waits_until_the_kinds_that_come_next_exist(tmp_path):
    seed(tmp_path)
    last = calls(tmp_path)[-1]
    assert last.startswith("wait --for=condition=Established")
    assert all(f"crd/{kind}" in last for kind in ("applications.argoproj.io", "appprojects.argoproj.io"))


def test_what_argocd_has_adopted_is_left_alone(tmp_path):
    done = seed(tmp_path, before="ADOPTED_ARGOCD=argocd:x ADOPTED_SEALED=sealed:x")
    assert done.returncode == 0, done.stderr
    assert calls(tmp_path) == []
    assert json.loads(done.stdout)["result"] == "already planted"
    assert (tmp_path / "proven").exists(), "a key that is new is proven on a cluster that was planted long ago"


def test_nothing_is_applied_where_the_api_does_not_say_whether_argocd_has_adopted_it(tmp_path):
    refuses = CLUSTER.replace("""printf %s "${ADOPTED_ARGOCD-}" ;;""", """echo 'etcd: timed out' >&2; return 1 ;;""")
    done = run(tmp_path, "seed", refuses, f"MANIFESTS='{archive(BASE)}'\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-3:] == [
        "etcd: timed out",
        "server-a-1 seed: FAILED: the API does not say whether argocd is driven from git already",
        "server-a-1 seed: next: mend what the line above names, then run `pulumi up` again",
    ]
    assert calls(tmp_path) == []


def test_a_planting_that_was_cut_off_goes_on_with_what_is_not_adopted(tmp_path):
    done = seed(tmp_path, before="ADOPTED_SEALED=sealed:x")
    assert done.returncode == 0, done.stderr
    assert [call.rpartition("/")[2] for call in calls(tmp_path) if call.startswith("apply")] == ["argocd.yaml"]


def test_a_download_is_compared_with_its_digest_before_anything_is_applied(tmp_path):
    base = BASE | {"upstream.sha256": UPSTREAM.replace(UPSTREAM[:4], b"0000")}
    done = seed(tmp_path, base)
    assert done.returncode == 1
    assert "FAILED: https://example.org/install.yaml has sha256" in done.stderr
    assert not any(call.startswith("apply") for call in calls(tmp_path))


def test_a_download_that_is_gone_is_named_before_anything_is_applied(tmp_path):
    done = run(tmp_path, "seed", CLUSTER + "curl() { return 22; }\n", f"MANIFESTS='{archive(BASE)}'\n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "server-a-1 seed: FAILED: https://example.org/install.yaml could not be downloaded",
        "server-a-1 seed: next: check that the machine reaches it, or name a mirror in k8s/base",
    ]
    assert not any(call.startswith("apply") for call in calls(tmp_path))


def test_an_api_that_comes_up_after_a_power_cut_is_waited_for(tmp_path):
    done = seed(tmp_path, before="REFUSALS=3")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["result"] == "planted"


def test_an_api_that_does_not_come_up_is_named(tmp_path):
    done = run(tmp_path, "seed", CLUSTER + "await() { return 1; }\n", f"MANIFESTS='{archive(BASE)}'\n")
    assert done.returncode == 1
    assert "FAILED: the API of this server does not answer" in done.stderr


def test_what_has_no_digest_is_refused(tmp_path):
    done = seed(tmp_path, BASE | {"upstream.sha256": b""}, "ADOPTED_SEALED=sealed:x")
    assert done.returncode == 1
    assert "https://example.org/install.yaml" in done.stderr
    assert "have no digest in k8s/base/upstream.sha256" in done.stderr
    assert not any(call.startswith("apply") for call in calls(tmp_path))


def test_it_renders_from_the_file_that_was_compared(tmp_path):
    seed(tmp_path, before="ADOPTED_SEALED=sealed:x")
    rendered = (tmp_path / "rendered").read_text()
    assert "https://" not in rendered
    assert "- upstream-" in rendered


def test_the_password_that_argocds_pods_wait_for_is_there_before_them_and_in_no_command_line(tmp_path):
    seed(tmp_path)
    made = [call for call in calls(tmp_path) if "argocd-redis" in call or "argocd.yaml" in call]
    assert made[0].endswith("create secret generic argocd-redis --from-file=auth=/dev/stdin")
    assert made[1].startswith("apply")
    password = (tmp_path / "password").read_text()
    assert len(password) == 32
    assert password not in (tmp_path / "calls").read_text()


def test_a_password_that_is_there_stays(tmp_path):
    seed(tmp_path, before="REDIS=secret/argocd-redis")
    assert not any("create secret" in call for call in calls(tmp_path))


def test_the_archive_is_the_same_for_the_same_files():
    assert archive({"b": b"2", "a": b"1"}) == archive({"a": b"1", "b": b"2"})
    assert archive({"a": b"1"}) != archive({"a": b"2"})


def test_the_archive_leaves_comments_behind_and_nothing_else():
    text = b"# why\na: 1\n  # why\nb: 2\n"
    assert archive({"a.yaml": text}) == archive({"a.yaml": b"a: 1\nb: 2\n"})
    for kept in ({"a.yaml": b"# why\na: |\n  # of the text\n"}, {"a.sha256": b"# a\n"}):
        with tarfile.open(fileobj=io.BytesIO(base64.b64decode(archive(kept)))) as tar:
            [(name, content)] = kept.items()
            assert tar.extractfile(name).read() == content


# --- its proof of the keys

CONTROLLER = r"""
echo "${SEALS_WITH-AABB}" >seals
kubectl() {
  case "$*" in
  *'get deployment'*) printf True ;;
  'get --raw /readyz') ;;
  *'get --raw'*) printf -- '-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nXX\n' "$(cat seals)" ;;
  *'delete pod'*) echo "delete pod" >>calls; [ -z "${READS_IT-}" ] || echo "$READS_IT" >seals ;;
  *'get secrets'*) printf %s "${THERE-key-1 key-2}" ;;
  *) echo "$*" >>calls ;;
  esac
}
await() { shift 2; "$@"; }
"""
NEWEST = hashlib.sha256(base64.b64decode("AABB")).hexdigest()
KNOWN = f"CERTIFICATE={NEWEST} KEYS='key-1 key-2' READY_SECONDS=5\n"


def prove(tmp_path: Path, kubectl: str, variables: str) -> subprocess.CompletedProcess[str]:
    return run(tmp_path, "seed", kubectl, variables, "seals_with_the_newest_key")


def test_a_controller_that_seals_with_the_newest_key_is_left_alone(tmp_path):
    done = prove(tmp_path, CONTROLLER, KNOWN)
    assert done.returncode == 0, done.stderr
    assert calls(tmp_path) == []


def test_a_controller_that_has_not_read_the_newest_key_is_restarted_once(tmp_path):
    done = prove(tmp_path, CONTROLLER, KNOWN + "SEALS_WITH=OLDX READS_IT=AABB\n")
    assert done.returncode == 0, done.stderr
    assert calls(tmp_path) == ["delete pod"]


def test_a_key_that_the_controller_made_for_itself_is_named(tmp_path):
    """It is there where the controller came before the identity's keys."""
    done = prove(
        tmp_path,
        CONTROLLER,
        KNOWN + "SEALS_WITH=OWNX READS_IT=OWNX THERE='key-1 key-2 sealed-secrets-keyabcde'\n",
    )
    assert done.returncode == 1
    assert "the sealing key sealed-secrets-keyabcde of the cluster is not the identity's" in done.stderr


def test_a_foreign_key_is_refused_even_while_another_seals(tmp_path):
    done = prove(tmp_path, CONTROLLER, KNOWN + "THERE='key-1 key-2 other'\n")
    assert done.returncode == 1
    assert "the sealing key other" in done.stderr


def test_keys_that_the_api_does_not_name_are_not_taken_for_the_identitys(tmp_path):
    refuses = CONTROLLER.replace(
        """printf %s "${THERE-key-1 key-2}" ;;""", """echo 'etcd: timed out' >&2; return 1 ;;"""
    )
    done = prove(tmp_path, refuses, KNOWN)
    assert done.returncode == 1
    assert "FAILED: the API does not say which sealing keys the cluster has" in done.stderr


def test_a_controller_that_does_not_start_says_why(tmp_path):
    cluster = (
        CONTROLLER
        + r"""
kubectl() { case "$*" in *'get pods'*) echo 'controller-0: ImagePullBackOff: Back-off pulling image "x"' ;; esac; }
await() { shift 2; "$@"; }
"""
    )
    done = prove(tmp_path, cluster, KNOWN)
    assert done.returncode == 1
    assert "controller-0: ImagePullBackOff" in done.stderr
    assert "not available within 5 s: an image cannot be pulled" in done.stderr
    assert "next: check that the nodes reach the registry" in done.stderr
