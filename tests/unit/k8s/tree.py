"""The folders of `k8s/` and what their files say, for tests."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

K8S = Path(__file__).parents[3] / "k8s"
BASE = K8S / "base"
APPS = sorted(path for path in (K8S / "apps").iterdir() if path.is_dir())
ENVIRONMENTS = ("dev", "staging", "prod")
SETS = ("apps", "base", "observability")


def files() -> list[Path]:
    """Every file of the tree."""
    return sorted(path for path in K8S.rglob("*") if path.is_file())


def manifests() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every document of every YAML file, with the file."""
    for path in files():
        if path.suffix == ".yaml":
            for document in yaml.safe_load_all(path.read_text()):
                yield path, document


def kustomization(folder: Path) -> dict[str, Any]:
    """A folder's kustomization."""
    document: dict[str, Any] = yaml.safe_load((folder / "kustomization.yaml").read_text())
    return document


def remote_resources() -> set[str]:
    """What the seed's kustomizations take from elsewhere."""
    folders = [path.parent for path in BASE.rglob("kustomization.yaml")]
    return {
        resource for folder in folders for resource in kustomization(folder).get("resources", []) if "://" in resource
    }


def digests() -> dict[str, str]:
    """`k8s/base/upstream.sha256`: URL -> digest."""
    lines = [line.split() for line in (BASE / "upstream.sha256").read_text().splitlines()]
    assert all(len(line) == 2 and re.fullmatch(r"[0-9a-f]{64}", line[0]) for line in lines)
    return {url: digest for digest, url in lines}


def application_set(name: str) -> dict[str, Any]:
    """One of the sets that the root syncs."""
    document: dict[str, Any] = yaml.safe_load((BASE / "root" / f"{name}.yaml").read_text())
    return document
