import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import __main__ as command_line
from bench import by_hand, metal, preview, rehearse, replace, report, review, seed
from bench.measure import BenchError, Usage, interleaved, ratio, run
from bench.paper import Asked
from bench.scale import kind_of
from bench.sync import interval
from bench.up import ready_after
from bench.world import dropped_in, timings
from seedbed.commands import drill, up
from seedbed.drill import Check
from seedbed.steps import Step
from stacks.config import ROOT
from stacks.settings import Role, parse
from tools.progress import Timing


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


def test_the_nodes_are_ready_when_the_last_machine_has_its_k3s():
    output = """[   3s]   + agent-a-1-wait created, 1 s
[  20s]   + server-a-1-k3s created, 12 s
[ 126s]   + agent-a-1-k3s created, 5 s
[ 130s]   + seed-0123abcd created, 5 s
"""
    assert ready_after(output) == 126
    with pytest.raises(BenchError, match="no node"):
        ready_after("[   3s]   + agent-a-1-wait created, 1 s")


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
        ("python -c runpy.run_module('lab.plugins.digitalocean') 127.0.0.1:1", "digitalocean plugin"),
        ("ssh-agent", None),
    ],
)
def test_a_process_is_put_to_the_part_of_the_engine_that_it_is(command: str, kind: str | None):
    assert kind_of(command) == kind


def test_a_table_has_its_numbers_to_the_right():
    assert report.table(("what", "size"), [("all", report.mebibytes(3 << 20))]) == (
        "| what | size |\n| --- | ---: |\n| all | 3 MiB |\n"
    )


def test_a_step_counts_as_the_same_whatever_event_its_name_ends_with():
    line = " +  command:remote:Command {name} created ({seconds}s)"
    ours = [line.format(name="seed-0123abcd", seconds=4), line.format(name="seed-89ef4567", seconds=6)]
    theirs = "done: applied after 3 s\ndone: healthy after 40 s\n"

    table = by_hand.parts(
        {"seedbed": [Usage(1, 1, output) for output in ours], "by_hand": [Usage(1, 1, theirs), Usage(1, 1, theirs)]}
    )

    assert table.splitlines()[2:] == ["| seed | 5 s |  |", "| applied |  | 3 s |", "| healthy |  | 40 s |"]


def test_rounds_by_pulumi_and_by_hand_stand_side_by_side_with_their_medians():
    table = by_hand.rounds({"seedbed": [Usage(30, 9, ""), Usage(20, 9, "")], "by_hand": [Usage(20, 6, "")] * 2})

    assert "| 1 | 30.0 s | 20.0 s | 1.50 | 9.0 s | 6.0 s | 1.50 |" in table
    assert "| **median** | 25.0 s | 20.0 s | **1.25** |" in table
    assert "between 1.00 and 1.50" in table


@pytest.mark.parametrize(
    ("resource", "kind"),
    [
        ("pulumi:pulumi:Stack", "stack"),
        ("pulumi:index:Stash", "Stash"),
        ("pulumi:providers:kubernetes", "provider"),
        ("seedbed:seed:Seed", "component"),
        ("trivial:index:Part", "component"),
        ("command:remote:Command", "remote command"),
        ("kubernetes:core/v1:Secret", "Secret"),
        ("kubernetes:argoproj.io/v1alpha1:AppProject", "AppProject"),
    ],
)
def test_resources_are_counted_by_what_a_reader_calls_them(resource: str, kind: str):
    assert preview.kind_of(resource) == kind


def test_the_poll_interval_is_what_argocds_settings_say():
    assert interval({"timeout.reconciliation": "60s", "timeout.reconciliation.jitter": "10s"}) == (60, 10)
    with pytest.raises(BenchError, match="not in seconds"):
        interval({"timeout.reconciliation": "3m", "timeout.reconciliation.jitter": "10s"})


def test_by_hand_gets_what_the_dev_stacks_applications_deploy_and_not_what_deploys_it(tmp_path: Path):
    folders = ["base/argocd", "base/root", "base/sealed-secrets", "observability/logs"]
    for folder in [*folders, "apps/web/base", "apps/web/overlays/dev", "apps/web/overlays/prod"]:
        (tmp_path / folder).mkdir(parents=True)

    assert list(seed.sources(tmp_path)) == [
        *("base/sealed-secrets", "base/argocd"),
        *("observability/logs", "apps/web/overlays/dev"),
    ]


def test_the_seed_is_planted_only_for_the_benchmarks_that_measure_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    worlds: list[bool] = []
    measured: list[str] = []
    result = tmp_path / "result.md"
    result.write_text("")

    @contextmanager
    def world(progress: object, *, seed: bool) -> Iterator[bool]:
        worlds.append(seed)
        yield seed

    def benchmark(name: str, seeded: bool) -> None:
        def measure(world: bool) -> Path:
            assert world == seeded
            measured.append(name)
            return result

        monkeypatch.setitem(command_line.ON_A_SEEDED_CLUSTER if seeded else command_line.ON_A_CLUSTER, name, measure)

    monkeypatch.setattr(command_line, "world", world)
    monkeypatch.setattr(command_line.machine, "check_able", lambda: None)
    benchmark("pave", False)
    benchmark("preview", True)
    benchmark("seed", True)

    assert command_line.main(["seed", "pave", "preview"]) == 0
    assert worlds == [False, True]
    assert measured == ["pave", "preview", "seed"]


def test_a_drill_is_recorded_as_benchmarks_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    timings = [Timing("pulumi up", 2.0, 60.0), Timing("lab hosts", 1.0, 0.5), Timing("a moment", 0.0, 0.01)]
    rebuilt = up.Result(None, None, timings, [Step("seed-0123abcd", 9.0)])  # type: ignore[arg-type]

    text = drill.record(97.4, [Check("nodes", True, "2 Ready")], rebuilt, "0.1 0.2 0.3").read_text()

    assert "all as it was after 97 s" in text
    assert "- again: `seedbed drill --record`\n" in text
    assert (
        text.index("| nodes | 2 Ready |") < text.index("| lab hosts | 0.5 s |") < text.index("| pulumi up | 60.0 s |")
    )
    assert "|   seed-0123abcd | 9.0 s |" in text
    assert "a moment" not in text


def asked(*times: float) -> list[Asked]:
    return [Asked("GET", "/v2/vpcs", 200, at) for at in times]


def test_the_busiest_minute_is_found_wherever_it_begins():
    assert metal.most_in(60, asked(0, 50, 55, 61, 109)) == 4
    assert metal.most_in(60, asked(0, 60)) == 1
    assert metal.most_in(60, []) == 0


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v2/account", "(account)"),
        ("/v2/account/keys/7", "SshKey"),
        ("/v2/droplets/7/actions", "Droplet"),
        ("/v2/volumes/0a-1b", "Volume"),
        ("/v2/volumes/actions", "VolumeAttachment"),
        ("/v2/volumes/0a-1b/actions/7", "VolumeAttachment"),
        ("/v2/reserved_ips/203.0.113.9/actions", "ReservedIpAssignment"),
        ("/v2/domains/example.org/records", "DnsRecord"),
    ],
)
def test_a_request_counts_for_the_kind_of_resource_whose_path_it_has(path: str, kind: str):
    assert metal.kind_of_path(path) == kind


def test_a_request_that_belongs_to_no_kind_of_resource_is_not_lost_among_others():
    with pytest.raises(BenchError, match="/v2/kubernetes"):
        metal.kind_of_path("/v2/kubernetes/clusters")


def test_prods_pools_grow_by_agents_only_and_its_settings_stay_right():
    grown = parse(settings_of(metal.settings(200, "big")), "Pulumi.big.yaml", ROOT, stack="big")
    assert len(grown.machines) == 200
    assert len(grown.names(Role.SERVER)) == 3
    with pytest.raises(BenchError, match="more than 4"):
        metal.settings(4, "small")


def settings_of(config: dict[str, object]) -> dict[str, object]:
    return {key.removeprefix("seedbed:"): value for key, value in config.items()}


REHEARSED = """Where the time went (phases overlap):
     90.0 s  pulumi up
        9 s    server-a-1-base
        1 s    server-a-1-docker
        4 s    server-a-1-k3s
        2 s    server-b-1-base
       20 s    server-b-1-docker
        3 s    server-b-1-k3s
        1 s    agent-a-1-base
        5 s    agent-a-1-volumes
        1 s    agent-a-1-docker
        2 s    agent-a-1-k3s
        1 s    agent-b-1-base
        1 s    agent-b-1-docker
        6 s    agent-b-1-k3s
        7 s    seed-0123abcd
       30 s    synced-89ef4567

"""
BOOTS = {"server-a-1": 3.0, "server-b-1": 2.0, "agent-a-1": 2.5, "agent-b-1": 2.5}


def test_the_inevitable_parts_are_the_slowest_of_what_happens_at_once_and_each_of_what_cannot():
    path = rehearse.critical_path(
        ["server-a-1", "server-b-1"], ["agent-a-1", "agent-b-1"], BOOTS, rehearse.steps(REHEARSED)
    )

    assert [part.name for part in path] == [
        *("server-b-1 boots", "server-b-1 base", "server-b-1 docker", "server-b-1 k3s"),
        *("agent-b-1 k3s", "seed", "synced"),
    ]
    assert rehearse.total(path) == 2 + 2 + 20 + 3 + 6 + 7 + 30


def test_an_agent_whose_volume_comes_last_is_waited_for():
    slow = rehearse.steps(REHEARSED) | {"agent-a-1-volumes": 60.0}

    path = rehearse.critical_path(["server-a-1", "server-b-1"], ["agent-a-1", "agent-b-1"], BOOTS, slow)

    assert path[0].name == "agent-a-1 boots"
    assert rehearse.total(path) == 2.5 + 1 + 60 + 1 + 2 + 7 + 30


def test_a_step_that_is_not_told_of_is_an_error_and_not_taken_for_nothing():
    told = rehearse.steps(REHEARSED)
    del told["server-b-1-k3s"]

    with pytest.raises(BenchError, match="no step server-b-1-k3s"):
        rehearse.critical_path(["server-a-1", "server-b-1"], ["agent-a-1"], BOOTS, told)


def test_what_is_measured_of_the_prod_stack_shares_one_rehearsal(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []
    result = tmp_path / "result.md"
    result.write_text("")

    @contextmanager
    def rehearsal(progress: object) -> Iterator[str]:
        made.append("rehearsal")
        yield "rehearsal"

    def measure(name: str) -> Callable[[str], Path]:
        return lambda world: (made.append(f"{name} on {world}"), result)[1]

    monkeypatch.setattr(command_line, "rehearsal", rehearsal)
    monkeypatch.setattr(command_line.machine, "check_able", lambda: None)
    for name in ("rehearse", "preview-prod"):
        monkeypatch.setitem(command_line.ON_A_REHEARSAL, name, measure(name))

    assert command_line.main(["preview-prod", "rehearse"]) == 0
    assert made == ["rehearsal", "rehearse on rehearsal", "preview-prod on rehearsal"]


def test_a_replacement_is_compared_with_both_of_its_parts_round_by_round():
    found = {
        "replaced": [usage(30), usage(36), usage(33)],
        "joined": [usage(10), usage(12), usage(11)],
        "drained": [usage(5), usage(3), usage(4)],
        "alone": [usage(15), usage(15), usage(15)],
    }
    lines = replace.table(found).splitlines()
    assert lines[2] == "| 1 | 30.0 s | 10.0 s | 5.0 s | 15.0 s | 2.00 | 0.0 s | 0.0 s |"
    assert lines[5] == "| **median** | 33.0 s | 11.0 s | 4.0 s | 15.0 s | **2.20** |  |  |"
    assert lines[-1] == "Single rounds between 2.00 and 2.40."


def test_the_cluster_in_which_machines_are_replaced_has_an_agent_for_the_workload_and_three_servers():
    config = {"seedbed:network": {"machines": "10.77.5.0/24"}, "seedbed:machines": {}}
    replace.settings(config)
    machines = config["seedbed:machines"]
    assert [machine["address"] for machine in machines.values()] == [f"10.77.5.{n}" for n in (11, 12, 13, 21)]
    assert [name for name, machine in machines.items() if "labels" in machine] == ["agent-a"]


@pytest.mark.parametrize(
    ("drop_ins", "words"),
    [
        ((), ""),
        (("kubernetes",), "`kubernetes`"),
        (("command", "digitalocean", "kubernetes"), "`command`, `digitalocean` and `kubernetes`"),
    ],
)
def test_every_plugin_that_is_a_drop_in_is_named(tmp_path: Path, drop_ins: tuple[str, ...], words: str):
    for name in ("command", "digitalocean", "kubernetes"):
        file = tmp_path / f"resource-{name}-v1.0.0" / f"pulumi-resource-{name}"
        file.parent.mkdir()
        file.write_text("#!/bin/sh\n# Made by seedbed: a drop-in\n" if name in drop_ins else "\x7fELF")
    assert dropped_in(tmp_path) == words


def test_a_review_is_compared_with_the_preview_that_it_runs():
    found = {"review": [usage(3.3), usage(3.6)], "preview": [usage(3.0), usage(3.0)]}
    lines = review.table(
        {name: [Usage(one.seconds, 1.0, "") for one in usages] for name, usages in found.items()}
    ).splitlines()
    assert lines[2] == "| wall clock | 3.45 s | 3.00 s | **1.15** | 1.10 - 1.20 |"
    assert lines[3].startswith("| wall clock, the best | 3.30 s | 3.00 s | 1.10 |")


def test_the_preview_that_is_measured_is_the_one_that_a_review_runs():
    source = (ROOT / "seedbed" / "engine.py").read_text()
    assert all(f'"{word}"' in source for word in review.PREVIEW)
