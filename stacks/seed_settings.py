"""The section `seed` of a stack's settings: the repository that drives the cluster, and what of it the cluster runs."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from stacks.model import PROJECT, Model

PATH = f"{PROJECT}:seed"

# git's two ways to write an SSH address. Source: https://git-scm.com/docs/git-clone#_git_urls
_SSH_URL = re.compile(r"ssh://[a-z_][-a-z0-9_]*@(?P<host>[A-Za-z0-9.-]+)(:(?P<port>\d{1,5}))?/[^\s]+")
_SCP_URL = re.compile(r"[a-z_][-a-z0-9_]*@(?P<host>[A-Za-z0-9.-]+):(?!/)[^\s]+")
# Source: https://man.openbsd.org/sshd#SSH_KNOWN_HOSTS_FILE_FORMAT, without hashed names and markers
_KNOWN_HOST = re.compile(
    r"(?P<names>[^\s|@#]+) (ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+=*( .*)?"
)
# Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names
_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_NOT_FOR_APPS = {"argocd", "default", "kube-node-lease", "kube-public", "kube-system", "observability"}


class RepositorySettings(Model):
    """Where the tree is that drives the cluster; it is read over SSH with a key that is derived from the identity."""

    url: str
    revision: Annotated[str, Field(pattern=r"^[^\s:~^?*\[\\]+$")] = "main"
    path: str = "k8s"
    known_hosts: tuple[str, ...] = ()
    known_hosts_file: Path | None = None
    deploy_key: Annotated[int, Field(strict=True, ge=1)] = 1


class SeedSettings(Model):
    """`tree` is where this program reads what the repository holds below `path`; `environments` are the overlays that the
    cluster runs, each in the namespace of its name."""

    repository: RepositorySettings
    environments: tuple[str, ...]
    tree: Path = Path("k8s")


@dataclass(frozen=True)
class Repository:
    """The checked settings; `known_hosts` is text in OpenSSH's format, one line for each key."""

    url: str
    revision: str
    path: str
    known_hosts: str
    deploy_key: int


@dataclass(frozen=True)
class Seed:
    """The section `seed`, checked; `tree` is an existing folder, or the one that the lab will make."""

    repository: Repository
    environments: tuple[str, ...]
    tree: Path


def resolve(settings: SeedSettings, root: Path, problems: list[str], *, lab_is_made: bool) -> Seed:
    """Look at what the settings name below `root`; adds every problem to `problems`, and then gives what is of no use.

    With `lab_is_made=False` what the lab writes is not asked for: the known hosts are then empty.
    """
    repository = settings.repository
    name = _host_name(repository.url)
    if name is None:
        problems.append(
            f"{PATH}.repository.url: {repository.url!r} is not an SSH address; write ssh://git@HOST/PATH or git@HOST:PATH: "
            "the repository is read with a deploy key"
        )
    problems += _check_path(repository.path)
    problems += _check_environments(settings.environments)
    known_hosts = _known_hosts(repository, root, problems, lab_is_made=lab_is_made)
    if name is not None and known_hosts:
        problems += _check_known_hosts(known_hosts, name)
    tree = root / settings.tree
    if lab_is_made or repository.known_hosts_file is None:
        problems += _check_tree(tree, settings)
    return Seed(
        repository=Repository(
            url=repository.url,
            revision=repository.revision,
            path=repository.path,
            known_hosts="".join(f"{line}\n" for line in known_hosts),
            deploy_key=repository.deploy_key,
        ),
        environments=settings.environments,
        tree=tree,
    )


def _host_name(url: str) -> str | None:
    """The name by which SSH knows the host of the address, as in known_hosts; None where it is no SSH address."""
    match = _SSH_URL.fullmatch(url) or _SCP_URL.fullmatch(url)
    if match is None:
        return None
    port = match.groupdict().get("port")
    return match["host"] if port in (None, "22") else f"[{match['host']}]:{port}"


def _check_path(path: str) -> Iterator[str]:
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts:
        yield f"{PATH}.repository.path: {path!r} has to be a folder inside the repository, such as k8s"


def _check_environments(environments: Sequence[str]) -> Iterator[str]:
    path = f"{PATH}.environments"
    if not environments:
        yield f"{path}: must name at least one, such as [prod]: the overlays of the apps that this cluster runs"
    for name in sorted(set(environments)):
        if not _LABEL.fullmatch(name):
            yield f"{path}: {name!r} cannot be a namespace: lower-case letters, digits and inner hyphens, a letter first"
        elif name in _NOT_FOR_APPS or name.startswith("kube-"):
            yield f"{path}: the namespace {name} is not for apps; take another name"
        if environments.count(name) > 1:
            yield f"{path}: {name} is there twice"


def _known_hosts(repository: RepositorySettings, root: Path, problems: list[str], *, lab_is_made: bool) -> list[str]:
    path = f"{PATH}.repository"
    if repository.known_hosts_file is None:
        if not repository.known_hosts:
            problems.append(
                f"{path}.knownHosts: missing; the lines of `ssh-keyscan HOST`, compared with what the forge publishes"
            )
        return list(repository.known_hosts)
    if repository.known_hosts:
        problems.append(f"{path}.knownHostsFile: there is also knownHosts; keep one of the two")
    if not lab_is_made:
        return []
    try:
        text = (root / repository.known_hosts_file).read_text()
    except OSError:
        problems.append(
            f"{path}.knownHostsFile: {repository.known_hosts_file} cannot be read; the lab makes it: run `make up`"
        )
        return []
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _check_known_hosts(lines: Sequence[str], host: str) -> Iterator[str]:
    path = f"{PATH}.repository.knownHosts"
    found = False
    for line in lines:
        match = _KNOWN_HOST.fullmatch(line)
        if match is None:
            yield f"{path}: {line[:60]!r} is not `HOST KEYTYPE KEY`, with the host's name in clear"
        else:
            found = found or host in match["names"].split(",")
    if not found:
        yield f"{path}: none is for {host}, the host of {PATH}.repository.url: its key could not be checked"


def _check_tree(tree: Path, settings: SeedSettings) -> Iterator[str]:
    path = f"{PATH}.tree"
    missing = [
        name
        for name in ("argocd", "root", "sealed-secrets")
        if not (tree / "base" / name / "kustomization.yaml").is_file()
    ]
    if missing:
        names = ", ".join(f"base/{name}/kustomization.yaml" for name in missing)
        yield f"{path}: {settings.tree} has no {names}; the lab makes its own by `make up`"
        return
    overlays = {folder.name for folder in tree.glob("apps/*/overlays/*") if folder.is_dir()}
    for environment in settings.environments:
        if overlays and environment not in overlays:
            yield f"{PATH}.environments: no app has an overlay {environment}; there are {', '.join(sorted(overlays))}"
