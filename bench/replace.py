"""Replacing an agent, and a server of three, by one `pulumi up`, against its parts alone: a machine more, and a drain."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import report
from bench.measure import Usage, interleaved, median, ratio
from bench.measure import run as measured
from bench.pave import hosts_cpu
from bench.world import World
from tests.lab.replacements import Cluster
from tests.lab.workload import PROBE
from tools.progress import Progress

ROUNDS = 3
TIMEOUT_SECONDS = 900
REPLACED = {"an agent": "agent-a", "a server of three": "server-b"}
PODS = 6

WORKLOAD = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: load}}
spec:
  replicas: {PODS}
  selector: {{matchLabels: {{app: load}}}}
  template:
    metadata: {{labels: {{app: load}}}}
    spec:
      nodeSelector: {{runs: load}}
      terminationGracePeriodSeconds: 2
      containers: [{{name: it, image: "{PROBE}", args: [serve, ":8080"]}}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: load}}
spec:
  minAvailable: {PODS // 2}
  selector: {{matchLabels: {{app: load}}}}
"""
"""It is on the agent, and where it is drained the new one takes it, no more than half at a time."""

DRAIN = "k3s kubectl drain {node} --ignore-daemonsets --delete-emptydir-data --timeout=300s"


def run(progress: Progress) -> Path:
    """Measure, and write results/replace.md."""
    before = report.load()
    with Cluster.made(settings) as cluster:
        world = World(cluster.stack, progress)
        with progress.phase("three servers and an agent, paved, with something to run"):
            cluster.completes()
            cluster.kubectl("apply", "-f", "-", stdin=WORKLOAD)
            cluster.kubectl("rollout", "status", "deployment/load", "--timeout=80s")
        found = {what: _rounds(world, cluster, machine) for what, machine in REPLACED.items()}
        return report.write("replace", "Replacing a machine", before, _body(world, found))


def settings(config: dict[str, Any]) -> None:
    """Three servers, and an agent for the workload."""
    net = config["seedbed:network"]["machines"].rpartition(".")[0]
    servers = {f"server-{letter}": {"role": "server", "address": f"{net}.{11 + i}"} for i, letter in enumerate("abc")}
    agent = {"role": "agent", "address": f"{net}.21", "labels": {"runs": "load"}}
    config["seedbed:machines"] = {**servers, "agent-a": agent}


def _rounds(world: World, cluster: Cluster, machine: str) -> dict[str, list[Usage]]:
    parts: dict[str, list[Usage]] = {"joined": [], "drained": []}

    def alone() -> Usage:
        joined, drained = _parts(world, cluster, machine)
        parts["joined"].append(joined)
        parts["drained"].append(drained)
        return Usage(joined.seconds + drained.seconds, joined.cpu_seconds + drained.cpu_seconds, "")

    return interleaved(ROUNDS, replaced=lambda: _whole(world, cluster, machine), alone=alone) | parts


def _whole(world: World, cluster: Cluster, machine: str) -> Usage:
    old, _ = _next_generation(world, cluster, machine)
    with world.progress.phase(f"{old} replaced"):
        usage = _up(world)
    _gone(cluster, old)
    return usage


def _parts(world: World, cluster: Cluster, machine: str) -> tuple[Usage, Usage]:
    """The new one alone, then a drain of the old one by hand; what is left to do then is not counted."""
    old, new = _next_generation(world, cluster, machine)
    with world.progress.phase(f"{new} alone"):
        joined = _up(world, "--target", f"**::{new}", "--target", f"**::{new}-*")
    server = next(name for name in cluster.nodes() if name.startswith("server-") and name != old)
    with world.progress.phase(f"{old} drained by hand"):
        argv = [*world.stack.lab.ssh_command(server, DRAIN.format(node=shlex.quote(old)))]
        before = hosts_cpu(world)
        drained = measured(argv, world.stack.root, world.environment, TIMEOUT_SECONDS)
        drained = replace(drained, cpu_seconds=drained.cpu_seconds + hosts_cpu(world) - before)
    with world.progress.phase(f"{old} leaves"):
        _up(world)
    _gone(cluster, old)
    return joined, drained


def _next_generation(world: World, cluster: Cluster, machine: str) -> tuple[str, str]:
    """The full names of the machine and of its successor, whose host has booted to the end."""
    with world.progress.phase(f"a host for the next {machine}"):
        old, new = cluster.bump(machine)
        cluster.retire(old)
        world.stack.lab.wait_ready(new)
    return old, new


def _up(world: World, *arguments: str) -> Usage:
    before = hosts_cpu(world)
    usage = world.pulumi("up", "--yes", "--skip-preview", "--suppress-outputs", *arguments, timeout=TIMEOUT_SECONDS)
    return replace(usage, cpu_seconds=usage.cpu_seconds + hosts_cpu(world) - before)


def _gone(cluster: Cluster, old: str) -> None:
    """Raises AssertionError where the cluster still has it, or is not well without it."""
    nodes = cluster.nodes()
    if old in nodes or not all(nodes.values()):
        raise AssertionError(f"{old} should have left, and all others be Ready: {nodes}")
    cluster.delete_host(old)


def _body(world: World, found: dict[str, dict[str, list[Usage]]]) -> str:
    return (
        "".join(f"## {what.capitalize()}\n\n{table(rounds)}\n" for what, rounds in found.items())
        + "Each replacement is the next generation of the machine at an address of its own, on a host that has booted "
        "until cloud-init is done, with the old one's name on `seedbed:retire`, on one cluster of three servers and an "
        f"agent on which {PODS} pods run, of which a disruption budget keeps half. One `pulumi up --skip-preview` makes the "
        "new machine join and has the old one leave, which ends with its node gone; in the next run the same is done in "
        "parts, and the order of the two turns round from round to round. Of the parts two are counted: `pulumi up` of the "
        "new machine's resources alone (`--target`), until its node is Ready, and `kubectl drain` of the old one. Neither "
        "has what the replacement has beyond them: that the other servers are well, seen twice, the member of etcd that is "
        "removed, k3s that is stopped, and the node that is deleted. CPU is what the command and everything on the hosts "
        f"(by their cgroups) used.\n\n{world.about()}\n"
    )


def table(found: dict[str, list[Usage]]) -> str:
    """`replaced` and `alone`, each a run a round, with the parts `joined` and `drained` of `alone`."""
    ways = ("replaced", "joined", "drained", "alone")
    rows = []
    for number, runs in enumerate(zip(*(found[way] for way in ways), strict=True), 1):
        times = ratio([runs[0].seconds], [runs[3].seconds])[0]
        rows.append((str(number), *(f"{one.seconds:.1f} s" for one in runs), f"{times:.2f}", *_cpu(runs[0], runs[3])))
    whole, alone = ([one.seconds for one in found[way]] for way in ("replaced", "alone"))
    middle, least, most = ratio(whole, alone)
    medians = (f"{median([one.seconds for one in found[way]]):.1f} s" for way in ways)
    rows.append(("**median**", *medians, f"**{middle:.2f}**", "", ""))
    heading = ("round", "replaced", "joined alone", "drained alone", "both", "ratio", "CPU", "CPU of both")
    return f"{report.table(heading, rows)}\nSingle rounds between {least:.2f} and {most:.2f}.\n"


def _cpu(whole: Usage, alone: Usage) -> tuple[str, str]:
    return f"{whole.cpu_seconds:.1f} s", f"{alone.cpu_seconds:.1f} s"
