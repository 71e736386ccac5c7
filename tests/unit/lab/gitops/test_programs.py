"""What is built is what the names promise."""

import re
from pathlib import Path

import pytest

from lab.gitops import images, programs

MODULES = Path(programs.__file__).parent


@pytest.mark.parametrize(
    ("folder", "required", "version"),
    [
        ("argocd", "github.com/argoproj/argo-cd/v3", programs.ARGOCD_VERSION),
        ("helm", "helm.sh/helm/v4", programs.HELM_VERSION),
        ("kustomize", "sigs.k8s.io/kustomize/kustomize/v5", programs.KUSTOMIZE_VERSION),
        ("sealed-secrets", "github.com/bitnami/sealed-secrets", programs.SEALED_SECRETS_VERSION),
    ],
)
def test_the_version_that_is_named_is_the_one_that_is_built(folder: str, required: str, version: str) -> None:
    text = (MODULES / folder / "go.mod").read_text()
    assert text.startswith(f"module seedbed/lab/gitops/{folder}\n")
    assert re.findall(rf"^(?:require|\t)\s*{re.escape(required)} (\S+)", text, re.MULTILINE)[0] == version


def test_the_images_have_the_names_of_upstreams_manifests() -> None:
    assert (images.ARGOCD_IMAGE, images.DEX_IMAGE, images.REDIS_IMAGE, images.SEALED_SECRETS_IMAGE) == (
        "quay.io/argoproj/argocd:v3.5.1",
        "ghcr.io/dexidp/dex:v2.45.0",
        "public.ecr.aws/docker/library/redis:8.2.3-alpine",
        "docker.io/bitnami/sealed-secrets-controller:0.40.0",
    )
