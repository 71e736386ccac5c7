import dataclasses
import json

import pytest

from seedbed import UserError, binding, bundle, engine, identities, reviewing, sources, stackfile
from seedbed.binding import seal_key
from seedbed.bundle import Packed
from seedbed.cli import main
from seedbed.commands import apply, review
from seedbed.engine import Previewed
from seedbed.review import Verdict
from seedbed.stackfile import StackFile
from tests.unit.seedbed.test_bundle import BINDING, OTHER_KEY, manifest

URN = "urn:pulumi:prod::seedbed::command:remote:Command::agent-a-1-wait"
STATE = {"deployment": {"resources": [{"urn": URN, "type": "command:remote:Command", "id": "1"}]}}
SAME = {"op": "same", "urn": URN, "oldState": {"id": "1"}, "newState": {"id": "1", "type": "command:remote:Command"}}
PLAN = b'{"manifest": {"version": "v3.232.0"}, "resourcePlans": {}}'


@pytest.fixture
def world(monkeypatch, tmp_path, identity):
    """A stack, and what the engine says of it, which a test may change."""

    class World:
        previewed = Previewed(0, {"steps": [SAME]}, PLAN, "")
        state = STATE
        files = BINDING.sources
        ups = 0

    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text("config: {seedbed:identity: {secure: v1:a}}\n")
    monkeypatch.delenv("SEEDBED_DEBUG", raising=False)
    monkeypatch.delenv(stackfile.REHEARSAL, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stackfile, "load", lambda name: StackFile(name, path, {}, None, None))
    monkeypatch.setattr(stackfile, "path_of", lambda name: tmp_path / f"Pulumi.{name}.yaml")
    monkeypatch.setattr(review, "ROOT", tmp_path)
    monkeypatch.setattr(review.environment, "of", lambda *_: {"PULUMI_BACKEND_URL": BINDING.store, "PATH": ""})
    monkeypatch.setattr(engine, "preview", lambda *_: World.previewed)
    monkeypatch.setattr(engine, "exported", lambda *_: World.state)
    monkeypatch.setattr(sources, "read", lambda _: World.files)
    monkeypatch.setattr(binding, "pulumi_version", lambda _: "v3.232.0")
    monkeypatch.setattr(identities, "read", lambda *_: identity)
    monkeypatch.setattr(engine, "up", lambda *_: setattr(World, "ups", World.ups + 1))
    return World


def reviewed(tmp_path):
    code = main(["review", "prod", "--output", str(tmp_path / "b.zip")])
    return code, tmp_path / "b.zip"


def new_resource(world):
    created = {
        "op": "create",
        "urn": URN.replace("agent-a-1", "agent-b-1"),
        "newState": {"type": "command:remote:Command"},
    }
    world.previewed = Previewed(0, {"steps": [SAME, created], "changeSummary": {"create": 1}}, PLAN, "")


def test_nothing_to_do_is_no_failure_and_nothing_to_apply(world, tmp_path, capsys):
    code, path = reviewed(tmp_path)
    assert code == 0
    assert main(["apply", str(path)]) == 0
    assert "there is nothing to apply" in capsys.readouterr().out
    assert world.ups == 0


def test_that_there_is_nothing_to_do_is_not_said_of_another_state(world, tmp_path, capsys):
    _, path = reviewed(tmp_path)
    world.state = {"deployment": {"resources": []}}
    assert main(["apply", str(path)]) == 1
    said = capsys.readouterr()
    assert "state: agent-a-1-wait is gone since the review" in said.err
    assert "there is nothing to apply" not in said.out


def test_a_bundle_lies_in_a_folder_of_the_clone_by_stack_and_commit(world, tmp_path, capsys):
    assert main(["review", "prod", "--report", str(tmp_path / "out" / "report.md")]) == 0
    assert (tmp_path / ".review" / "prod-cccccccccccc.zip").exists()
    said = capsys.readouterr()
    assert said.out == (tmp_path / "out" / "report.md").read_text()
    assert "bundle: .review/prod-cccccccccccc.zip" in said.err


def test_the_bundle_holds_what_was_reviewed_and_is_sealed_for_the_identity(world, tmp_path, identity):
    _, path = reviewed(tmp_path)
    opened = Packed(path).opened(seal_key(identity))
    assert opened.plan == PLAN
    assert opened.manifest.verdict == Verdict.NOTHING
    assert opened.manifest.binding.sources == BINDING.sources
    assert set(opened.manifest.binding.state.resources) == {URN}


@pytest.mark.parametrize("verdict", Verdict)
def test_the_exit_code_says_the_verdict(world, tmp_path, monkeypatch, verdict):
    from seedbed.review import Report

    monkeypatch.setattr(reviewing, "assess", lambda *_: Report(verdict, f"## {verdict}\n"))
    code, path = reviewed(tmp_path)
    assert code == {"nothing": 0, "safe": 2, "needs eyes": 3, "refused": 4}[verdict]
    assert path.exists() is (verdict is not Verdict.REFUSED)


def test_a_wrong_argument_is_not_mistaken_for_a_verdict(capsys):
    for words in (["review"], ["review", "prod", "--bogus"], ["apply"], ["nonesuch"], []):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 1


def test_what_a_preview_refuses_is_reported_and_leaves_no_bundle(world, tmp_path, capsys):
    refusal = {"severity": "error", "message": "agent-b-1 would be removed, and is not on seedbed:retire"}
    world.previewed = Previewed(255, {"steps": [SAME], "diagnostics": [refusal]}, None, "")
    code, path = reviewed(tmp_path)
    assert (code, path.exists()) == (4, False)
    said = capsys.readouterr()
    assert "agent-b-1" in said.out
    assert "no bundle" in said.err


def test_a_preview_that_fails_otherwise_is_shown_without_its_secrets(world, tmp_path, capsys, identity):
    world.previewed = Previewed(255, None, None, f"error: one\nerror: with {identity.server_token}")
    code, path = reviewed(tmp_path)
    said = capsys.readouterr()
    assert (code, path.exists(), said.out) == (1, False, "")
    assert "`pulumi preview` failed with exit code 255:\nerror: one\n[a line with the servers' token]" in said.err


def test_a_preview_that_fails_and_names_no_error_is_not_taken_for_a_success(world, tmp_path, capsys):
    world.previewed = Previewed(255, {"steps": [SAME]}, PLAN, "")
    assert reviewed(tmp_path)[0] == 1
    assert "failed with exit code 255 and named no error" in capsys.readouterr().err


def test_a_state_that_changed_meanwhile_is_reviewed_again(world, tmp_path, capsys):
    world.state = {"deployment": {"resources": [{**STATE["deployment"]["resources"][0], "id": "2"}]}}
    code, path = reviewed(tmp_path)
    assert (code, path.exists()) == (1, False)
    assert "agent-a-1-wait has other id) changed while it was reviewed: run it again" in capsys.readouterr().err


def test_a_file_of_the_program_that_changed_meanwhile_is_reviewed_again(world, tmp_path, capsys, monkeypatch):
    other = BINDING.sources.model_copy(update={"digest": "9" * 64})
    answers = iter([BINDING.sources, other])
    monkeypatch.setattr(sources, "read", lambda _: next(answers))
    assert reviewed(tmp_path)[0] == 1
    assert "a file of the program, or Pulumi.prod.yaml, changed while it was reviewed" in capsys.readouterr().err


def test_a_plan_with_a_secret_in_clear_is_not_written(world, tmp_path, capsys, identity):
    world.previewed = Previewed(
        0, {"steps": [SAME]}, json.dumps(json.loads(PLAN) | {"stdin": identity.agent_token}).encode(), ""
    )
    code, path = reviewed(tmp_path)
    assert (code, path.exists()) == (1, False)
    said = capsys.readouterr()
    assert "the plan holds the agents' token in clear, so nothing was written" in said.err
    assert identity.agent_token not in said.out + said.err


def test_a_plan_with_a_later_deploy_key_in_clear_is_not_written(world, tmp_path, capsys, identity, monkeypatch):
    load = stackfile.load
    config = {"seedbed:seed": {"repository": {"deployKey": 2}}}
    monkeypatch.setattr(stackfile, "load", lambda name: dataclasses.replace(load(name), config=config))
    key = identity.deploy_key(2).private
    world.previewed = Previewed(0, {"steps": [SAME]}, json.dumps(json.loads(PLAN) | {"stdin": key}).encode(), "")
    code, path = reviewed(tmp_path)
    assert (code, path.exists()) == (1, False)
    assert "the plan holds deploy key 2 in clear, so nothing was written" in capsys.readouterr().err


def test_what_was_reviewed_is_applied_once_all_is_as_it_was(world, tmp_path, capsys):
    new_resource(world)
    code, path = reviewed(tmp_path)
    assert code in (2, 3)
    assert main(["apply", str(path)]) == 0
    assert world.ups == 1


def test_what_differs_is_said_at_once_and_the_engine_is_not_called(world, tmp_path, capsys):
    new_resource(world)
    _, path = reviewed(tmp_path)
    world.state = {"deployment": {"resources": []}}
    world.files = BINDING.sources.model_copy(update={"digest": "9" * 64, "files": {"stacks/one.py": "1"}})
    capsys.readouterr()
    assert main(["apply", str(path)]) == 1
    assert capsys.readouterr().err == (
        "error: not all is as it was when this was reviewed, so nothing was touched:\n"
        "  state: agent-a-1-wait is gone since the review\n"
        "  sources: stacks/one.py changed\n"
        "Review again: `seedbed review prod`\n"
    )
    assert world.ups == 0


def test_a_bundle_that_somebody_else_sealed_is_not_applied(world, tmp_path, capsys):
    path = tmp_path / "forged.zip"
    bundle.write(path, manifest(), PLAN, "# Safe\n", OTHER_KEY)
    assert main(["apply", str(path)]) == 1
    assert "was sealed with another identity than stack prod has" in capsys.readouterr().err
    assert world.ups == 0


def test_a_plan_of_a_stack_that_this_clone_does_not_have_is_not_applied(world, tmp_path, capsys):
    path = tmp_path / "other.zip"
    bundle.write(path, manifest(stack="staging"), PLAN, "# Safe\n", OTHER_KEY)
    assert main(["apply", str(path)]) == 1
    assert "is a plan of stack staging, which this clone has no file of" in capsys.readouterr().err
    assert world.ups == 0


def test_a_state_that_changes_after_the_look_is_found_when_the_lock_is_held(world, tmp_path, monkeypatch):
    new_resource(world)
    _, path = reviewed(tmp_path)

    def up(pulumi, stack, variables, show, plan, locked):
        assert plan.read_bytes() == PLAN
        locked()
        world.state = {"deployment": {"resources": []}}
        with pytest.raises(UserError, match=r"somebody changed the stack just now.*agent-a-1-wait is gone"):
            locked()

    monkeypatch.setattr(engine, "up", up)
    assert apply.run(type("Arguments", (), {"bundle": path})) == 0
