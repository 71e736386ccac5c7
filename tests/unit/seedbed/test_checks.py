from datetime import UTC, datetime, timedelta

import pytest

from seedbed.checks import disk, secrets, toolchain
from seedbed.checks.state import check_init, check_meta, check_store
from seedbed.deployment import NODE
from seedbed.findings import Status, ok, warn
from seedbed.passphrase import VARIABLE, Crypter
from seedbed.stackfile import StackFile
from seedbed.store import FileStore, StoreError
from stacks.config import ROOT
from stacks.settings import parse

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class Double:
    """A store that can be made to misbehave."""

    name = "s3://double"

    def __init__(self, refuse=(), keys=(), skew=0.0, forget_deletes=False):
        self.refuse, self.keys, self.skew, self.forget = refuse, set(keys), skew, forget_deletes

    def _may(self, verb):
        if verb in self.refuse:
            raise StoreError(f"{verb}: AccessDenied")

    def put(self, key, body):
        self._may("put")
        self.keys.add(key)

    def copy(self, key, to):
        self._may("copy")
        self.keys.add(to)

    def list(self, prefix):
        self._may("list")
        return sorted(key for key in self.keys if key.startswith(prefix))

    def delete(self, key):
        self._may("delete")
        if not self.forget:
            self.keys.discard(key)

    def clock(self):
        return NOW - timedelta(seconds=self.skew)


def statuses(findings):
    return [finding.status for finding in findings]


def test_a_good_store_is_ok_and_left_as_it_was():
    store = Double(keys=[".pulumi/meta.yaml"])
    assert statuses(check_store(store, NOW)) == [Status.OK] * 3
    assert store.keys == {".pulumi/meta.yaml"}


@pytest.mark.parametrize("verb", ["put", "copy", "list", "delete"])
def test_a_store_that_refuses_one_verb_fails_by_that_verb(verb):
    findings = check_store(Double(refuse=[verb], keys=[".pulumi/meta.yaml"]), NOW)
    assert findings[0].status is Status.FAIL
    assert f"cannot {verb}" in findings[0].title
    assert "AccessDenied" in findings[0].remedy


def test_a_store_that_refuses_to_copy_is_cleaned_of_the_scratch_key():
    store = Double(refuse=["copy"], keys=[".pulumi/meta.yaml"])
    check_store(store, NOW)
    assert store.keys == {".pulumi/meta.yaml"}


def test_a_scratch_key_that_cannot_be_removed_is_named():
    findings = check_store(Double(refuse=["delete"]), NOW)
    assert findings[-1].status is Status.WARN
    assert ".seedbed-doctor-" in findings[-1].remedy


def test_a_store_that_still_lists_what_was_deleted_cannot_hold_a_lock():
    findings = check_store(Double(keys=[".pulumi/meta.yaml"], forget_deletes=True), NOW)
    assert "lists keys late" in findings[0].title


def test_an_empty_store_is_called_empty_or_mistyped():
    finding = check_meta(Double())
    assert finding.status is Status.FAIL
    assert "empty or mistyped" in finding.title


@pytest.mark.parametrize(("skew", "said"), [(61, "61 s ahead of"), (-3600, "3600 s behind")])
def test_a_clock_that_is_off_fails_with_the_direction(skew, said):
    findings = check_store(Double(keys=[".pulumi/meta.yaml"], skew=skew), NOW)
    assert [said in finding.title for finding in findings if finding.status is Status.FAIL] == [True]


def test_a_clock_that_is_off_is_told_even_where_the_store_refuses_for_it():
    findings = check_store(Double(refuse=["put"], skew=4000), NOW)
    assert any("clock" in finding.title for finding in findings if finding.status is Status.FAIL)


def test_a_folder_has_no_clock_of_its_own(tmp_path):
    (tmp_path / ".pulumi").mkdir()
    (tmp_path / ".pulumi/meta.yaml").write_text("version: 1\n")
    assert statuses(check_store(FileStore(tmp_path))) == [Status.OK, Status.OK]
    assert [p.name for p in (tmp_path / ".pulumi").iterdir()] == ["meta.yaml"]


@pytest.fixture(scope="module")
def crypter():
    return Crypter.new("right")


def stack(tmp_path, crypter=None, config=None, provider=None):
    return StackFile("x", tmp_path / "Pulumi.x.yaml", config or {}, crypter and crypter.salt, provider)


def test_the_right_passphrase_is_ok(tmp_path, crypter):
    assert secrets.check_passphrase(stack(tmp_path, crypter), {VARIABLE: "right"}) == ok("passphrase: right")


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}, {VARIABLE: "wrong"}])
def test_a_missing_empty_or_wrong_passphrase_fails(tmp_path, crypter, environment):
    assert secrets.check_passphrase(stack(tmp_path, crypter), environment).status is Status.FAIL


def test_a_stack_without_a_salt_is_pointed_to_init(tmp_path):
    finding = secrets.check_passphrase(stack(tmp_path), {VARIABLE: "right"})
    assert (finding.status, "seedbed init x" in finding.remedy) == (Status.WARN, True)


def test_keys_under_the_published_passphrase_fail(tmp_path):
    crypter = Crypter.new("seedbed-dev-is-public")
    sealed = stack(tmp_path, crypter, {"seedbed:identity": {"secure": crypter.encrypt("{}")}})
    finding = secrets.check_passphrase(sealed, {VARIABLE: "seedbed-dev-is-public"})
    assert (finding.status, "publishes" in finding.title) == (Status.FAIL, True)
    unsealed = stack(tmp_path, crypter, {"seedbed:identityFile": "identity.json"})
    assert secrets.check_passphrase(unsealed, {VARIABLE: "seedbed-dev-is-public"}).status is Status.OK


def test_another_secrets_provider_is_refused(tmp_path, crypter):
    finding = secrets.check_passphrase(stack(tmp_path, crypter, provider="awskms://k"), {VARIABLE: "right"})
    assert (finding.status, "awskms" in finding.remedy) == (Status.FAIL, True)


def test_a_missing_identity_fails_with_the_command_that_makes_one(tmp_path, crypter):
    finding, identity = secrets.check_identity(stack(tmp_path, crypter), {VARIABLE: "right"})
    assert identity is None
    assert "seedbed init x" in finding.remedy


def test_an_identity_that_is_none_fails_without_quoting_it(tmp_path, crypter):
    sealed = stack(tmp_path, crypter, {"seedbed:identity": {"secure": crypter.encrypt('{"serverToken": "hush"}')}})
    finding, identity = secrets.check_identity(sealed, {VARIABLE: "right"})
    assert (finding.status, identity, "hush" in finding.remedy) == (Status.FAIL, None, False)


def fake_cli(folder, text):
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_a_cli_that_is_too_old_fails_with_the_range(tmp_path):
    (tmp_path / "Pulumi.yaml").write_text('requiredPulumiVersion: ">=3.232.0 <4.0.0"\n')
    finding = toolchain.check_cli(fake_cli(tmp_path, "echo v3.100.0"), tmp_path)
    assert (finding.status, ">=3.232.0" in finding.title) == (Status.FAIL, True)
    assert toolchain.check_cli(fake_cli(tmp_path, "echo v3.240.1"), tmp_path).status is Status.OK


def test_a_cli_that_does_not_run_or_is_not_there_fails(tmp_path):
    assert toolchain.check_cli(fake_cli(tmp_path, "exit 3"), tmp_path).status is Status.FAIL
    assert "not on PATH" in toolchain.check_cli({"PATH": "/nowhere"}, tmp_path).title


def test_a_plugin_is_looked_for_in_the_version_of_its_python_package(tmp_path):
    environment = {"PULUMI_HOME": str(tmp_path), "PATH": "/nowhere"}
    no_download = {**environment, "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}
    assert statuses(toolchain.check_plugins(environment, ["command"])) == [Status.WARN]
    assert statuses(toolchain.check_plugins(no_download, ["command"])) == [Status.FAIL]
    from importlib.metadata import version

    (tmp_path / "plugins" / f"resource-command-v{version('pulumi-command')}").mkdir(parents=True)
    assert statuses(toolchain.check_plugins(no_download, ["command"])) == [Status.OK]
    assert statuses(toolchain.check_plugins(no_download, ["nonesuch"])) == [Status.FAIL]


@pytest.mark.parametrize(("gib", "status"), [(0.5, Status.FAIL), (3, Status.WARN), (50, Status.OK)])
def test_free_disk_is_graded(tmp_path, gib, status):
    finding = disk.check_folder("the lab", tmp_path / "not" / "made", lambda _: int(gib * disk.GIB))
    assert finding.status is status


def test_a_remedy_stands_below_its_finding():
    assert warn("title", "one\ntwo").lines() == ["warn  title", "      one", "      two"]


def settings_at(generation):
    """Settings of three servers, of which server-a is at this generation and server-a-1 has made the cluster."""
    machines = {f"server-{letter}": {"role": "server", "address": f"10.9.0.1{i}"} for i, letter in enumerate("abc")}
    machines["server-a"]["generation"] = generation
    config = {
        "cluster": {"init": "server-a-1"},
        "network": {"machines": "10.9.0.0/24"},
        "k3s": {"version": "v1.34.2+k3s1"},
        "machines": machines,
    }
    return parse(config, "Pulumi.test.yaml", ROOT)


def test_a_stack_without_state_whose_cluster_nobody_would_make_is_told_who_is_to_make_it():
    [finding] = check_init(settings_at(3), [{"type": "pulumi:pulumi:Stack"}])
    assert finding.status is Status.FAIL
    assert finding.title == "settings: server-a-1 is to make the cluster, and no machine is server-a-1 any more"
    assert finding.remedy.endswith("set seedbed:cluster.init to server-a-3.")
    assert check_init(settings_at(3), [{"type": NODE}]) == []
    assert check_init(settings_at(1), []) == []
