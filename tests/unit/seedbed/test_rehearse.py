from types import SimpleNamespace

import pytest

from seedbed import cli, cluster, environment, rehearsal, stackfile
from seedbed.commands import cloud_init, down, env, rehearse, up
from stacks.config import ROOT
from tests.unit.seedbed.test_drill import cluster as fill
from tests.unit.seedbed.test_drill import no_node


@pytest.fixture
def acts(fake, identity, monkeypatch):
    """The command on a cluster that is a fake, with what is done for it noted down instead."""
    fill(fake)
    fake.application("root")
    done = []
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.delenv(stackfile.REHEARSAL, raising=False)
    stack = stackfile.StackFile("prod", ROOT / ".lab/prod/Pulumi.prod.yaml", {}, None, None, rehearsal=True)
    settings = stackfile.settings(stackfile.committed("prod"))

    def prepare(committed, progress):
        assert not committed.rehearsal
        done.append("prepare")
        return stack, [rehearsal.Difference("identityFile", (), "x", "keys of its own")]

    def bring_up(stack, progress):
        assert stack.rehearsal
        done.append("up")
        return up.Result(identity, SimpleNamespace(genuine=False, k3s=None), [], [])

    monkeypatch.setattr(up, "remove_left_over", lambda *_: done.append("left over"))
    monkeypatch.setattr(rehearsal, "prepare", prepare)
    monkeypatch.setattr(up, "bring_up", bring_up)
    monkeypatch.setattr(up, "provide_kubectl", lambda _: None)
    monkeypatch.setattr(stackfile, "settings", lambda *_, **__: settings)
    monkeypatch.setattr(cluster.engine, "output", lambda *_: fake.url)
    monkeypatch.setattr(environment, "of", lambda *_: {})
    return done


def test_what_differs_is_said_before_anything_is_brought_up(acts, capsys):
    assert cli.main(["rehearse"]) == 0
    assert acts == ["left over", "prepare", "up"]
    said = capsys.readouterr().out
    assert said.index("identityFile: x – keys of its own") < said.index("Cluster prod at https://127.0.0.1")


def test_the_summary_names_the_cost_and_how_to_go_on_and_to_end_it(acts, capsys):
    cli.main(["rehearse"])
    said = capsys.readouterr().out
    assert "USD a month" in said
    assert 'eval "$(seedbed env prod --rehearsal)"' in said
    assert '--config-file "$SEEDBED_CONFIG_FILE"' in said
    assert "kubectl --kubeconfig .lab/prod/kubeconfig" in said
    assert "seedbed rehearse prod --down" in said
    assert "--kubeconfig .lab/kubeconfig" not in said
    assert "make down" not in said


def test_a_root_that_is_not_synced_is_a_failure(acts, fake, capsys):
    fake.application("root", sync="OutOfSync")
    assert cli.main(["rehearse"]) == 1
    assert "not Synced: root" in capsys.readouterr().err


def test_a_node_that_is_not_ready_is_a_failure(acts, fake, capsys):
    no_node(fake)
    assert cli.main(["rehearse"]) == 1
    assert "not every node is Ready" in capsys.readouterr().err


def test_taking_away_what_is_not_there_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(rehearse.machine, "claim_of", lambda _: None)
    monkeypatch.setattr(stackfile, "rehearsal_path", lambda _: tmp_path / "prod" / "Pulumi.prod.yaml")
    monkeypatch.setattr(down, "remove", lambda *_: pytest.fail("there is nothing to remove"))
    assert cli.main(["rehearse", "--down"]) == 0


def test_a_half_made_rehearsal_is_taken_away(monkeypatch, tmp_path):
    (tmp_path / "prod").mkdir()
    removed = []
    monkeypatch.setattr(rehearse.machine, "claim_of", lambda _: None)
    monkeypatch.setattr(stackfile, "rehearsal_path", lambda _: tmp_path / "prod" / "Pulumi.prod.yaml")
    monkeypatch.setattr(down.stack_lab, "down", lambda name, folder, _: removed.append((name, folder)))
    assert cli.main(["rehearse", "--down"]) == 0
    assert removed == [("prod", tmp_path / "prod")]


def test_a_stack_that_lives_on_the_lab_is_not_taken_away_as_a_rehearsal(capsys):
    assert cli.main(["rehearse", "dev", "--down"]) == 1
    assert "seedbed down dev" in capsys.readouterr().err


def test_the_shell_of_a_rehearsal_gets_no_other_stacks_exports(monkeypatch, capsys):
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.setenv(stackfile.REHEARSAL, str(ROOT / ".lab/prod/Pulumi.prod.yaml"))
    monkeypatch.setattr(env.toolchain, "ensure", lambda _: pytest.fail("nothing is to be exported"))
    assert cli.main(["env", "dev"]) == 1
    said = capsys.readouterr()
    assert "open another one for stack dev" in said.err
    assert said.out == ""


def test_a_cloud_tells_the_url_of_the_api_by_the_state(monkeypatch):
    asked = []
    monkeypatch.setattr(
        cluster.engine, "output", lambda stack, name, _: asked.append((stack.name, name)) or "https://x"
    )
    stack = stackfile.committed("prod")
    assert cluster.api_url(stack, stackfile.settings(stack), {}) == "https://x"
    assert asked == [("prod", "apiUrl")]
    assert cluster.api_url(stack, SimpleNamespace(api_url="https://known:6443"), {}) == "https://known:6443"
    assert len(asked) == 1


def test_nobody_makes_a_clouds_machine_by_hand(monkeypatch, capsys):
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.setattr(cloud_init.identities, "read", lambda *_: pytest.fail("no key is needed to say no"))
    assert cli.main(["cloud-init", "prod", "server-a"]) == 1
    assert "makes its machines itself" in capsys.readouterr().err
