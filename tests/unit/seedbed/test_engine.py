import os

import pytest

from seedbed import UserError, engine
from seedbed.engine import explain
from seedbed.stackfile import StackFile
from seedbed.store import FileStore
from stacks.config import ROOT

DEV = StackFile("dev", ROOT / "Pulumi.dev.yaml", {}, None, None)
REHEARSED = StackFile("prod", ROOT / ".lab/prod/Pulumi.prod.yaml", {}, None, None, rehearsal=True)


def test_a_lock_that_a_killed_up_left_is_explained_with_its_way_out():
    text = explain(255, ["error: the stack is currently locked by 1 lock(s)"], DEV)
    assert "pulumi cancel --yes --stack dev" in text
    assert "pulumi refresh --yes --skip-preview --clear-pending-creates --stack dev; make up" in text


def test_the_way_out_of_a_rehearsal_is_by_its_own_settings():
    text = explain(255, ["error: the stack is currently locked by 1 lock(s)"], REHEARSED)
    assert 'eval "$(seedbed env prod --rehearsal)"; pulumi cancel' in text
    assert '--stack prod --config-file "$SEEDBED_CONFIG_FILE"; seedbed rehearse prod' in text


def test_any_other_failure_says_that_the_next_up_goes_on():
    assert "make up" in explain(255, ["error: exit status 1"], DEV)


def test_a_killed_up_is_told_from_a_failed_one():
    text = explain(-9, [], DEV)
    assert "signal 9" in text
    assert "pulumi cancel --yes --stack dev" in text


@pytest.fixture
def pulumi(tmp_path):
    """A `pulumi` on PATH that notes down its arguments and its folder's yaml, and what it is given back to run it with."""
    program = tmp_path / "bin" / "pulumi"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" >>"$NOTES/calls"\ncat Pulumi.prod.yaml >>"$NOTES/read" 2>/dev/null\n'
        'case "$*" in "stack init"*) echo "encryptionsalt: new" >>Pulumi.prod.yaml ;; esac\neval "$ACT"\n'
    )
    program.chmod(0o755)
    (tmp_path / "store").mkdir()
    return program, {"PATH": f"{program.parent}:{os.environ['PATH']}", "NOTES": str(tmp_path), "ACT": ""}


@pytest.fixture
def rehearsed(tmp_path):
    (tmp_path / "Pulumi.yaml").write_text("name: seedbed\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {}  # committed\n")
    path = tmp_path / ".lab" / "prod" / "Pulumi.prod.yaml"
    path.parent.mkdir(parents=True)
    path.write_text("config: {}  # rehearsed\n")
    return StackFile("prod", path, {}, None, None, rehearsal=True)


def test_making_a_rehearsals_stack_leaves_the_committed_file_alone(pulumi, rehearsed, tmp_path):
    program, variables = pulumi
    assert engine.init_stack(program, rehearsed, variables, FileStore(tmp_path / "store"))
    assert (tmp_path / "read").read_text() == "config: {}  # rehearsed\n"
    assert (tmp_path / "Pulumi.prod.yaml").read_text() == "config: {}  # committed\n"
    assert rehearsed.path.read_text() == "config: {}  # rehearsed\n"


def test_a_stack_that_is_in_the_store_is_not_made_again(pulumi, rehearsed, tmp_path):
    program, variables = pulumi
    state = tmp_path / "store" / ".pulumi/stacks/seedbed/prod.json"
    state.parent.mkdir(parents=True)
    state.write_text("{}")
    assert not engine.init_stack(program, rehearsed, variables, FileStore(tmp_path / "store"))
    assert not (tmp_path / "calls").exists()


def test_an_up_of_a_rehearsal_takes_its_settings(pulumi, rehearsed, tmp_path):
    program, variables = pulumi
    engine.up(program, rehearsed, variables, lambda _: None)
    assert f"--config-file {rehearsed.path}" in (tmp_path / "calls").read_text()


def test_an_output_is_read_from_the_state(pulumi, rehearsed):
    _, variables = pulumi
    assert engine.output(rehearsed, "apiUrl", variables | {"ACT": "echo https://10.77.1.3:6443"}) == (
        "https://10.77.1.3:6443"
    )


def test_an_output_that_is_not_there_says_what_leaves_it_there(pulumi, rehearsed):
    _, variables = pulumi
    with pytest.raises(UserError, match="apiUrl, which the last `pulumi up` leaves"):
        engine.output(rehearsed, "apiUrl", variables | {"ACT": "exit 255"})


def applied(program, variables, tmp_path, act, locked=lambda: None):
    said = []
    plan = tmp_path / "plan.json"
    engine.up(program, DEV, variables | {"ACT": act}, said.append, plan, locked)
    return said


def test_a_plan_is_applied_with_a_preview_of_its_own_in_which_nothing_is_touched(pulumi, tmp_path):
    program, variables = pulumi
    looked = []
    said = applied(program, variables, tmp_path, "echo 'Previewing update (dev):'; echo x", lambda: looked.append(1))
    assert said == ["Previewing update (dev):", "x"]
    assert looked == [1]
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert f"--plan {tmp_path / 'plan.json'}" in call
    assert "--skip-preview" not in call


def test_an_engine_whose_stack_changed_is_ended_before_it_goes_on_and_its_lock_is_taken_off(pulumi, tmp_path):
    program, variables = pulumi

    def changed():
        raise UserError("changed just now")

    act = f"case \"$*\" in up*) echo 'Previewing update (dev):'; sleep 1; touch {tmp_path / 'touched'} ;; esac"
    with pytest.raises(UserError, match=r"^changed just now$"):
        applied(program, variables, tmp_path, act, changed)
    assert not (tmp_path / "touched").exists()
    assert "cancel --yes --stack dev" in (tmp_path / "calls").read_text().splitlines()[-1]


def test_a_lock_that_cannot_be_taken_off_is_named(pulumi, tmp_path):
    program, variables = pulumi

    def changed():
        raise UserError("changed just now")

    act = "case \"$*\" in up*) echo 'Previewing update (dev):'; sleep 1 ;; *) exit 255 ;; esac"
    with pytest.raises(UserError, match="The stack's lock is left: pulumi cancel --yes --stack dev"):
        applied(program, variables, tmp_path, act, changed)


REFUSED = "echo 'x error: create is not allowed by the plan: no steps were expected for this resource'; exit 255"


def test_a_plan_that_the_engine_refuses_has_to_be_reviewed_again(pulumi, tmp_path):
    program, variables = pulumi
    with pytest.raises(UserError, match=r"the engine refused the plan.*Nothing was touched.*`seedbed review dev`"):
        applied(program, variables, tmp_path, f"echo 'Previewing update (dev):'; {REFUSED}")
    with pytest.raises(UserError, match=r"the engine refused the plan.*What was done before that stays done"):
        applied(program, variables, tmp_path, f"echo 'Updating (dev):'; {REFUSED}")


def test_a_plan_that_fails_halfway_needs_another_review(pulumi, tmp_path):
    program, variables = pulumi
    with pytest.raises(
        UserError, match=r"`seedbed review dev` again, and apply what that writes: the state is another"
    ):
        applied(program, variables, tmp_path, "echo 'Updating (dev):'; exit 255")
    with pytest.raises(UserError, match=r"what it says is above\. Nothing was touched"):
        applied(program, variables, tmp_path, "echo 'Previewing update (dev):'; exit 255")
    with pytest.raises(
        UserError, match=r"signal 9.*--clear-pending-creates --stack dev; seedbed review dev, and apply"
    ):
        applied(program, variables, tmp_path, "echo 'Updating (dev):'; kill -9 $$")


def test_a_preview_keeps_its_plan_and_takes_a_rehearsals_settings(pulumi, rehearsed, tmp_path):
    _, variables = pulumi
    act = 'while [ "$1" != --save-plan ]; do shift; done; echo "{}" >"$2"; echo \'{"steps": []}\'; echo noise >&2'
    found = engine.preview(rehearsed, variables | {"ACT": act})
    assert (found.code, found.digest, found.plan, found.said) == (0, {"steps": []}, b"{}\n", "noise")
    (call,) = (tmp_path / "calls").read_text().splitlines()
    assert call.startswith("preview --stack prod --non-interactive --json --show-sames")
    assert call.endswith(f"--config-file {rehearsed.path}")


def test_a_preview_that_fails_without_json_gives_back_all_that_it_said(pulumi):
    _, variables = pulumi
    found = engine.preview(DEV, variables | {"ACT": "echo one; echo two >&2; exit 255"})
    assert (found.code, found.digest, found.plan, found.said) == (255, None, None, "one\ntwo")


def test_a_state_is_exported_as_it_is_stored(pulumi):
    _, variables = pulumi
    assert engine.exported(DEV, variables | {"ACT": "echo '{\"deployment\": {}}'"}) == {"deployment": {}}
    with pytest.raises(UserError, match="the state of stack dev cannot be read:\nno stack"):
        engine.exported(DEV, variables | {"ACT": "echo no stack >&2; exit 255"})


def test_an_engine_that_nobody_can_be_shown_is_asked_to_end_and_may_finish_its_step(pulumi, tmp_path):
    program, variables = pulumi

    def gone(line):
        raise BrokenPipeError

    act = (
        f"trap 'touch {tmp_path / 'asked'}' INT; echo 'Updating (dev):'; "
        f"until [ -e {tmp_path / 'asked'} ]; do sleep 0.1; done; "
        f"head -c 100000 /dev/zero | tr '\\0' x; touch {tmp_path / 'finished'}"
    )
    with pytest.raises(BrokenPipeError):
        engine.up(program, DEV, variables | {"ACT": act}, gone, tmp_path / "plan.json")
    assert (tmp_path / "asked").exists()
    assert (tmp_path / "finished").exists()
