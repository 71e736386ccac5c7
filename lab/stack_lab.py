"""The lab of a stack: what the stack's settings say about its machines, made true on this one.

The stack names an `identityFile`; the folder of that file is the lab's. The network of the stack's machines is the lab's
subnet, and each machine a host of it; where a cloud makes the machines (`lab.cloud_lab`), the lab has a subnet of its
own, and the hosts that somebody makes there. Each function does what is missing and leaves alone what is there, so a lab
that is half made is finished by calling them again.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

from lab import LabError, cloud_lab, machine, upstream_files
from lab.artifacts import Artifacts
from lab.git import program
from lab.git import service as git_service
from lab.git.tree import Prepared, Renew, Seal, prepare
from lab.gitops import trust
from lab.internet import mirror, pki, process, s3, service
from lab.lab import Lab
from lab.lab import down as hosts_down
from lab.spec import LAB_NAME, HostSpec, LabSpec
from lab.status import HostStatus
from stacks.config import ROOT
from stacks.identity import Identity, generate
from stacks.settings import Settings
from tools.debian import ensure_packages
from tools.progress import Progress

RELEASE_HOST = "github.com"
SERVED = "serve"
"""A folder of the lab's with one for each host whose files it serves."""

DIGEST_FILE = "k3s.sha256"
IDENTITY = "identity.json"
ARGOCD_ARCHIVE = "argocd.tar"
"""Argo CD's image as it trusts the lab's authority."""


@dataclass(frozen=True)
class StackLab:
    """A stack's lab: its name (the stack's), its folder, and what the settings say.

    `own_subnet` is the network that it was given where a cloud makes its hosts.
    """

    name: str
    directory: Path
    settings: Settings = field(repr=False)
    own_subnet: IPv4Network | None = None

    def __post_init__(self) -> None:
        if not LAB_NAME.fullmatch(self.name):
            raise LabError(
                f"stack {self.name} cannot live on the lab: its name has to be a letter and up to 7 letters or digits"
            )

    @property
    def identity_file(self) -> Path:
        """Where the lab keeps the stack's identity (0600)."""
        return self.directory / IDENTITY

    @property
    def netns(self) -> str:
        """The network namespace of the lab's services."""
        return f"sb-{self.name}-inet"

    @property
    def subnet(self) -> IPv4Network:
        """The network on the lab's bridge: of its hosts, or of the public addresses of its cloud."""
        return self.own_subnet or self.settings.network.machines

    @property
    def services_address(self) -> str:
        """Where the lab's services are in its network."""
        return str(self.subnet[2])

    def spec(self, identity: Identity) -> LabSpec:
        """The lab without its hosts; the authority that the hosts trust is made where it is missing."""
        authority = pki.ensure_authority(self.directory, self.name)
        return LabSpec(
            name=self.name,
            directory=self.directory,
            subnet=self.subnet,
            operator_public_key=identity.operator_public_key,
            operator_private_key=identity.operator_key,
            ca_certificates=(authority.pem,),
        )

    def hosts(self, identity: Identity) -> list[HostSpec]:
        """A host for each machine of the stack, with the key that the stack has pinned for it; none where a cloud makes
        them."""
        settings = self.settings
        if settings.digitalocean is not None:
            return []
        return [
            HostSpec(
                name=settings.full_name(name),
                address=str(machine.address),
                host_key_private=identity.host_key(settings.full_name(name)).private,
            )
            for name, machine in sorted(settings.machines.items())
        ]


@dataclass(frozen=True)
class Report:
    """What `seedbed lab status` shows."""

    hosts: list[HostStatus]
    internet: service.Status
    s3: int | None
    git: git_service.Status | None
    """None where the lab has none."""
    cloud: cloud_lab.Status | None = None
    """As for git."""


def ensure_identity(lab: StackLab, progress: Progress) -> Identity:
    """The stack's identity; made with the lab, and kept for as long as the lab lives."""
    lab.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not lab.identity_file.exists():
        with progress.phase("identity of the stack"):
            pki.write_private(lab.identity_file, generate().to_json().encode())
    return Identity.from_file(lab.identity_file)


def start_s3(lab: StackLab, versitygw: Path, progress: Progress) -> s3.S3:
    """The S3 server that holds the stack's state."""
    lab.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return s3.ensure(lab.directory, lab.name, versitygw, progress)


def start_hosts(lab: StackLab, identity: Identity, progress: Progress) -> Lab:
    """Network and hosts. They boot on; whoever wants one ready waits for it."""
    with progress.phase("lab hosts" if lab.settings.digitalocean is None else "lab network"):
        return Lab.ensure(lab.spec(identity), lab.hosts(identity), progress)


def start_cloud(lab: StackLab, versitygw: Path, progress: Progress) -> None:
    """The cloud that makes the hosts, where the settings want one, with what the stack finds in its account; the lab's
    network has to be there."""
    cloud = lab.settings.digitalocean
    if cloud is None:
        return
    cloud_lab.start_spaces(lab.name, lab.directory, lab.netns, lab.services_address, versitygw, progress)
    cloud_lab.start_api(lab.name, lab.directory, lab.subnet, progress)
    if cloud.dns is not None:
        cloud_lab.ensure_zone(lab.directory, cloud.dns.zone, progress)


def start_internet(lab: StackLab, artifacts: Artifacts, progress: Progress) -> None:
    """The names, the release mirror and the registry that the hosts see; the hosts' network has to be there."""
    with progress.phase("small internet"):
        serve = {RELEASE_HOST: publish_release(lab, artifacts)}
        if artifacts.files is not None:
            serve |= upstream_files.publish(artifacts.files, lab.directory / SERVED)
        authority = pki.ensure_authority(lab.directory, lab.name)
        argocd = trust.write(lab.directory / ARGOCD_ARCHIVE, artifacts.argocd, authority.pem)
        archives = [argocd, *artifacts.archives]  # of one name the first is served
        service.start(lab.directory, lab.netns, lab.services_address, serve, archives, progress)


def start_git(lab: StackLab, identity: Identity, progress: Progress) -> None:
    """The server of the repository that drives the cluster, where the stack has a seed; the hosts' network has to be
    there."""
    seed = lab.settings.seed
    if seed is None:
        return
    readers = [identity.deploy_key(seed.repository.deploy_key).public]
    writers = [identity.operator_public_key]
    with progress.phase("git server"):
        git_service.start(lab.directory, lab.netns, lab.services_address, readers, writers, progress)


def publish_tree(lab: StackLab, progress: Progress, seal: Seal, renew: Renew) -> Prepared | None:
    """Brings the clone's tree, sealed, to the lab's repository, as `prepare` does; None where the stack has no seed.

    Needs neither the network nor the git server.
    """
    if lab.settings.seed is None:
        return None
    ensure_packages(program.PACKAGES, progress)
    with progress.phase("git tree") as phase:
        prepared = prepare(ROOT, lab.directory, seal, renew)
        phase.note(f"{prepared.commit[:12]}{', new' if prepared.new else ''}")
    return prepared


def publish_release(lab: StackLab, artifacts: Artifacts) -> Path:
    """The k3s release as its download page has it: the binary and the checksum file, under the release's version.

    Gives the folder that stands for the whole host. Also writes the digest file that the stack's settings name.
    """
    tree = lab.directory / SERVED / RELEASE_HOST
    arch = "arm64" if os.uname().machine == "aarch64" else "amd64"
    mirror.publish_k3s(tree, artifacts.k3s_version, arch, artifacts.k3s, artifacts.k3s_sha256)
    (lab.directory / DIGEST_FILE).write_text(f"{artifacts.k3s_sha256}\n")
    return tree


def down(name: str, directory: Path, progress: Progress) -> None:
    """Removes hosts, services, state and folder without trace, however much of them there is.

    Raises LabError where the lab of this name belongs to another folder, which has to remove it.
    """
    claim = machine.claim_of(name)
    if claim is not None and claim.directory != directory and claim.directory.exists():
        raise LabError(f"lab {name!r} of this machine belongs to {claim.directory}: remove it from there")
    for folder in {directory, claim.directory if claim else directory}:
        process.services_dir(folder)  # `stop` finds processes that lost their pid file only where there is a folder
        cloud_lab.stop(folder)  # before the hosts go: it would make more
        service.stop(folder)
        git_service.stop(folder)
        s3.stop(folder)
        hosts_down(name, folder, progress)
        shutil.rmtree(folder, ignore_errors=True)


def remove_others(lab: StackLab, progress: Progress) -> None:
    """Takes away the hosts of machines that are not the stack's any more; for when they have left the cluster.

    Those that a cloud makes are the cloud's to take away.
    """
    if lab.settings.digitalocean is not None:
        return
    there = Lab.open(lab.name)
    for name in sorted(set(there.host_names()) - {lab.settings.full_name(name) for name in lab.settings.machines}):
        with progress.phase(f"lab host {name}: away, with its disk"):
            there.remove_host(name)


def lose(lab: StackLab, progress: Progress) -> None:
    """A disaster: every host loses its power, then its disk, the state store its bucket, and the cloud the whole account.

    What a rebuild starts from stays in the lab's folder: the identity, the git repository, and the lab's authority.
    Raises LabError as `down` does.
    """
    there = Lab.open(lab.name)
    with progress.phase("power cut of all hosts"), ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(there.cut, there.host_names()))
    cloud_lab.stop(lab.directory)
    service.stop(lab.directory)
    git_service.stop(lab.directory)
    hosts_down(lab.name, lab.directory, progress)
    cloud_lab.lose(lab.directory)
    s3.lose(lab.directory)
    progress.line("the disks and the state bucket are gone")


def is_left_over(name: str) -> bool:
    """Whether the machine still has the hosts of a lab whose folder, with their keys, is gone."""
    claim = machine.claim_of(name)
    return claim is not None and not (claim.directory / IDENTITY).exists()


def report(name: str, directory: Path) -> Report:
    """What runs. Raises LabError where there is no such lab."""
    return Report(
        Lab.open(name).status(),
        service.status(directory),
        s3.status(directory),
        git_service.status(directory),
        cloud_lab.status(directory),
    )
