"""The upstream names that a lab answers itself."""

from collections.abc import Iterable

RELEASE_HOSTS = frozenset(
    {
        "dl.k8s.io",
        "get.helm.sh",
        "get.k3s.io",
        "github.com",
        "objects.githubusercontent.com",
        "raw.githubusercontent.com",
        "release-assets.githubusercontent.com",
    }
)
"""Where releases are downloaded from: plain files over HTTPS."""

DOCKER_HUB = "docker.io"

_DOCKER_HUB_ALIASES = frozenset({DOCKER_HUB, "index.docker.io", "registry-1.docker.io"})

REGISTRY_HOSTS = _DOCKER_HUB_ALIASES | {"gcr.io", "ghcr.io", "public.ecr.aws", "quay.io", "registry.k8s.io"}
"""Image registries by the names that images and clients use. Docker Hub's API is at `registry-1.docker.io`."""

UPSTREAM_HOSTS = RELEASE_HOSTS | REGISTRY_HOSTS

SELF = "internet.seedbed.internal"
"""The small internet's own name, for its `/healthz`. `.internal` is reserved for private use (ICANN, 2024)."""

GIT = "git.seedbed.internal"
"""The lab's git server, which speaks SSH only."""


def all_names(extra: Iterable[str] = ()) -> list[str]:
    """Every name that the lab answers over HTTPS, sorted; `extra` are hosts that only this lab serves."""
    return sorted(UPSTREAM_HOSTS | {SELF} | set(extra))


def dns_names(extra: Iterable[str] = ()) -> list[str]:
    """Every name that the lab has an address for, sorted."""
    return sorted({GIT, *all_names(extra)})


def registry_of(host: str) -> str:
    """The registry as image references name it: Docker Hub's hosts are all `docker.io`."""
    return DOCKER_HUB if host in _DOCKER_HUB_ALIASES else host


def api_host(registry: str) -> str:
    """The host that serves the registry's API, for going to the real one."""
    return "registry-1.docker.io" if registry == DOCKER_HUB else registry
