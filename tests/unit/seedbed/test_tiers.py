import json

import pytest

from tests import tiers
from tests.tiers import Count, from_go, from_junit, go_failures, judged, total


def junit(**attributes):
    text = " ".join(f'{name}="{value}"' for name, value in attributes.items())
    return f"<testsuites><testsuite {text}></testsuite></testsuites>"


def go(*events):
    return [json.dumps(dict(zip(("Action", "Package", "Test"), event, strict=False))) for event in events]


def test_pytests_report_is_counted_with_errors_as_failures():
    count = from_junit("unit", junit(tests=10, failures=1, errors=2, skipped=3))
    assert (count.passed, count.failed, count.skipped) == (4, 3, 3)


def test_gos_events_are_counted_by_test_and_not_by_package():
    lines = go(("pass", "a", "TestOne"), ("pass", "a"), ("fail", "b", "TestTwo"), ("fail", "b"), ("skip", "a", "TestX"))
    count = from_go("go", [*lines, "not json\n"])
    assert (count.passed, count.failed, count.skipped) == (1, 1, 1)


def test_a_go_package_that_does_not_build_is_a_failure():
    assert from_go("go", go(("fail", "a"))).failed == 1


def test_of_gos_output_that_of_failing_tests_is_shown():
    def output(test, text):
        return json.dumps({"Action": "output", "Package": "a", "Test": test, "Output": text})

    lines = [
        output("TestOne", "fine\n"),
        output("TestTwo", "broken\n"),
        *go(("pass", "a", "TestOne"), ("fail", "a", "TestTwo")),
    ]
    assert go_failures(lines) == "broken\n"


def test_a_tier_in_which_nothing_ran_fails():
    assert judged(Count("unit")).failed == 1
    assert judged(Count("lab", skipped=3, note="the lab needs root")).failed == 0


def test_the_total_is_the_sum():
    counts = [Count("a", 1, 2, 3, 4.0), Count("b", 10, 20, 30, 40.0)]
    assert str(total(counts)) == "total:   11 passed, 22 failed, 33 skipped in 44 s"


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_one_failure_fails_the_whole_run_after_all_tiers_have_run(monkeypatch, capsys, failed, code):
    ran = []
    monkeypatch.setattr(
        tiers,
        "TIERS",
        {
            "one": lambda: ran.append("one") or Count("one", 5, failed),
            "two": lambda: ran.append("two") or Count("two", 7),
        },
    )
    assert tiers.main([]) == code
    assert ran == ["one", "two"]
    assert f"total:   12 passed, {failed} failed, 0 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("first", "alone", "count"),
    [
        (Count("lab", 9, 0), None, (9, 0)),
        (Count("lab", 7, 2, 1), Count("lab", 2), (9, 0)),
        (Count("lab", 7, 2, 1), Count("lab", 1, 1), (8, 1)),
        (Count("lab", 7, 2, 1), Count("lab", 0, 2), (7, 2)),
        (Count("lab", 9, 1, 0, note="pytest ended with 3"), Count("lab", 0, 1, note="pytest ended with 5"), (9, 1)),
        (Count("lab", 9, 51), None, (9, 51)),
    ],
)
def test_what_fails_beside_others_counts_as_it_does_alone(monkeypatch, first, alone, count):
    runs = [first, alone]
    monkeypatch.setattr(tiers, "run_pytest", lambda *_: runs.pop(0))
    found = tiers.run_crowded("lab", 1.0)
    assert (found.passed, found.failed) == count
    assert runs == ([alone] if alone is None else [])
    assert ("passed alone" in found.note) is (found.passed > first.passed)


@pytest.mark.parametrize("is_cured", [True, False])
def test_only_what_has_failed_is_run_once_more(monkeypatch, tmp_path, is_cured):
    """A test that fails the first time it runs, and one that shall not run again."""
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    folder = tmp_path / "tests" / "lab"
    folder.mkdir(parents=True)
    (folder / "test_it.py").write_text(
        f"""
from pathlib import Path
def seen(name):
    with (Path(__file__).parent / name).open("a") as file:
        return file.write(".") and file.tell()
def test_once():
    assert seen("once") == 1
def test_flaky():
    assert seen("flaky") == 2 and {is_cured}
"""
    )
    found = tiers.run_crowded("lab", 60.0, "-q")
    assert (found.passed, found.failed) == ((2, 0) if is_cured else (1, 1))
    assert (folder / "once").read_text() == "."
    assert (folder / "flaky").read_text() == ".."


def test_a_program_that_outlasts_its_limit_is_ended_with_the_code_of_timeout(capsys):
    code, lines = tiers.stream(["sh", "-c", "echo begun; sleep 60"], limit=0.5)
    assert (code, lines) == (124, ["begun\n"])


@pytest.mark.parametrize(("gibibytes", "workers"), [(2, 1), (10, 2), (16, 3), (64, 3)])
def test_no_more_groups_of_hosts_run_at_once_than_the_memory_bears(monkeypatch, gibibytes, workers):
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gibibytes << 18}
    monkeypatch.setattr(tiers.os, "sysconf", sizes.__getitem__)
    assert tiers.lab_workers() == workers
