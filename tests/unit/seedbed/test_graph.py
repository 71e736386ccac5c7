import threading

import pytest

from seedbed.graph import Job, run


def test_a_job_gets_the_results_of_what_it_needs():
    results = run([Job("a", lambda _: 1), Job("b", lambda _: 2), Job("c", lambda r: r["a"] + r["b"], ("a", "b"))])
    assert results == {"a": 1, "b": 2, "c": 3}


def test_jobs_that_need_nothing_of_each_other_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=10)
    run([Job("a", lambda _: meeting.wait()), Job("b", lambda _: meeting.wait())])


def test_a_job_starts_when_its_own_needs_are_met_and_not_later():
    late = threading.Event()
    # "c" ends the wait of "b": were the jobs run in layers, "c" would wait for "b" and both for ever.
    run(
        [
            Job("a", lambda _: None),
            Job("b", lambda _: late.wait(10) or pytest.fail("c never ran")),
            Job("c", lambda _: late.set(), ("a",)),
        ]
    )


def test_a_failure_is_raised_after_what_runs_has_ended_and_nothing_starts_after_it():
    ended = []
    failed = threading.Event()

    def fail(_):
        failed.set()
        raise ValueError("broken")

    def slow(_):
        failed.wait(10)
        ended.append("slow")

    with pytest.raises(ValueError, match="broken"):
        run([Job("slow", slow), Job("fail", fail), Job("after", lambda _: ended.append("after"), ("fail",))])
    assert ended == ["slow"]


def test_a_need_that_no_earlier_job_fulfils_is_the_authors_mistake():
    with pytest.raises(ValueError, match="'a' needs b"):
        run([Job("a", lambda _: None, ("b",)), Job("b", lambda _: None)])
