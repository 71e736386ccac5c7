from seedbed.engine import explain


def test_a_lock_that_a_killed_up_left_is_explained_with_its_way_out():
    text = explain(255, ["error: the stack is currently locked by 1 lock(s)"], "dev")
    assert "pulumi cancel --yes --stack dev" in text
    assert "pulumi refresh --yes --skip-preview --clear-pending-creates --stack dev" in text


def test_any_other_failure_says_that_the_next_up_goes_on():
    assert "make up" in explain(255, ["error: exit status 1"], "dev")


def test_a_killed_up_is_told_from_a_failed_one():
    text = explain(-9, [], "dev")
    assert "signal 9" in text
    assert "pulumi cancel --yes --stack dev" in text
