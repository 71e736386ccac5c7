from types import SimpleNamespace

import pytest

from seedbed import cli, syncing
from seedbed.commands import deploy_key, sync
from seedbed.stackfile import StackFile
from tests.unit.seedbed.test_syncing import NEW, Argo, blind, cluster


@pytest.fixture
def stack(fake, identity, monkeypatch, tmp_path):
    """The stack of the fake cluster, for whichever command asks."""
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    settings = SimpleNamespace(
        api_url=fake.url, seed=SimpleNamespace(repository=SimpleNamespace(deploy_key=3))
    )  # fmt: skip
    for module in (sync, deploy_key):
        monkeypatch.setattr(
            module.stackfile, "load", lambda name: StackFile(name, tmp_path / f"Pulumi.{name}.yaml", {}, None, None)
        )
        monkeypatch.setattr(module.stackfile, "settings", lambda _, **__: settings)
        monkeypatch.setattr(module.identities, "read", lambda *_: identity)
    monkeypatch.setattr(syncing.time, "sleep", lambda _: None)
    return settings


def test_a_sync_ends_with_the_table_and_success(stack, fake, capsys):
    cluster(fake, "web-dev")
    Argo(fake)
    assert cli.main(["sync"]) == 0
    said = capsys.readouterr().out
    assert "sync: 2 of 2 Synced" in said
    assert ["web-dev", "apps", "Synced", "Healthy", NEW[:7]] in [line.split() for line in said.splitlines()]


def test_a_sync_that_is_late_fails_with_what_argocd_says(stack, fake, capsys):
    cluster(fake, "web-dev")
    Argo(fake, broken=("web-dev",))
    assert cli.main(["sync", "dev", "--timeout", "0.2"]) == 1
    said = capsys.readouterr()
    assert "ComparisonError: does not render" in said.out.splitlines()[-1]
    assert "not Synced within 0.2 s: web-dev" in said.err


def test_a_sync_that_nobody_answers_fails_whatever_the_status_of_before_says(stack, fake, capsys):
    cluster(fake, "web-dev")
    assert cli.main(["sync", "dev", "--timeout", "0.2"]) == 1
    said = capsys.readouterr()
    assert "sync: 0 of 1 Synced" in said.out
    assert "not Synced within 0.2 s: root (no answer)" in said.err


def test_a_sync_fails_where_an_application_set_has_not_looked_for_folders(stack, fake, capsys):
    cluster(fake)
    blind(fake)
    assert cli.main(["sync", "dev", "--timeout", "0.5"]) == 1
    said = capsys.readouterr()
    assert "ApplicationSet apps: no such branch" in said.out
    assert "ApplicationSet apps: no look at git within 0.5 s; new folders are not seen" in said.err


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "100000"])
def test_a_sync_waits_neither_never_nor_for_ever(stack, fake, capsys, timeout):
    assert cli.main(["sync", f"--timeout={timeout}"]) == 1
    assert "--timeout" in capsys.readouterr().err
    assert fake.asked == []


def test_the_deploy_key_of_the_settings_is_printed_with_its_name(stack, identity, capsys):
    assert cli.main(["deploy-key", "prod"]) == 0
    assert capsys.readouterr().out == f"{identity.deploy_key(3).public} seedbed-prod-deploy-3\n"


def test_the_next_deploy_key_can_be_registered_before_it_is_used(stack, identity, capsys):
    assert cli.main(["deploy-key", "prod", "--number", "4"]) == 0
    assert capsys.readouterr().out == f"{identity.deploy_key(4).public} seedbed-prod-deploy-4\n"


def test_a_stack_without_a_repository_has_no_deploy_key(stack, capsys):
    stack.seed = None
    assert cli.main(["deploy-key", "prod"]) == 1
    assert "no section seedbed:seed" in capsys.readouterr().err


def test_deploy_keys_are_numbered_from_one(stack, capsys):
    assert cli.main(["deploy-key", "prod", "--number", "0"]) == 1
    assert "from 1" in capsys.readouterr().err
