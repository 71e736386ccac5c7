"""The health of an Application as `k8s/base/argocd` has it, judged by ArgoCD's own program."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.gitops import programs
from tests.unit.k8s.tree import BASE
from tools.progress import Progress

SOURCE = {"repoURL": "ssh://git@git.seedbed.internal/seedbed.git", "path": "k8s/apps/a", "targetRevision": "main"}
OTHER = {**SOURCE, "targetRevision": "v1"}


def status(sync: str, source: dict[str, str], health: str = "Healthy", phase: str = "Succeeded") -> dict[str, Any]:
    return {
        "sync": {"status": sync, "comparedTo": {"source": source}},
        "health": {"status": health},
        "operationState": {"phase": phase, "message": "the message"},
    }


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({}, "Progressing"),
        (status("Synced", SOURCE), "Healthy"),
        (status("Synced", SOURCE, health="Degraded"), "Degraded"),
        (status("Synced", SOURCE, health="Progressing"), "Progressing"),
        (status("Synced", OTHER), "Progressing"),
        (status("Synced", {**SOURCE, "kustomize": "more"}), "Progressing"),
        (status("OutOfSync", SOURCE), "Progressing"),
        (status("OutOfSync", SOURCE, phase="Failed"), "Degraded"),
        (status("Unknown", SOURCE, phase="Error"), "Degraded"),
    ],
)
def test_an_application_is_healthy_only_as_what_git_says_now(
    found: dict[str, Any], wanted: str, tmp_path: Path
) -> None:
    application = tmp_path / "application.yaml"
    application.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Application",
                "metadata": {"name": "a"},
                "spec": {"source": SOURCE},
                "status": found,
            }
        )
    )
    settings = str(BASE / "argocd" / "argocd-cm.yaml")
    ask = ["admin", "settings", "resource-overrides", "health", str(application), "--argocd-cm-path", settings]

    done = subprocess.run(
        [str(programs.argocd(Progress())), *ask], capture_output=True, text=True, timeout=60, check=False
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"STATUS: {wanted}"
