"""docs/tutorial/production.md, typed by somebody who has only that page: every command line, in order.

What leads up to `pulumi up` runs in a new copy of the tree, for a new stack, against an account that has a zone and nothing else:
in the rehearsal's the doctor finds all that is in the way. From there on the commands are run on the rehearsed stack, which is
what they would have made.
"""

import os
import re
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.cloud import service, spaces
from seedbed.digitalocean import Api
from stacks.config import ROOT
from tests.lab.rehearsed import AGENTS, SERVERS, Prod
from tests.lab.stacks import Stack
from tools import toolchain
from tools.progress import Progress

PAGE = ROOT / "docs" / "tutorial" / "production.md"
UP = "pulumi up"
COMMAND_SECONDS = 300

KUBECTL = "kubectl --kubeconfig ~/.kube/seedbed-prod"
NOT_EXECUTED = {
    "export DIGITALOCEAN_TOKEN=…": "a credential: the lab's is in the environment",
    "export SPACES_ACCESS_KEY_ID=… SPACES_SECRET_ACCESS_KEY=…": "a credential: the lab's is in the environment",
    "export PULUMI_CONFIG_PASSPHRASE=…": "a credential: a random one is in the environment",
    "make rehearse": "the stack of these tests is that rehearsal",
    "make down STACK=prod": "these tests end the rehearsal in the same way",
    f"{KUBECTL} -n argocd port-forward svc/argocd-server 8443:443": "runs until it is interrupted, for a browser",
}

GIT_URL = "ssh://git@git.example.org/infra.git"
SPACES_URL = "https://fra1.digitaloceanspaces.com"
SUBNET = IPv4Network("192.0.2.0/24")
"""Of an account in which no machine is made."""

GIT_IDENTITY = {
    **{f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    "GIT_CONFIG_GLOBAL": os.devnull,
}


@dataclass(frozen=True)
class Ran:
    """A command line of the page, and what it said; it has exited with 0."""

    command: str
    said: str


@dataclass
class Shell:
    """One bash, in which one command after the other is typed; `substitutions` are expressions and their replacements."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    substitutions: Sequence[tuple[str, str]]

    def type(self, commands: Sequence[str]) -> list[Ran]:
        """All of them. Raises AssertionError at the first that fails."""
        end = f"end-{secrets.token_hex(8)}"
        with subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=self.folder, env=dict(self.environment), text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        ) as bash:  # fmt: skip
            assert bash.stdin
            assert bash.stdout
            try:
                return [self._type(bash, command, end) for command in commands]
            finally:
                os.killpg(bash.pid, signal.SIGKILL)

    def _type(self, bash: "subprocess.Popen[str]", command: str, end: str) -> Ran:
        assert bash.stdin
        assert bash.stdout
        text = command
        for what, replacement in self.substitutions:
            text = re.sub(what, lambda _, new=replacement: new, text)  # type: ignore[misc]
        bash.stdin.write(f"{{ {text}\n}} </dev/null; printf '\\n{end} %s\\n' $?\n")
        bash.stdin.flush()
        limit = threading.Timer(COMMAND_SECONDS, os.killpg, [bash.pid, signal.SIGKILL])
        limit.start()
        said: list[str] = []
        try:
            for line in bash.stdout:
                if line.startswith(end):
                    assert line.split()[1] == "0", f"{command}\nended with {line.split()[1]}:\n{''.join(said)}"
                    return Ran(command, "".join(said))
                said.append(line)
        finally:
            limit.cancel()
        raise AssertionError(f"{command}\ndid not end within {COMMAND_SECONDS} s, or ended the shell:\n{''.join(said)}")


def commands(text: str) -> list[str]:
    """The command lines in the page's `sh` blocks; a line that begins with a blank goes on with the one before."""
    found: list[str] = []
    for block in re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line[:1].isspace():
                found[-1] += f"\n{line}"
            elif line:
                found.append(line)
    return found


def executed() -> tuple[list[str], list[str]]:
    """What is executed of the page, before `pulumi up` and from there on."""
    found = [command for command in commands(PAGE.read_text()) if command not in NOT_EXECUTED]
    at = found.index(UP)
    return found[:at], found[at:]


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=folder, env=os.environ | GIT_IDENTITY,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


@dataclass(frozen=True)
class Forge:
    """An empty repository, and a clone of this tree that does not know of it yet."""

    repository: Path
    clone: Path


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of an account as the page wants it: it has been in every region, and has a zone."""
    folder = tmp_path_factory.mktemp("account")
    try:
        storage = spaces.ensure(folder, "tpage", None, "127.0.0.1", toolchain.versitygw(Progress()))
        cloud = service.start(folder, "tpage", SUBNET, Progress(), hypervisor="paper")
        assert Api(cloud.url, cloud.token).ask("POST", "/v2/domains", {"name": "example.org"}).status == 201
        yield {
            "DIGITALOCEAN_TOKEN": cloud.token,
            "DIGITALOCEAN_API_URL": cloud.url,
            **storage.environment(),
        }
    finally:
        service.stop(folder)
        spaces.stop(folder)


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory, account: dict[str, str]) -> Forge:
    folder = tmp_path_factory.mktemp("production")
    git(folder, "init", "-q", "--bare", "-b", "main", "infra.git")
    clone = Stack("page", folder / "infra", SUBNET)
    clone.copy_tree()
    # k3s is to look where this account's buckets are.
    settings, bucket = clone.root / "Pulumi.prod.yaml", "bucket: seedbed-prod-etcd\n"
    assert bucket in settings.read_text()
    endpoint = f"{bucket}      endpoint: {account['SPACES_ENDPOINT_URL']}\n"
    settings.write_text(settings.read_text().replace(bucket, endpoint))
    git(clone.root, "init", "-q", "-b", "main")
    git(clone.root, "remote", "add", "origin", "ssh://git@git.example.org/seedbed.git")
    git(clone.root, "add", ".")
    git(clone.root, "commit", "-q", "-m", "The tree")
    return Forge(folder / "infra.git", clone.root)


@pytest.fixture(scope="module")
def before(forge: Forge, account: dict[str, str]) -> dict[str, str]:
    """What each command before `pulumi up` said: a fresh shell, and the keys to the account."""
    base = Stack("page", forge.clone, SUBNET).base_environment()
    environment = {**base, **account, **GIT_IDENTITY, "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(16)}
    shell = Shell(
        forge.clone,
        environment,
        [
            (re.escape(GIT_URL), str(forge.repository)),
            (re.escape(f"endpoint={SPACES_URL}"), f"endpoint={account['SPACES_ENDPOINT_URL']}"),
            ("s3ForcePathStyle=true", "s3ForcePathStyle=true&disableSSL=true"),
        ],
    )
    return {ran.command: ran.said for ran in shell.type(executed()[0])}


@pytest.fixture(scope="module")
def after(rehearsed: Prod, tmp_path_factory: pytest.TempPathFactory, before: dict[str, str]) -> dict[str, str]:
    """What `pulumi up` and each command after it said: the shell of the rehearsal, whose git is the lab's."""
    stack, folder = rehearsed.stack, tmp_path_factory.mktemp("after")
    lab = stack.lab_folder
    ssh = f"ssh -F none -i {lab}/operator_key -o IdentitiesOnly=yes -o UserKnownHostsFile={lab}/git_known_hosts"
    environment = {**rehearsed.environment, **GIT_IDENTITY, "GIT_SSH_COMMAND": ssh}
    clone = folder / "infra"
    subprocess.run(
        ["git", "clone", "-q", f"ssh://git@{stack.subnet[2]}/seedbed.git", str(clone)],
        env=environment, check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    shell = Shell(
        stack.root,
        environment,
        [
            (r"^pulumi (up)\b", 'pulumi up --yes --config-file "$SEEDBED_CONFIG_FILE"'),
            (r"^pulumi preview\b", 'pulumi preview --config-file "$SEEDBED_CONFIG_FILE"'),
            (r"(?<=seedbed kubeconfig )prod\b|(?<=seedbed sync )prod\b|(?<=seedbed ssh )prod\b", stack.name),
            (re.escape("~/.kube"), str(folder / "kube")),
            (r"^git\b", f"git -C {clone}"),
            (r"(?<= )k8s/", f"{clone}/k8s/"),
        ],
    )
    return {ran.command: ran.said for ran in shell.type(executed()[1])}


def said(ran: Mapping[str, str], beginning: str) -> str:
    """What the one command said that begins like this."""
    (found,) = [said for command, said in ran.items() if command.startswith(beginning)]
    return found


def test_what_is_not_executed_is_on_the_page_and_there_is_little_of_it() -> None:
    found = commands(PAGE.read_text())
    assert set(NOT_EXECUTED) <= set(found)
    assert len(NOT_EXECUTED) * 4 < len(found)
    assert not re.search(r"^```(bash|shell|console)", PAGE.read_text(), re.MULTILINE)


def test_every_command_before_up_succeeds_and_the_bucket_is_the_one_that_the_page_exports(
    before: dict[str, str], account: dict[str, str]
) -> None:
    made = said(before, "seedbed state create prod")
    printed = re.search(r"^export PULUMI_BACKEND_URL='(.*)'$", made, re.MULTILINE)
    on_the_page = re.search(r"^export PULUMI_BACKEND_URL='(.*)'$", PAGE.read_text(), re.MULTILINE)
    assert printed
    assert on_the_page
    endpoint = account["SPACES_ENDPOINT_URL"]
    assert printed[1] == on_the_page[1].replace(SPACES_URL, endpoint) + "&disableSSL=true"


def test_the_tree_that_the_page_pushes_opens_for_its_cluster_and_shows_no_key(
    before: dict[str, str], forge: Forge
) -> None:
    assert "all open" in said(before, "seedbed unseal-check prod")
    assert said(before, "seedbed deploy-key prod").startswith("ssh-ed25519 ")
    settings = git(forge.repository, "show", "main:Pulumi.prod.yaml")
    assert re.search(r"seedbed:identity:\n +secure: v1:", settings)
    assert "BEGIN" in git(forge.repository, "show", "main:k8s/sealing/prod.pem")
    for environment in ("staging", "prod"):
        sealed = git(forge.repository, "show", f"main:k8s/apps/podinfo/overlays/{environment}/sealed-secret.yaml")
        assert re.search(r"message: \S{300,}", sealed)
        assert "hello" not in sealed


def test_the_preview_makes_what_the_page_shows_and_touches_nothing_else(before: dict[str, str]) -> None:
    shown = said(before, "pulumi preview")
    on_the_page = re.findall(r"^ \+  (\S+ \S+) create$", PAGE.read_text(), re.MULTILINE)
    assert len(on_the_page) == 3
    assert all(f" +  {what} create" in shown for what in on_the_page)
    assert re.search(r"Resources:\n    \+ \d+ to create\n\s*\Z", shown)


def test_the_doctor_finds_nothing_to_put_right_and_the_cost_is_the_one_on_the_page(before: dict[str, str]) -> None:
    assert " 0 to put right" in said(before, "seedbed doctor prod")
    total = re.search(r"^total +([\d.]+)$", PAGE.read_text(), re.MULTILINE)
    assert total
    assert re.search(rf"^total +{re.escape(total[1])}$", said(before, "seedbed cost prod"), re.MULTILINE)


def test_up_has_nothing_to_do_on_what_was_rehearsed_and_the_next_preview_is_empty(after: dict[str, str]) -> None:
    for command in (UP, "pulumi preview"):
        assert re.search(r"^ +\d+ unchanged", said(after, command), re.MULTILINE)
        assert not re.search(
            r"created|updated|replaced|deleted|to (create|update|replace|delete)", said(after, command)
        )


def test_the_kubeconfig_of_the_page_shows_every_node_ready(after: dict[str, str]) -> None:
    nodes = said(after, f"{KUBECTL} get nodes")
    assert sorted(re.findall(r"^(\S+) +Ready\b", nodes, re.MULTILINE)) == sorted(SERVERS + AGENTS)


def test_a_snapshot_that_is_saved_by_the_page_is_in_the_bucket(after: dict[str, str]) -> None:
    saved = re.search(r"Snapshot (on-demand\S+) saved", said(after, "seedbed ssh prod server-a k3s etcd-snapshot save"))
    assert saved
    listed = said(after, "seedbed ssh prod server-a k3s etcd-snapshot ls")
    assert re.search(rf"^{re.escape(saved[1])} +s3://seedbed-prod-etcd/", listed, re.MULTILINE)


def test_a_push_is_on_the_cluster_after_the_sync_of_the_page(after: dict[str, str]) -> None:
    assert re.search(r"^podinfo .* 8 ", said(after, f"{KUBECTL} -n prod get hpa podinfo"), re.MULTILINE)
