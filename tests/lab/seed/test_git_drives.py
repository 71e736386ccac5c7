"""After the seed git drives: what is pushed comes, what is edited by hand goes, and Pulumi has nothing to do with either."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seedbed import applications
from seedbed.applications import APPLICATIONS, REFRESH
from tests.lab.seeding import SERVER, answer, api, await_whole, push, until
from tests.lab.stacks import Stack

PAGE = Path("k8s/apps/web/base/pages/index.html")
NOTE = Path("k8s/observability/note")
NOTE_MANIFEST = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: note
data:
  text: pushed
"""


def sync(stack: Stack, *names: str) -> None:
    stack.seedbed("sync", stack.name, *names)


def synced(stack: Stack) -> dict[str, str]:
    return {one.name: one.sync for one in applications.applications(api(stack))}


def note(stack: Stack) -> str:
    found = api(stack).find("/api/v1/namespaces/observability/configmaps/note")
    return str(found["data"]["text"]) if found else ""


def assert_nothing_for_pulumi(stack: Stack) -> None:
    done = stack.pulumi("preview", "--expect-no-changes", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_push_shows_on_the_cluster_without_pulumi(stack: Stack) -> None:
    def change(clone: Path) -> None:
        page = clone / PAGE
        page.write_text(page.read_text().replace("</body>", "<p>pushed</p>\n</body>"))
        (clone / NOTE).mkdir()
        (clone / NOTE / "kustomization.yaml").write_text("resources: [note.yaml]\n")
        (clone / NOTE / "note.yaml").write_text(NOTE_MANIFEST)

    assert "pushed" not in answer(stack, SERVER, "web")

    push(stack, change, "Say so, and keep a note")
    sync(stack, "web-dev", "note")

    until(lambda: "<p>pushed</p>" in answer(stack, SERVER, "web"), 90, lambda: "web shows its old page")
    # A new folder is an Application of its own, with nothing said anywhere else.
    assert synced(stack)["note"] == "Synced"
    assert note(stack) == "pushed"
    assert_nothing_for_pulumi(stack)


def test_a_folder_that_goes_takes_nothing_with_it_before_a_second_act(stack: Stack) -> None:
    def change(clone: Path) -> None:
        shutil.rmtree(clone / NOTE)

    assert note(stack) == "pushed"

    push(stack, change, "Take the note away")
    sync(stack, "root")
    # Of itself ArgoCD gives a path that is gone three minutes to come back.
    api(stack).patch(f"{APPLICATIONS}/note", {"metadata": {"annotations": {REFRESH: "normal"}}})

    until(lambda: synced(stack)["note"] == "Unknown", 90, lambda: f"nobody misses the folder: {synced(stack)}")
    assert note(stack) == "pushed"

    cascade = json.dumps({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}})
    stack.kubectl("patch", "application", "note", "-n", "argocd", "--type", "merge", "-p", cascade)
    stack.kubectl("delete", "application", "note", "-n", "argocd", "--timeout=60s")
    assert note(stack) == ""
    await_whole(stack)


def field(stack: Stack, path: str, pick: Callable[[dict[str, Any]], object]) -> object:
    found = api(stack).find(path)
    return pick(found) if found else None


def test_an_edit_by_hand_is_healed_and_is_nothing_to_pulumi(stack: Stack) -> None:
    settings = "/api/v1/namespaces/argocd/configmaps/argocd-cm"
    repo_server = "/apis/apps/v1/namespaces/argocd/deployments/argocd-repo-server"
    metrics = "/api/v1/namespaces/argocd/services/argocd-metrics"

    def seen() -> list[object]:
        return [
            field(stack, settings, lambda thing: thing["data"]["admin.enabled"]),
            field(stack, repo_server, lambda thing: container(thing)["resources"]["requests"]),
            field(stack, metrics, lambda thing: thing["spec"]["ports"]),
        ]

    def container(thing: dict[str, Any]) -> dict[str, Any]:
        [found] = thing["spec"]["template"]["spec"]["containers"]
        return dict(found)

    before = seen()
    assert None not in before

    name = container(api(stack).get(repo_server))["name"]
    template = {"spec": {"containers": [{"name": name, "resources": {"requests": {"cpu": "11m"}}}]}}
    edits = {
        "configmap/argocd-cm": {"data": {"admin.enabled": "false"}},
        "deployment.apps/argocd-repo-server": {"spec": {"template": template}},
    }
    for edited, change in edits.items():
        said = stack.kubectl("patch", edited, "-n", "argocd", "-p", json.dumps(change))
        assert said == f"{edited} patched\n"
    stack.kubectl("delete", "service", "argocd-metrics", "-n", "argocd")

    until(lambda: seen() == before, 120, lambda: f"{seen()} instead of {before}")
    await_whole(stack)
    assert_nothing_for_pulumi(stack)
