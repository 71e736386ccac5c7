import sys
from pathlib import Path

import pytest

from bench import report
from bench.measure import BenchError, Usage, interleaved, ratio, run
from bench.scale import kind_of
from bench.world import timings


def usage(seconds: float) -> Usage:
    return Usage(seconds, 0.0, "")


def test_the_ratio_is_that_of_the_medians_and_tells_the_single_rounds_from_least_to_greatest():
    assert ratio([2.0, 9.0, 4.0], [1.0, 3.0, 2.0]) == (2.0, 2.0, 3.0)


def test_ways_take_turns_and_none_is_always_first():
    order = []

    def way(name: str) -> Usage:
        order.append(name)
        return usage(len(order))

    found = interleaved(2, a=lambda: way("a"), b=lambda: way("b"))

    assert order == ["a", "b", "b", "a"]
    assert [one.seconds for one in found["a"]] == [1, 4]


def test_a_command_that_fails_is_told_with_what_it_said():
    with pytest.raises(BenchError, match="ended with 3:\nno such thing"):
        run([sys.executable, "-c", "print('no such thing'); exit(3)"], Path(), {}, 30)


def test_the_memory_of_a_commands_children_is_seen_by_kind():
    child = "import time; held = bytearray(50 << 20); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    seen = run(
        [sys.executable, "-c", parent], Path(), {}, 30, lambda line: "child" if " -c import time" in line else None
    )

    assert seen.peaks["child"] > 50 << 20
    assert seen.peak >= seen.peaks["child"]


def test_the_phases_of_up_are_read_with_their_steps_below_them():
    output = """words
Where the time went (phases overlap):
      0.3 s  Pulumi CLI
     97.4 s  pulumi up
       13 s    agent-a-1-wait

Cluster dev at https://10.77.0.11:6443:
      1 s  not a phase
"""
    assert timings(output) == [(0.3, "Pulumi CLI"), (97.4, "pulumi up"), (13.0, "  agent-a-1-wait")]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("pulumi preview", "CLI"),
        ("/home/.pulumi/bin/pulumi up", "CLI"),
        ("/x/.venv/bin/python -u -P /x/lab/plugins/language/host.py 127.0.0.1:1", "program"),
        ("/x/bin/pulumi-language-python 127.0.0.1:1", "program"),
        ("python3 -u /x/bin/pulumi-language-python-exec --monitor 127.0.0.1:1", "program"),
        ("/x/plugins/resource-command-v1.2.1/pulumi-resource-command 127.0.0.1:1", "command plugin"),
        ("python -c runpy.run_module('lab.plugins.command') 127.0.0.1:1", "command plugin"),
        ("ssh-agent", None),
    ],
)
def test_a_process_is_put_to_the_part_of_the_engine_that_it_is(command: str, kind: str | None):
    assert kind_of(command) == kind


def test_a_table_has_its_numbers_to_the_right():
    assert report.table(("what", "size"), [("all", report.mebibytes(3 << 20))]) == (
        "| what | size |\n| --- | ---: |\n| all | 3 MiB |\n"
    )
