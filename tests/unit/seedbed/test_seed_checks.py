import socket
import subprocess

import pytest

from lab.git import service
from seedbed.checks.seed import check_repository, check_sealed
from seedbed.findings import Status
from seedbed.stackfile import StackFile
from stacks import identity as identities
from stacks import sealing
from stacks.seed_settings import Repository, Seed
from tools.progress import Progress

ALIAS = "git.seedbed.internal"


@pytest.fixture(scope="module")
def forge(tmp_path_factory, identity):
    """A git server on loopback that lets deploy key 1 read a repository with the branch main and the tag v1; its port."""
    folder = tmp_path_factory.mktemp("forge")
    repository = folder / "git" / "seedbed.git"
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", repository], check=True)

    def git(*words):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(
            command, cwd=repository, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL
        ).stdout.strip()

    git("update-ref", "refs/heads/main", git("commit-tree", git("mktree"), "-m", "one"))
    git("tag", "v1", "main")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    readers = [identity.deploy_key(1).public]
    service.start(folder, None, "127.0.0.1", readers, [], Progress(), port)
    yield port, (folder / service.KNOWN_HOSTS).read_text(), git("rev-parse", "main")
    service.stop(folder)


def repository(forge, **changes):
    port, known_hosts, _ = forge
    fields = {
        "url": f"ssh://git@127.0.0.1:{port}/seedbed.git", "revision": "main", "path": "k8s",
        "known_hosts": known_hosts, "deploy_key": 1,
    }  # fmt: skip
    return Repository(**{**fields, **changes})


def check(forge, identity, number=1, alias=None, **changes):
    return check_repository(repository(forge, **changes), identity.deploy_key(number).private, "prod", alias)


@pytest.mark.parametrize("revision", ["main", "v1"])
def test_a_repository_that_lets_the_deploy_key_in_is_ok_and_tells_its_commit(forge, identity, revision):
    finding = check(forge, identity, revision=revision)
    assert finding.status is Status.OK
    assert finding.title.endswith(f"{revision} is at {forge[2][:7]}")


def test_a_commit_is_not_looked_for_among_the_branches(forge, identity):
    assert check(forge, identity, revision=forge[2]).status is Status.OK


def test_a_branch_that_is_not_there_is_named(forge, identity):
    finding = check(forge, identity, revision="mian")
    assert (finding.status, "no branch or tag mian" in finding.title) == (Status.FAIL, True)


def test_a_key_that_is_not_registered_is_pointed_to_the_command_that_prints_it(forge, identity):
    finding = check(forge, identity, number=2)
    assert (finding.status, "does not let the deploy key in" in finding.title) == (Status.FAIL, True)
    assert "seedbed deploy-key prod" in finding.remedy


def test_a_host_with_another_key_than_the_pinned_one_is_not_trusted(forge, identity):
    port = forge[0]
    other = f"[127.0.0.1]:{port} {identity.host_key('other').public}\n"
    finding = check(forge, identity, known_hosts=other)
    assert (finding.status, "another host key" in finding.title) == (Status.FAIL, True)


def test_a_repository_that_is_not_there_is_told_from_a_key_that_is_not_let_in(forge, identity):
    finding = check(forge, identity, url=f"ssh://git@127.0.0.1:{forge[0]}/other.git")
    assert (finding.status, "there is no repository" in finding.title) == (Status.FAIL, True)


def test_a_forge_that_only_the_cluster_reaches_is_no_failure(forge, identity):
    finding = check(forge, identity, url="ssh://git@127.0.0.1:9/seedbed.git")
    assert (finding.status, "cannot be reached from this machine" in finding.title) == (Status.WARN, True)


def test_a_name_that_only_the_labs_hosts_know_is_reached_by_its_address(forge, identity):
    port, known_hosts, _ = forge
    url = f"ssh://git@{ALIAS}:{port}/seedbed.git"
    under_its_name = f"{ALIAS} {known_hosts.split(maxsplit=1)[1]}"
    alias = ("127.0.0.1", ALIAS)
    assert check(forge, identity, alias=alias, url=url, known_hosts=under_its_name).status is Status.OK
    assert check(forge, identity, alias=alias, url=url, known_hosts="").status is Status.FAIL


def test_the_key_is_in_no_finding_and_no_file_afterwards(forge, identity, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    finding = check(forge, identity)
    assert "PRIVATE" not in finding.title + finding.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def keys():
    """A small one of an identity's own kind."""
    with pytest.MonkeyPatch.context() as patch:
        generate = identities.rsa.generate_private_key
        patch.setattr(identities.rsa, "generate_private_key", lambda exponent, _: generate(exponent, 2048))
        return identities._sealing_key(), identities._sealing_key()


@pytest.fixture
def sealed(tmp_path, identity, keys):
    """A stack whose tree has one Secret, sealed for its only key; gives stack, seed and identity."""
    tree = tmp_path / "k8s"
    metadata = {"name": "token", "namespace": "dev"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"token": "value"}}
    manifest = sealing.seal(secret, keys[0].crt, sealing.Scope.STRICT)
    app = tree / "apps" / "web" / "overlays" / "dev"
    app.mkdir(parents=True)
    (app / "sealed.yaml").write_text(identities.json.dumps(manifest))
    (app / "kustomization.yaml").write_text("namespace: dev\nresources: [sealed.yaml]\n")
    (tree / "sealing").mkdir()
    (tree / "sealing" / "prod.pem").write_text(keys[0].crt)
    seed = Seed(Repository("", "main", "k8s", "", 1), ("dev",), tree)
    own = identity.model_copy(update={"sealing_keys": keys[:1]})
    return StackFile("prod", tmp_path / "Pulumi.prod.yaml", {}, None, None), seed, own


def test_a_tree_that_opens_is_ok(sealed):
    stack, seed, identity = sealed
    assert [finding.status for finding in check_sealed(seed, identity, stack)] == [Status.OK, Status.OK]


def test_a_secret_that_no_key_opens_is_named_and_fails(sealed, keys):
    stack, seed, identity = sealed
    findings = check_sealed(seed, identity.model_copy(update={"sealing_keys": keys[1:]}), stack)
    assert [finding.status for finding in findings] == [Status.FAIL, Status.WARN]
    assert "token" in findings[0].remedy
    assert "sealed.yaml" in findings[0].remedy


def test_a_certificate_that_is_missing_is_only_to_know_about(sealed):
    stack, seed, identity = sealed
    (seed.tree / "sealing" / "prod.pem").unlink()
    findings = check_sealed(seed, identity, stack)
    assert [finding.status for finding in findings] == [Status.OK, Status.WARN]
