"""The lab's git server as a host and this machine meet it: by its name and its port, with the keys that are pinned."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.git import service, tree
from lab.internet import service as internet
from lab.lab import Lab
from tests.lab.conftest import LabFactory, new_key
from tools.progress import Progress

HOST = "server-a-1"
NAME = "git.seedbed.internal"


@dataclass(frozen=True)
class Served:
    """A lab of one host with its services, and the public half of the deploy key."""

    lab: Lab
    deploy_key: str
    commit: str

    @property
    def address(self) -> str:
        return str(self.lab.spec.subnet[2])

    def start(self) -> bool:
        spec = self.lab.spec
        keys = [self.deploy_key], [spec.operator_public_key]
        return service.start(spec.directory, spec.internet_netns, self.address, *keys, Progress())


@pytest.fixture(scope="module")
def served(lab_factory: LabFactory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    clone = tmp_path_factory.mktemp("clone")
    (clone / "k8s").mkdir()
    (clone / "k8s" / "root.yaml").write_text("{}\n")
    lab = lab_factory(hosts=[HOST])
    spec = lab.spec
    prepared = tree.prepare(clone, spec.directory, lambda folder: None)
    private, public = new_key()
    served = Served(lab, public, prepared.commit)
    try:
        internet.start(spec.directory, spec.internet_netns, served.address, {}, [], Progress(), resolvers=[])
        served.start()
        lab.ssh(HOST, "umask 077; cat > /root/deploy", stdin=private)
        lab.ssh(HOST, "cat > /root/known_hosts", stdin=(spec.directory / service.KNOWN_HOSTS).read_text())
        yield served
    finally:
        service.stop(spec.directory)
        internet.stop(spec.directory)
        # What the server and the tree wrote is not the lab's own, so `down` would leave it.
        for folder in (service.ROOT, "gitops", "services"):
            shutil.rmtree(spec.directory / folder)
        for file in ("ca.crt", "ca.key", "git_access", "git_host_key", "git_known_hosts"):
            (spec.directory / file).unlink()


def from_host(lab: Lab, command: str) -> subprocess.CompletedProcess[str]:
    """ssh on the host to the server's name, with the deploy key and no other host key than the pinned one."""
    options = (
        "-F none -i /root/deploy -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/root/known_hosts"
    )
    return lab.ssh(HOST, f'ssh {options} git@{NAME} "{command}" < /dev/null', check=False)


def operate(served: Served, *words: str, cwd: Path | None = None) -> str:
    """git on this machine as the documentation says, with the operator's key."""
    variables = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **variables, "GIT_SSH_COMMAND": service.ssh_command(served.lab.spec.directory)}
    done = subprocess.run(["git", *words], env=env, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_host_reads_the_repository_by_its_name_with_the_deploy_key(served: Served) -> None:
    done = from_host(served.lab, "git-upload-pack '/seedbed.git'")
    assert f"{served.commit} refs/heads/main" in done.stdout, done.stderr


def test_a_host_cannot_push_with_the_deploy_key(served: Served) -> None:
    done = from_host(served.lab, "git-receive-pack '/seedbed.git'")
    assert done.returncode == 128
    assert "this key may read only" in done.stderr


def test_the_operator_clones_and_pushes_from_this_machine(served: Served, tmp_path: Path) -> None:
    operate(served, "clone", "--quiet", f"ssh://git@{served.address}/seedbed.git", str(tmp_path / "clone"))
    (tmp_path / "clone" / "k8s" / "more.yaml").write_text("{}\n")
    operate(served, "add", "--all", cwd=tmp_path / "clone")
    operate(served, "commit", "--quiet", "--message", "more", cwd=tmp_path / "clone")
    operate(served, "push", "--quiet", "origin", "HEAD:main", cwd=tmp_path / "clone")
    commit = operate(served, "rev-parse", "HEAD", cwd=tmp_path / "clone").strip()
    assert f"{commit} refs/heads/main" in from_host(served.lab, "git-upload-pack '/seedbed.git'").stdout


def test_a_host_that_pinned_the_key_refuses_another(served: Served) -> None:
    service.renew_host_key(served.lab.spec.directory)
    assert served.start()
    done = from_host(served.lab, "git-upload-pack '/seedbed.git'")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr
